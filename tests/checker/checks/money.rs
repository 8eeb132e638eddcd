//! Payments and refunds add up to the unit: an order costs what its lines cost at the prices of their reservations, it is
//! paid once and exactly, and what is given back is counted right and never more than was paid.

use std::collections::{BTreeMap, HashMap};

use factfold_consumers::orders::OrdersDecider;
use factfold_schemas::{
    ids::StreamId,
    money::Money,
    orders::{Event, OrderedLine},
};

use crate::{history::ServiceLog, report::Report};

const NAME: &str = "money";

#[derive(Default)]
struct Account<'a> {
    lines: &'a [OrderedLine],
    prices: BTreeMap<u16, Money>,
    total: Option<Money>,
    paid: Option<Money>,
    refunded: i64,
}

impl Account<'_> {
    /// What the lines cost; `None` while a price is missing, or when they cannot be added.
    fn cost(&self) -> Option<(i128, Money)> {
        let any = *self.prices.values().next()?;
        let prices: Vec<&Money> =
            (0..).zip(self.lines).map_while(|(line, _)| self.prices.get(&line)).collect();
        let complete = prices.len() == self.lines.len() && prices.iter().all(|p| p.currency == any.currency);
        let costs = self.lines.iter().zip(prices);
        let cost = costs.map(|(line, price)| i128::from(price.amount) * i128::from(line.quantity)).sum();
        complete.then_some((cost, any))
    }
}

/// Checks the orders.
pub fn check(log: &ServiceLog<OrdersDecider>, report: &mut Report) {
    let mut accounts = HashMap::<&StreamId, Account<'_>>::new();
    for event in &log.events {
        let at = event.at;
        let order = accounts.entry(&event.record.stream).or_default();
        match &event.record.data {
            Event::OrderCreated(created) => order.lines = &created.lines,
            Event::LineReserved(reserved) => {
                if order.prices.insert(reserved.line, reserved.unit_price).is_some() {
                    report.add(NAME, at, format!("line {} gets its price twice", reserved.line));
                }
            }
            Event::OrderConfirmed(confirmed) => {
                let cost = order.cost();
                let shown = (i128::from(confirmed.total.amount), confirmed.total.currency);
                if cost.map(|(cost, price)| (cost, price.currency)) != Some(shown) {
                    let what = format!("it is to cost {}, but its lines cost {cost:?}", confirmed.total);
                    report.add(NAME, at, what);
                }
                order.total = Some(confirmed.total);
            }
            Event::OrderPaid(paid) => {
                if Some(paid.amount) != order.total {
                    report.add(NAME, at, format!("{} is paid, but it costs {:?}", paid.amount, order.total));
                }
                if order.paid.replace(paid.amount).is_some() {
                    report.add(NAME, at, "it is paid twice");
                }
            }
            Event::OrderRefunded(refunded) => {
                order.refunded += refunded.amount.amount;
                let paid = order.paid.map_or(0, |paid| paid.amount);
                let one_currency = order.paid.is_some_and(|paid| {
                    paid.currency == refunded.amount.currency && paid.currency == refunded.refunded.currency
                });
                let counted = refunded.refunded.amount == order.refunded
                    && refunded.in_full == (order.refunded == paid)
                    && order.refunded <= paid
                    && refunded.amount.amount > 0;
                if !(one_currency && counted) {
                    let what = format!("{refunded:?}, but {} of {paid} is given back by now", order.refunded);
                    report.add(NAME, at, what);
                }
            }
            Event::OrderRejected(_) | Event::OrderCancelled(_) | Event::OrderExpired(_) => {
                if order.paid.is_some() {
                    report.add(NAME, at, "it is over, though it was paid");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds_at, sound};

    fn planted(plant: impl Fn(&mut Event) -> bool) {
        let mut log = sound();
        let at = log.orders.events.iter_mut().find_map(|e| plant(&mut e.record.data).then_some(e.at));
        finds_at(NAME, at.expect("such an event"), |report| check(&log.orders, report));
    }

    #[test]
    fn wrong_amounts_are_found() {
        planted(|event| match event {
            Event::OrderConfirmed(confirmed) => {
                confirmed.total.amount += 1;
                true
            }
            _ => false,
        });
        planted(|event| match event {
            Event::OrderPaid(paid) => {
                paid.amount.amount -= 1;
                true
            }
            _ => false,
        });
        planted(|event| match event {
            Event::OrderRefunded(refunded) => {
                refunded.amount.amount += 1;
                true
            }
            _ => false,
        });
    }

    #[test]
    fn what_is_paid_twice_is_found() {
        let mut log = sound();
        let paid = |event: &Event| matches!(event, Event::OrderPaid(_));
        let twice = log.orders.events.iter().find(|event| paid(&event.record.data));
        let mut twice = twice.expect("a payment").clone();
        twice.at.offset += 1000;
        let at = twice.at;
        log.orders.events.push(twice);
        finds_at(NAME, at, |report| check(&log.orders, report));
    }

    #[test]
    fn more_given_back_than_was_paid_is_found() {
        let mut log = sound();
        let refunded = |event: &Event| matches!(event, Event::OrderRefunded(refunded) if refunded.in_full);
        let twice = log.orders.events.iter().find(|event| refunded(&event.record.data));
        let mut twice = twice.expect("a refund").clone();
        twice.at.offset += 1000;
        let at = twice.at;
        log.orders.events.push(twice);
        finds_at(NAME, at, |report| check(&log.orders, report));
    }
}
