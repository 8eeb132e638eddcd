//! Writes orders and lines: each row once, all rows of a batch in one statement.

use factfold_schemas::orders::{Line, Order};
use sqlx::PgConnection;
use uuid::Uuid;

use super::fold::Orders;
use crate::postgres::{Text, Time};

/// Writes all of these orders.
pub(super) async fn orders(connection: &mut PgConnection, orders: &Orders) -> Result<(), sqlx::Error> {
    fn column<'a, T>(orders: &'a Orders, of: impl Fn(&'a Order) -> T) -> Vec<T> {
        orders.values().map(of).collect()
    }
    // What is paid and given back is in the currency of the total: a decider's rule.
    sqlx::query(
        "INSERT INTO orders (id, version, created_at, updated_at, user_id, status, total, paid, refunded, currency,
                             rejection_name, rejection_detail, rejection_line)
         SELECT * FROM UNNEST($1::UUID[], $2::BIGINT[], $3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[], $5::UUID[], $6::TEXT[],
                              $7::BIGINT[], $8::BIGINT[], $9::BIGINT[], $10::TEXT[],
                              $11::TEXT[], $12::TEXT[], $13::INTEGER[])
         ON CONFLICT (id) DO UPDATE SET
             version = EXCLUDED.version, updated_at = EXCLUDED.updated_at, status = EXCLUDED.status,
             total = EXCLUDED.total, paid = EXCLUDED.paid, refunded = EXCLUDED.refunded,
             currency = EXCLUDED.currency, rejection_name = EXCLUDED.rejection_name,
             rejection_detail = EXCLUDED.rejection_detail, rejection_line = EXCLUDED.rejection_line",
    )
    .bind(column(orders, |order| order.id.uuid()))
    .bind(column(orders, |order| order.version.cast_signed()))
    .bind(column(orders, |order| Time(order.created_at)))
    .bind(column(orders, |order| Time(order.updated_at)))
    .bind(column(orders, |order| order.user_id.uuid()))
    .bind(column(orders, |order| <&str>::from(order.status)))
    .bind(column(orders, |order| order.total.map(|money| money.amount)))
    .bind(column(orders, |order| order.paid.map(|money| money.amount)))
    .bind(column(orders, |order| order.refunded.map(|money| money.amount)))
    .bind(column(orders, |order| order.total.map(|money| money.currency.to_string())))
    .bind(column(orders, |order| order.rejection.as_ref().map(|reason| Text(&reason.name))))
    .bind(column(orders, |order| order.rejection.as_ref().map(|reason| Text(&reason.detail))))
    .bind(column(orders, |order| order.rejection.as_ref().map(|reason| i32::from(reason.line))))
    .execute(connection)
    .await
    .map(drop)
}

/// Writes the lines that are new or different.
pub(super) async fn changed_lines(
    connection: &mut PgConnection,
    before: &Orders,
    after: &Orders,
) -> Result<(), sqlx::Error> {
    let changed: Vec<(Uuid, i32, &Line)> = after
        .values()
        .flat_map(|order| {
            let known = before.get(&order.id).map_or(&[][..], |order| &order.lines);
            let lines =
                (0_i32..).zip(&order.lines).zip(known.iter().map(Some).chain(std::iter::repeat(None)));
            lines
                .filter(|((_, line), known)| Some(*line) != *known)
                .map(|((number, line), _)| (order.id.uuid(), number, line))
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    fn column<T>(changed: &[(Uuid, i32, &Line)], of: impl Fn(&Line) -> T) -> Vec<T> {
        changed.iter().map(|(_, _, line)| of(line)).collect()
    }
    sqlx::query(
        "INSERT INTO order_lines (order_id, line, goods_id, quantity, unit_price, currency)
         SELECT * FROM UNNEST($1::UUID[], $2::INTEGER[], $3::UUID[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[])
         ON CONFLICT (order_id, line) DO UPDATE SET unit_price = EXCLUDED.unit_price, currency = EXCLUDED.currency",
    )
    .bind(changed.iter().map(|(order, _, _)| *order).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, number, _)| *number).collect::<Vec<_>>())
    .bind(column(&changed, |line| line.goods_id.uuid()))
    .bind(column(&changed, |line| i64::from(line.quantity)))
    .bind(column(&changed, |line| line.unit_price.map(|money| money.amount)))
    .bind(column(&changed, |line| line.unit_price.map(|money| money.currency.to_string())))
    .execute(connection)
    .await
    .map(drop)
}
