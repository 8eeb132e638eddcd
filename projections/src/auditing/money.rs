//! Payments and refunds add up to the unit: an order costs what its lines cost at the prices of their reservations, it is
//! paid once and exactly, and what is given back is counted right and never more than was paid.

use std::collections::BTreeMap;

use factfold_schemas::{
    money::Money,
    orders::{Event, OrderedLine},
};

/// What the events of one order come to.
#[derive(Debug, Default)]
pub struct Account {
    lines: Vec<OrderedLine>,
    prices: BTreeMap<u16, Money>,
    total: Option<Money>,
    paid: Option<Money>,
    refunded: i64,
}

impl Account {
    /// The next event of the order; `wrong` hears what does not add up.
    pub fn see(&mut self, event: &Event, mut wrong: impl FnMut(String)) {
        match event {
            Event::OrderCreated(created) => self.lines.clone_from(&created.lines),
            Event::LineReserved(reserved) => {
                if self.prices.insert(reserved.line, reserved.unit_price).is_some() {
                    wrong(format!("line {} gets its price twice", reserved.line));
                }
            }
            Event::OrderConfirmed(confirmed) => {
                let cost = self.cost();
                let shown = (i128::from(confirmed.total.amount), confirmed.total.currency);
                if cost.map(|(cost, price)| (cost, price.currency)) != Some(shown) {
                    wrong(format!("it is to cost {}, but its lines cost {cost:?}", confirmed.total));
                }
                self.total = Some(confirmed.total);
            }
            Event::OrderPaid(paid) => {
                if Some(paid.amount) != self.total {
                    wrong(format!("{} is paid, but it costs {:?}", paid.amount, self.total));
                }
                if self.paid.replace(paid.amount).is_some() {
                    wrong("it is paid twice".to_owned());
                }
            }
            Event::OrderRefunded(refunded) => {
                self.refunded += refunded.amount.amount;
                let paid = self.paid.map_or(0, |paid| paid.amount);
                let one_currency = self.paid.is_some_and(|paid| {
                    paid.currency == refunded.amount.currency && paid.currency == refunded.refunded.currency
                });
                let counted = refunded.refunded.amount == self.refunded
                    && refunded.in_full == (self.refunded == paid)
                    && self.refunded <= paid
                    && refunded.amount.amount > 0;
                if !(one_currency && counted) {
                    wrong(format!("{refunded:?}, but {} of {paid} is given back by now", self.refunded));
                }
            }
            Event::OrderRejected(_) | Event::OrderCancelled(_) | Event::OrderExpired(_) => {
                if self.paid.is_some() {
                    wrong("it is over, though it was paid".to_owned());
                }
            }
        }
    }

    /// What the lines cost; `None` while a price is missing, or when they cannot be added.
    fn cost(&self) -> Option<(i128, Money)> {
        let any = *self.prices.values().next()?;
        let prices: Vec<&Money> =
            (0..).zip(&self.lines).map_while(|(line, _)| self.prices.get(&line)).collect();
        let complete = prices.len() == self.lines.len() && prices.iter().all(|p| p.currency == any.currency);
        let costs = self.lines.iter().zip(prices);
        let cost = costs.map(|(line, price)| i128::from(price.amount) * i128::from(line.quantity)).sum();
        complete.then_some((cost, any))
    }
}
