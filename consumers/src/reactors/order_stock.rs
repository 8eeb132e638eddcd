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

    fn react(fact: &Fact) -> Vec<Request> {
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
