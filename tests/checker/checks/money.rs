//! Payments and refunds add up to the unit: see [`Account`].

use std::collections::HashMap;

use factfold_consumers::orders::OrdersDecider;
use factfold_projections::auditing::money::Account;
use factfold_schemas::ids::StreamId;

use crate::{history::ServiceLog, report::Report};

const NAME: &str = "money";

/// Checks the orders.
pub fn check(log: &ServiceLog<OrdersDecider>, report: &mut Report) {
    let mut accounts = HashMap::<&StreamId, Account>::new();
    for event in &log.events {
        let order = accounts.entry(&event.record.stream).or_default();
        order.see(&event.record.data, |what| report.add(NAME, event.at, what));
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::orders::Event;

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
