//! Orders, folded from their events. The fold is pure: events go in, the orders that people see come out.

use std::collections::BTreeMap;

use factfold_schemas::{
    codec::Named,
    ids::OrderId,
    money::Money,
    orders::{Event, Line, Order, OrderCreated, Status},
    position::Position,
    record::Recorded,
};
use sqlx::PgConnection;

use super::{query, store};
use crate::{
    error::{Contradiction, Violation},
    projector::Stop,
};

pub(super) type Orders = BTreeMap<OrderId, Order>;

/// Folds these events into the tables: orders and lines are loaded once, and what changed is written once.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let mut ids: Vec<_> = events.clone().filter_map(|(_, e)| OrderId::of_stream(e.stream.as_str())).collect();
    ids.sort_unstable();
    ids.dedup();
    let before: Orders =
        query::load(&mut *connection, &ids).await?.into_iter().map(|order| (order.id, order)).collect();
    let mut after = before.clone();
    for (at, event) in events {
        apply(&mut after, event).map_err(|contradiction| Violation {
            at,
            stream: Some(event.stream.clone()),
            contradiction,
        })?;
    }
    Ok(store::orders(connection, &before, &after).await?)
}

/// One event.
fn apply(orders: &mut Orders, event: &Recorded<Event>) -> Result<(), Contradiction> {
    let misfit = |why| Contradiction::Misfit { event: event.data.type_name(), why };
    let id = OrderId::of_stream(event.stream.as_str())
        .ok_or_else(|| misfit("its stream is not one of an order"))?;
    Contradiction::check_version(orders.get(&id).map_or(0, |order| order.version), event.version)?;

    if let Event::OrderCreated(created) = &event.data {
        return match orders.insert(id, new_order(id, event, created)) {
            None => Ok(()),
            Some(_) => Err(misfit("the order is there already")),
        };
    }

    let order = orders.get_mut(&id).ok_or_else(|| misfit("there is no such order"))?;
    match &event.data {
        Event::OrderCreated(_) => {}
        Event::LineReserved(reserved) => {
            let line = order.lines.get_mut(usize::from(reserved.line));
            line.ok_or_else(|| misfit("the order has no such line"))?.unit_price = Some(reserved.unit_price);
        }
        Event::OrderConfirmed(confirmed) => {
            order.status = Status::Confirmed;
            order.total = Some(confirmed.total);
        }
        Event::OrderRejected(rejected) => {
            order.status = Status::Rejected;
            order.rejection = Some(rejected.reason.clone());
        }
        Event::OrderPaid(paid) => {
            order.status = Status::Paid;
            order.paid = Some(paid.amount);
            order.refunded = Some(Money::zero(paid.amount.currency));
        }
        Event::OrderRefunded(refunded) => {
            order.status = if refunded.in_full { Status::Refunded } else { Status::Paid };
            order.refunded = Some(refunded.refunded);
        }
        Event::OrderCancelled(_) => order.status = Status::Cancelled,
        Event::OrderExpired(_) => order.status = Status::Expired,
    }
    order.version = event.version;
    order.updated_at = event.cause.time;
    Ok(())
}

fn new_order(id: OrderId, event: &Recorded<Event>, created: &OrderCreated) -> Order {
    let lines = created.lines.iter();
    Order {
        id,
        version: event.version,
        created_at: event.cause.time,
        updated_at: event.cause.time,
        user_id: created.user_id,
        status: Status::Created,
        lines: lines
            .map(|line| Line { goods_id: line.goods_id, quantity: line.quantity, unit_price: None })
            .collect(),
        total: None,
        paid: None,
        refunded: None,
        rejection: None,
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        ids::{GoodsId, UserId},
        orders::{
            LineReserved, OrderCancelled, OrderConfirmed, OrderExpired, OrderPaid, OrderRefunded,
            OrderRejected, OrderedLine, RejectionReason,
        },
        topics::Service,
    };
    use uuid::Uuid;

    use super::*;
    use crate::projector::fixtures::cause;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().expect("a currency"))
    }

    fn id() -> OrderId {
        OrderId::new(Uuid::from_u128(1))
    }

    /// These events, as versions 1, 2, 3 … of one stream.
    fn folded(events: Vec<Event>) -> Result<Order, Contradiction> {
        let mut orders = Orders::new();
        for (version, data) in (1..).zip(events) {
            let cause = cause(Service::Orders, "c", version);
            apply(
                &mut orders,
                &Recorded { stream: id().stream(), version: version.unsigned_abs(), cause, data },
            )?;
        }
        Ok(orders.remove(&id()).expect("the order"))
    }

    fn ordered() -> Vec<OrderedLine> {
        vec![OrderedLine { goods_id: GoodsId::new(Uuid::from_u128(2)), quantity: 3 }]
    }

    fn created() -> Event {
        Event::OrderCreated(OrderCreated { user_id: UserId::new(Uuid::from_u128(3)), lines: ordered() })
    }

    fn paid() -> Vec<Event> {
        vec![
            created(),
            Event::LineReserved(LineReserved { line: 0, unit_price: eur(100) }),
            Event::OrderConfirmed(OrderConfirmed { total: eur(300) }),
            Event::OrderPaid(OrderPaid { amount: eur(300), method: "card".to_owned() }),
        ]
    }

    fn refund(amount: i64, refunded: i64, in_full: bool) -> Event {
        let reason = "late".to_owned();
        Event::OrderRefunded(OrderRefunded { amount: eur(amount), refunded: eur(refunded), in_full, reason })
    }

    #[test]
    fn an_order_is_confirmed_and_paid() {
        let order = folded(paid()).expect("a sound history");
        let time = |decided| cause(Service::Orders, "c", decided).time;
        let expected = Order {
            id: id(),
            version: 4,
            created_at: time(1),
            updated_at: time(4),
            user_id: UserId::new(Uuid::from_u128(3)),
            status: Status::Paid,
            lines: vec![Line {
                goods_id: GoodsId::new(Uuid::from_u128(2)),
                quantity: 3,
                unit_price: Some(eur(100)),
            }],
            total: Some(eur(300)),
            paid: Some(eur(300)),
            refunded: Some(eur(0)),
            rejection: None,
        };
        assert_eq!(order, expected);
    }

    #[test]
    fn a_refund_closes_the_order_when_nothing_is_left() {
        let mut events = paid();
        events.push(refund(100, 100, false));
        let order = folded(events.clone()).expect("a sound history");
        assert_eq!((order.status, order.refunded), (Status::Paid, Some(eur(100))));
        events.push(refund(200, 300, true));
        let order = folded(events).expect("a sound history");
        assert_eq!((order.status, order.refunded), (Status::Refunded, Some(eur(300))));
    }

    #[test]
    fn an_order_can_end_unpaid() {
        let reason = RejectionReason { name: "sold-out".to_owned(), detail: "none left".to_owned(), line: 0 };
        let rejected = OrderRejected { reason: reason.clone(), lines: ordered() };
        let order = folded(vec![created(), Event::OrderRejected(rejected)]).expect("a sound history");
        assert_eq!((order.status, order.rejection), (Status::Rejected, Some(reason)));
        let cancelled = OrderCancelled { reason: "changed my mind".to_owned(), lines: ordered() };
        let order = folded(vec![created(), Event::OrderCancelled(cancelled)]).expect("a sound history");
        assert_eq!(order.status, Status::Cancelled);
        let expired = Event::OrderExpired(OrderExpired { lines: ordered() });
        assert_eq!(folded(vec![created(), expired]).expect("a sound history").status, Status::Expired);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let reserved = Event::LineReserved(LineReserved { line: 1, unit_price: eur(100) });
        for events in [vec![created(), created()], vec![reserved.clone()], vec![created(), reserved]] {
            assert!(matches!(folded(events), Err(Contradiction::Misfit { .. })));
        }
    }
}
