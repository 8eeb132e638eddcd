//! Writes orders and lines: each row once.

use factfold_schemas::{
    ids::OrderId,
    orders::{Line, Order},
};
use sqlx::PgConnection;

use super::fold::Orders;
use crate::{postgres::Text, table::Table};

/// A line, and where it belongs.
struct Row<'a> {
    order: OrderId,
    number: i32,
    line: &'a Line,
}

/// Writes all of these orders, and the lines that are new or different.
pub(super) async fn orders(
    connection: &mut PgConnection,
    before: &Orders,
    after: &Orders,
) -> Result<(), sqlx::Error> {
    // What is paid and given back is in the currency of the total: a decider's rule.
    Table::of("orders", after.values())
        .key("id", |order: &Order| order.id.uuid())
        .column("version", |order| order.version.cast_signed())
        .column("created_at", |order| order.created_at)
        .column("updated_at", |order| order.updated_at)
        .column("user_id", |order| order.user_id.uuid())
        .column("status", |order| <&str>::from(order.status))
        .column("total", |order| order.total.map(|money| money.amount))
        .column("paid", |order| order.paid.map(|money| money.amount))
        .column("refunded", |order| order.refunded.map(|money| money.amount))
        .column("currency", |order| order.total.map(|money| money.currency.to_string()))
        .column("rejection_name", |order| order.rejection.as_ref().map(|reason| Text(&reason.name)))
        .column("rejection_detail", |order| order.rejection.as_ref().map(|reason| Text(&reason.detail)))
        .column("rejection_line", |order| order.rejection.as_ref().map(|reason| i32::from(reason.line)))
        .upsert(connection, |order| !before.contains_key(&order.id))
        .await?;
    let lines = changed_lines(before, after);
    Table::of("order_lines", &lines)
        .key("order_id", |row| row.order.uuid())
        .key("line", |row| row.number)
        .column("goods_id", |row| row.line.goods_id.uuid())
        .column("quantity", |row| i64::from(row.line.quantity))
        .column("unit_price", |row| row.line.unit_price.map(|money| money.amount))
        .column("currency", |row| row.line.unit_price.map(|money| money.currency.to_string()))
        .upsert(connection, |row| !before.contains_key(&row.order))
        .await
}

fn changed_lines<'a>(before: &Orders, after: &'a Orders) -> Vec<Row<'a>> {
    let changed = after.values().flat_map(|order| {
        let known = before.get(&order.id).map_or(&[][..], |order| &order.lines);
        let lines = (0..).zip(&order.lines).zip(known.iter().map(Some).chain(std::iter::repeat(None)));
        lines.filter(|((_, line), known)| Some(*line) != *known).map(|((number, line), _)| Row {
            order: order.id,
            number,
            line,
        })
    });
    changed.collect()
}
