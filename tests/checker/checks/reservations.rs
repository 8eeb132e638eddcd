//! Goods and orders agree: every line of an order that is confirmed, paid or refunded is set aside exactly once, with the
//! quantity and the price that the order has; an order that was rejected, cancelled or expired holds nothing; no order is
//! still waiting; and nothing is set aside for an order that is not there. True when all is quiet.

use std::collections::{BTreeMap, HashMap};

use factfold_schemas::{
    goods::{self, Reservation, StockReserved},
    ids::{GoodsId, OrderId},
    money::Money,
    orders::{Event, OrderedLine, Status},
    position::Position,
};

use crate::{history::Log, report::Report};

const NAME: &str = "reservations";

struct Order<'a> {
    /// Its last event.
    at: Position,
    lines: &'a [OrderedLine],
    prices: BTreeMap<u16, Money>,
    status: Status,
}

type Held = HashMap<Reservation, Vec<(GoodsId, Position, StockReserved)>>;

/// Checks goods and orders against each other.
pub fn check(log: &Log, report: &mut Report) {
    let (orders, mut held) = (orders(log), held(log));
    for (id, order) in &orders {
        for (line, ordered) in (0_u16..).zip(order.lines) {
            let held = held.remove(&Reservation { order_id: *id, line }).unwrap_or_default();
            match (order.status, held.as_slice()) {
                (Status::Confirmed | Status::Paid | Status::Refunded, [(goods, at, reserved)]) => {
                    let price = order.prices.get(&line);
                    let fits = *goods == ordered.goods_id
                        && reserved.quantity == ordered.quantity
                        && Some(&reserved.unit_price) == price;
                    if !fits {
                        let what = format!(
                            "line {line} of {id} holds {reserved:?}, but wants {ordered:?} at {price:?}"
                        );
                        report.add(NAME, *at, what);
                    }
                }
                (Status::Rejected | Status::Cancelled | Status::Expired, []) => {}
                (status, held) => {
                    let held: Vec<_> = held.iter().map(|(_, at, _)| at.to_string()).collect();
                    let what = format!("{id} is {status}, and its line {line} is set aside at {held:?}");
                    report.add(NAME, order.at, what);
                }
            }
        }
    }
    for (line, reservations) in held {
        for (goods, at, _) in reservations {
            report.add(NAME, at, format!("{goods} are set aside for {line:?}, which is not there"));
        }
    }
}

fn orders(log: &Log) -> HashMap<OrderId, Order<'_>> {
    let mut orders = HashMap::new();
    for event in &log.orders.events {
        let Some(id) = OrderId::of_stream(event.record.stream.as_str()) else { continue };
        let order = orders.entry(id).or_insert_with(|| Order {
            at: event.at,
            lines: &[],
            prices: BTreeMap::new(),
            status: Status::Created,
        });
        order.at = event.at;
        match &event.record.data {
            Event::OrderCreated(created) => order.lines = &created.lines,
            Event::LineReserved(line) => drop(order.prices.insert(line.line, line.unit_price)),
            Event::OrderConfirmed(_) => order.status = Status::Confirmed,
            Event::OrderRejected(_) => order.status = Status::Rejected,
            Event::OrderPaid(_) => order.status = Status::Paid,
            Event::OrderRefunded(refunded) if refunded.in_full => order.status = Status::Refunded,
            Event::OrderRefunded(_) => {}
            Event::OrderCancelled(_) => order.status = Status::Cancelled,
            Event::OrderExpired(_) => order.status = Status::Expired,
        }
    }
    orders
}

fn held(log: &Log) -> Held {
    let mut held = Held::new();
    for event in &log.goods.events {
        let Some(id) = GoodsId::of_stream(event.record.stream.as_str()) else { continue };
        match &event.record.data {
            goods::Event::StockReserved(reserved) => {
                let line = Reservation { order_id: reserved.order_id, line: reserved.line };
                held.entry(line).or_default().push((id, event.at, reserved.clone()));
            }
            goods::Event::StockReleased(released) => {
                let line = Reservation { order_id: released.order_id, line: released.line };
                held.entry(line).or_default().retain(|(goods, ..)| *goods != id);
            }
            _ => {}
        }
    }
    held.retain(|_, reservations| !reservations.is_empty());
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, finds_at, sound};

    #[test]
    fn stock_that_an_order_did_not_get_is_found() {
        let mut log = sound();
        log.goods.events.retain(|event| !matches!(event.record.data, goods::Event::StockReserved(_)));
        finds(NAME, |report| check(&log, report));
    }

    #[test]
    fn stock_that_was_not_given_back_is_found() {
        let mut log = sound();
        log.goods.events.retain(|event| !matches!(event.record.data, goods::Event::StockReleased(_)));
        finds(NAME, |report| check(&log, report));
    }

    #[test]
    fn another_price_than_the_orders_is_found() {
        let mut log = sound();
        let paid = log.orders.events.iter().find_map(|event| match &event.record.data {
            Event::OrderPaid(_) => Some(event.record.stream.clone()),
            _ => None,
        });
        let paid = paid.expect("a paid order");
        for event in log.orders.events.iter_mut().filter(|event| event.record.stream == paid) {
            if let Event::LineReserved(line) = &mut event.record.data {
                line.unit_price.amount += 1;
            }
        }
        finds(NAME, |report| check(&log, report));
    }

    #[test]
    fn an_order_that_still_waits_is_found() {
        let mut log = sound();
        log.orders.events.retain(|event| matches!(event.record.data, Event::OrderCreated(_)));
        let at = log.orders.events[0].at;
        finds_at(NAME, at, |report| check(&log, report));
    }

    #[test]
    fn stock_that_is_set_aside_for_nobody_is_found() {
        let mut log = sound();
        log.orders.events.clear();
        finds(NAME, |report| check(&log, report));
    }
}
