//! Asks the goods service for what the orders need: every line of a new order is reserved, every line of an order that
//! is over before it was paid is given back.
//!
//! An order that is over releases *all* its lines, also those whose reservation it never heard of. That is right without
//! any memory: both requests for a line come from here, about the same stream, in the order of its events, and go to the
//! same partition; so the release of a line always comes after its reservation, and releasing what was refused is no
//! change.

use factfold_schemas::{
    goods::{Command, ReleaseStock, ReserveStock},
    ids::OrderId,
    orders::{Event, OrderedLine},
    topics::{Service, Topic},
};

use super::{Fact, Reactor, Request};

/// Reserves and releases stock for orders.
#[derive(Debug)]
pub struct OrderStock;

impl Reactor for OrderStock {
    const NAME: &'static str = "order-stock";
    const INPUTS: &'static [Topic] = &[Service::Orders.events()];

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let Fact::Orders(event) = fact else { return Vec::new() };
        let Some(order_id) = OrderId::of_stream(event.stream.as_str()) else { return Vec::new() };
        let reserve = |line, ordered: &OrderedLine| {
            Command::ReserveStock(ReserveStock { order_id, line, quantity: ordered.quantity.into() })
        };
        let release = |line, _: &OrderedLine| Command::ReleaseStock(ReleaseStock { order_id, line });
        match &event.data {
            Event::OrderCreated(created) => for_each_line(&created.lines, reserve),
            Event::OrderRejected(rejected) => for_each_line(&rejected.lines, release),
            Event::OrderCancelled(cancelled) => for_each_line(&cancelled.lines, release),
            Event::OrderExpired(expired) => for_each_line(&expired.lines, release),
            Event::LineReserved(_)
            | Event::OrderConfirmed(_)
            | Event::OrderPaid(_)
            | Event::OrderRefunded(_) => Vec::new(),
        }
    }
}

fn for_each_line(lines: &[OrderedLine], command: impl Fn(u16, &OrderedLine) -> Command) -> Vec<Request> {
    (0..).zip(lines).map(|(line, ordered)| Request::Goods(ordered.goods_id, command(line, ordered))).collect()
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        goods,
        ids::GoodsId,
        orders::{
            LineReserved, OrderCancelled, OrderConfirmed, OrderCreated, OrderExpired, OrderPaid,
            OrderRefunded, OrderRejected, RejectionReason,
        },
    };

    use super::*;
    use crate::given::{eur, id, recorded};

    const ORDER: OrderId = id(1);
    const TEA: GoodsId = id(10);
    const MATE: GoodsId = id(11);

    fn lines() -> Vec<OrderedLine> {
        vec![OrderedLine { goods_id: TEA, quantity: 3 }, OrderedLine { goods_id: MATE, quantity: 1_000_000 }]
    }

    fn check(event: Event, expected: &[Request]) {
        let fact = Fact::Orders(recorded(Service::Orders, ORDER.stream(), event));
        assert_eq!(OrderStock.react(&fact), expected, "what follows from {fact:?}");
    }

    #[test]
    fn every_line_of_a_new_order_is_reserved() {
        let reserve =
            |line, quantity| Command::ReserveStock(ReserveStock { order_id: ORDER, line, quantity });
        check(
            Event::OrderCreated(OrderCreated { user_id: id(2), lines: lines() }),
            &[Request::Goods(TEA, reserve(0, 3)), Request::Goods(MATE, reserve(1, 1_000_000))],
        );
    }

    #[test]
    fn every_line_of_an_order_that_is_over_before_it_was_paid_is_given_back() {
        let reason =
            RejectionReason { name: "sold-out".to_owned(), detail: "None left.".to_owned(), line: 0 };
        let release = |line| Command::ReleaseStock(ReleaseStock { order_id: ORDER, line });
        for over in [
            Event::OrderRejected(OrderRejected { reason, lines: lines() }),
            Event::OrderCancelled(OrderCancelled { reason: "too late".to_owned(), lines: lines() }),
            Event::OrderExpired(OrderExpired { lines: lines() }),
        ] {
            check(over, &[Request::Goods(TEA, release(0)), Request::Goods(MATE, release(1))]);
        }
    }

    #[test]
    fn money_moves_no_stock() {
        let (amount, reason) = (eur(1), "broken".to_owned());
        for event in [
            Event::LineReserved(LineReserved { line: 0, unit_price: amount }),
            Event::OrderConfirmed(OrderConfirmed { total: amount }),
            Event::OrderPaid(OrderPaid { amount, method: "card".to_owned() }),
            Event::OrderRefunded(OrderRefunded { amount, refunded: amount, in_full: true, reason }),
        ] {
            check(event, &[]);
        }
    }

    #[test]
    fn what_happens_elsewhere_is_not_its_business() {
        let discontinued = goods::Event::GoodsDiscontinued(goods::GoodsDiscontinued {});
        let fact = Fact::Goods(recorded(Service::Goods, TEA.stream(), discontinued));
        assert_eq!(OrderStock.react(&fact), []);
        let created = Event::OrderCreated(OrderCreated { user_id: id(2), lines: lines() });
        let fact = Fact::Orders(recorded(Service::Orders, TEA.stream(), created));
        assert_eq!(OrderStock.react(&fact), [], "no stream of an order");
    }
}
