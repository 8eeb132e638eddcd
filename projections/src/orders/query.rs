//! Questions to the read model `orders`.

use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    money::{Currency, Money},
    orders::{Line, Order, RejectionReason, Status},
};
use sqlx::{PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    page::{Cursor, Page, PageRequest},
    postgres::{Time, money, required, time, undecodable, version},
};

/// Which orders are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
    /// Only those that are here in their life.
    pub status: Option<Status>,
    /// Only those with a line of these goods.
    pub goods_id: Option<GoodsId>,
}

/// Orders with their lines, in one statement, so that both are of the same moment; newest first.
macro_rules! with_lines {
    ($orders:literal) => {
        concat!(
            "SELECT * FROM (",
            $orders,
            ") AS o, LATERAL (
                 SELECT array_agg(goods_id ORDER BY line) AS line_goods_ids,
                        array_agg(quantity ORDER BY line) AS line_quantities,
                        array_agg(unit_price ORDER BY line) AS line_prices,
                        array_agg(currency ORDER BY line) AS line_currencies
                 FROM order_lines WHERE order_id = o.id
             ) AS l
             ORDER BY o.created_at DESC, o.id DESC"
        )
    };
}

/// The order with this id.
pub(crate) async fn find(database: impl PgExecutor<'_>, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    Ok(load(database, &[id]).await?.pop())
}

/// Those of these orders that are there.
pub(super) async fn load(database: impl PgExecutor<'_>, ids: &[OrderId]) -> Result<Vec<Order>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query(with_lines!("SELECT * FROM orders WHERE id = ANY($1)"))
        .bind(ids)
        .fetch_all(database)
        .await?;
    rows.iter().map(order).collect()
}

/// A page of orders, newest first. (Postgres plans with the values at hand, so an absent filter costs nothing.)
pub(crate) async fn list(
    database: impl PgExecutor<'_>,
    filter: &OrderFilter,
    page: &PageRequest,
) -> Result<Page<Order>, sqlx::Error> {
    let rows = sqlx::query(with_lines!(
        "SELECT * FROM orders
         WHERE ($1::UUID IS NULL OR user_id = $1)
           AND ($2::TEXT IS NULL OR status = $2)
           AND ($3::UUID IS NULL OR id IN (SELECT order_id FROM order_lines WHERE goods_id = $3))
           AND ($4::TIMESTAMPTZ IS NULL OR (created_at, id) < ($4, $5::UUID))
         ORDER BY created_at DESC, id DESC
         LIMIT $6"
    ))
    .bind(filter.user_id.map(|id| id.uuid()))
    .bind(filter.status.map(<&str>::from))
    .bind(filter.goods_id.map(|id| id.uuid()))
    .bind(page.after.map(|cursor| Time(cursor.created_at)))
    .bind(page.after.map(|cursor| cursor.id))
    .bind(page.rows())
    .fetch_all(database)
    .await?;
    let items = rows.iter().map(order).collect::<Result<_, _>>()?;
    Ok(Page::of(items, page, |order| Cursor { created_at: order.created_at, id: order.id.uuid() }))
}

fn order(row: &PgRow) -> Result<Order, sqlx::Error> {
    let reason = |name| {
        let line: i32 = row.try_get("rejection_line")?;
        Ok::<_, sqlx::Error>(RejectionReason {
            name,
            detail: row.try_get("rejection_detail")?,
            line: narrow(line, "rejection_line")?,
        })
    };
    Ok(Order {
        id: OrderId::new(row.try_get("id")?),
        version: version(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        user_id: UserId::new(row.try_get("user_id")?),
        status: required(row, "status")?,
        lines: lines(row)?,
        total: money(row, "total", "currency")?,
        paid: money(row, "paid", "currency")?,
        refunded: money(row, "refunded", "currency")?,
        rejection: row.try_get::<Option<String>, _>("rejection_name")?.map(reason).transpose()?,
    })
}

fn lines(row: &PgRow) -> Result<Vec<Line>, sqlx::Error> {
    let goods: Vec<Uuid> = row.try_get::<Option<_>, _>("line_goods_ids")?.unwrap_or_default();
    let quantities: Vec<i64> = row.try_get::<Option<_>, _>("line_quantities")?.unwrap_or_default();
    let prices: Vec<Option<i64>> = row.try_get::<Option<_>, _>("line_prices")?.unwrap_or_default();
    let currencies: Vec<Option<String>> = row.try_get::<Option<_>, _>("line_currencies")?.unwrap_or_default();
    let columns = goods.into_iter().zip(quantities).zip(prices.into_iter().zip(currencies));
    columns
        .map(|((goods_id, quantity), (price, currency))| {
            let currency = currency
                .map(Currency::try_from)
                .transpose()
                .map_err(|error| undecodable("line_currencies", error))?;
            Ok(Line {
                goods_id: GoodsId::new(goods_id),
                quantity: narrow(quantity, "line_quantities")?,
                unit_price: price.zip(currency).map(|(amount, currency)| Money::new(amount, currency)),
            })
        })
        .collect()
}

/// A number that is kept in a wider column than it needs, because Postgres has no unsigned ones.
fn narrow<T, N>(number: T, column: &str) -> Result<N, sqlx::Error>
where
    N: TryFrom<T, Error: std::error::Error + Send + Sync + 'static>,
{
    N::try_from(number).map_err(|error| undecodable(column, error))
}
