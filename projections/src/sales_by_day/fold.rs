//! Sales, folded from the events of orders. What an order adds to a day is a sum, so it does not matter in which order the
//! partitions come, nor how many of them are folded at once.

use std::collections::{BTreeMap, BTreeSet};

use factfold_schemas::{
    codec::Named as _,
    ids::{GoodsId, OrderId},
    money::{Currency, Money},
    orders::{Event, OrderCreated},
    position::Position,
    record::Recorded,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, types::Json};
use uuid::Uuid;

use super::share::shared_out;
use crate::{
    error::{Contradiction, Violation},
    projector::Stop,
    table::{Jsonb, Table},
};

/// What must be known of an order.
#[derive(Debug, Clone, PartialEq)]
struct Order {
    id: OrderId,
    version: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    goods_id: GoodsId,
    quantity: u32,
    /// Fixed when the goods are set aside.
    unit_price: Option<Money>,
    /// What was given back of it, in minor units.
    refunded: i64,
}

type Orders = BTreeMap<OrderId, Order>;

/// The key of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    day: Date,
    goods_id: GoodsId,
    currency: Currency,
}

/// What is added to a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sales {
    orders: i64,
    pieces: i64,
    revenue: i64,
    refunded: i64,
}

/// Folds these events into the tables.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let mut ids: Vec<_> = events.clone().filter_map(|(_, e)| OrderId::of_stream(e.stream.as_str())).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut orders = load(connection, &ids).await?;
    let known: BTreeSet<_> = orders.keys().copied().collect();
    let mut sales = BTreeMap::new();
    for (at, event) in events {
        fold(&mut orders, &mut sales, event).map_err(|contradiction| Violation {
            at,
            stream: Some(event.stream.clone()),
            contradiction,
        })?;
    }
    Ok(store(connection, &orders, |order| !known.contains(&order.id), &sales).await?)
}

fn fold(
    orders: &mut Orders,
    sales: &mut BTreeMap<Key, Sales>,
    event: &Recorded<Event>,
) -> Result<(), Contradiction> {
    let misfit = |why| Contradiction::Misfit { event: event.data.type_name(), why };
    let id = OrderId::of_stream(event.stream.as_str())
        .ok_or_else(|| misfit("its stream is not one of an order"))?;
    Contradiction::check_version(orders.get(&id).map_or(0, |order| order.version), event.version)?;
    if let Event::OrderCreated(created) = &event.data {
        return match orders.insert(id, new_order(id, event.version, created)) {
            None => Ok(()),
            Some(_) => Err(misfit("the order is there already")),
        };
    }
    let order = orders.get_mut(&id).ok_or_else(|| misfit("there is no such order"))?;
    order.version = event.version;
    match &event.data {
        Event::LineReserved(reserved) => {
            let line = order.lines.get_mut(usize::from(reserved.line));
            line.ok_or_else(|| misfit("the order has no such line"))?.unit_price = Some(reserved.unit_price);
        }
        Event::OrderPaid(_) => {
            let totals = order.totals().ok_or_else(|| misfit("not every line of it has a price"))?;
            for (line, total) in order.lines.iter().zip(totals) {
                let row = sales.entry(key(event.cause.time, line, total.currency)).or_default();
                row.orders += 1;
                row.pieces += i64::from(line.quantity);
                row.revenue += total.amount;
            }
        }
        Event::OrderRefunded(refunded) => {
            let totals = order.totals().ok_or_else(|| misfit("not every line of it has a price"))?;
            let left: Vec<_> =
                order.lines.iter().zip(&totals).map(|(line, total)| total.amount - line.refunded).collect();
            let shares = shared_out(refunded.amount.amount, &left);
            for ((line, total), share) in order.lines.iter_mut().zip(totals).zip(shares) {
                sales.entry(key(event.cause.time, line, total.currency)).or_default().refunded += share;
                line.refunded += share;
            }
        }
        Event::OrderCreated(_)
        | Event::OrderConfirmed(_)
        | Event::OrderRejected(_)
        | Event::OrderCancelled(_)
        | Event::OrderExpired(_) => {}
    }
    Ok(())
}

fn new_order(id: OrderId, version: u64, created: &OrderCreated) -> Order {
    let lines = created.lines.iter();
    let lines = lines.map(|line| Line {
        goods_id: line.goods_id,
        quantity: line.quantity,
        unit_price: None,
        refunded: 0,
    });
    Order { id, version, lines: lines.collect() }
}

impl Order {
    /// What each line comes to.
    fn totals(&self) -> Option<Vec<Money>> {
        let total = |line: &Line| {
            let Money { amount, currency } = line.unit_price?;
            Some(Money::new(amount.checked_mul(i64::from(line.quantity))?, currency))
        };
        self.lines.iter().map(total).collect()
    }
}

fn key(time: Timestamp, line: &Line, currency: Currency) -> Key {
    Key { day: time.to_zoned(TimeZone::UTC).date(), goods_id: line.goods_id, currency }
}

async fn load(connection: &mut PgConnection, ids: &[OrderId]) -> Result<Orders, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query("SELECT id, version, lines FROM _sales_orders WHERE id = ANY($1)");
    let order = |row: &sqlx::postgres::PgRow| {
        let id = OrderId::new(row.try_get("id")?);
        let version = crate::postgres::version(row, "version")?;
        let lines = row.try_get::<Json<_>, _>("lines")?.0;
        Ok((id, Order { id, version, lines }))
    };
    rows.bind(ids).fetch_all(connection).await?.iter().map(order).collect()
}

async fn store(
    connection: &mut PgConnection,
    orders: &Orders,
    is_new: impl Fn(&Order) -> bool,
    sales: &BTreeMap<Key, Sales>,
) -> Result<(), sqlx::Error> {
    let lines = |order: &Order| serde_json::to_string(&order.lines).expect("lines are plain data");
    Table::of("_sales_orders", orders.values())
        .key("id", |order| order.id.uuid())
        .column("version", |order| order.version.cast_signed())
        .column("lines", |order| Jsonb(lines(order)))
        .upsert(connection, is_new)
        .await?;
    // None is surely new: what is sold in other partitions comes into the same rows.
    let sales: Vec<_> = sales.iter().collect();
    Table::of("sales_by_day", &sales)
        .key("day", |(key, _)| key.day)
        .key("goods_id", |(key, _)| key.goods_id.uuid())
        .key("currency", |(key, _)| key.currency.to_string())
        .sum("orders", |(_, sales)| sales.orders)
        .sum("pieces", |(_, sales)| sales.pieces)
        .sum("revenue", |(_, sales)| sales.revenue)
        .sum("refunded", |(_, sales)| sales.refunded)
        .upsert(connection, |_| false)
        .await
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        ids::UserId,
        orders::{LineReserved, OrderPaid, OrderRefunded, OrderedLine},
        topics::Service,
    };

    use super::*;
    use crate::projector::fixtures::cause;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().expect("a currency"))
    }

    fn goods(number: u128) -> GoodsId {
        GoodsId::new(Uuid::from_u128(number))
    }

    fn refunded(amount: i64, refunded: i64) -> Event {
        let (amount, in_full) = (eur(amount), false);
        Event::OrderRefunded(OrderRefunded {
            amount,
            refunded: eur(refunded),
            in_full,
            reason: "late".to_owned(),
        })
    }

    /// Two pieces for 333 and one for 334, paid on one day, given back in three parts on the next.
    #[test]
    fn an_order_is_sold_on_one_day_and_given_back_on_another() {
        let lines = [(1, 2), (2, 1)].map(|(id, quantity)| OrderedLine { goods_id: goods(id), quantity });
        let events = [
            Event::OrderCreated(OrderCreated {
                user_id: UserId::new(Uuid::from_u128(3)),
                lines: lines.to_vec(),
            }),
            Event::LineReserved(LineReserved { line: 0, unit_price: eur(333) }),
            Event::LineReserved(LineReserved { line: 1, unit_price: eur(334) }),
            Event::OrderPaid(OrderPaid { amount: eur(1_000), method: "card".to_owned() }),
            refunded(1, 1),
            refunded(1, 2),
            refunded(998, 1_000),
        ];
        let (mut orders, mut sales) = (Orders::new(), BTreeMap::new());
        for (version, data) in (1..).zip(events) {
            let mut cause = cause(Service::Orders, "c", version);
            let day = if version < 5 { "2026-11-01T23:59:59Z" } else { "2026-11-02T00:00:00Z" };
            cause.time = day.parse().expect("a time");
            let stream = OrderId::new(Uuid::from_u128(1)).stream();
            let recorded = Recorded { stream, version: version.unsigned_abs(), cause, data };
            fold(&mut orders, &mut sales, &recorded).expect("a sound history");
        }
        let row = |day: i8, id| {
            let key =
                Key { day: Date::constant(2026, 11, day), goods_id: goods(id), currency: eur(0).currency };
            sales[&key]
        };
        let sold = |pieces, revenue| Sales { orders: 1, pieces, revenue, refunded: 0 };
        assert_eq!([row(1, 1), row(1, 2)], [sold(2, 666), sold(1, 334)]);
        let given_back = |refunded| Sales { refunded, ..Sales::default() };
        assert_eq!([row(2, 1), row(2, 2)], [given_back(666), given_back(334)]);
        assert_eq!(sales.len(), 4);
    }
}
