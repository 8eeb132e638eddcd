//! Questions to the read model `goods`.

use factfold_schemas::{goods::Goods, ids::GoodsId, money::Money};
use sqlx::{PgConnection, PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    page::{Cursor, Page, PageRequest},
    postgres::{Time, required, time, version},
};

/// Which goods are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GoodsFilter {
    /// Only those that are sold no more, or only those that still are.
    pub discontinued: Option<bool>,
}

/// The goods with this id.
pub(crate) async fn find(database: impl PgExecutor<'_>, id: GoodsId) -> Result<Option<Goods>, sqlx::Error> {
    let row =
        sqlx::query("SELECT * FROM goods WHERE id = $1").bind(id.uuid()).fetch_optional(database).await?;
    row.as_ref().map(goods).transpose()
}

/// Those of these goods that are there, in no order.
pub(super) async fn load(connection: &mut PgConnection, ids: &[GoodsId]) -> Result<Vec<Goods>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query("SELECT * FROM goods WHERE id = ANY($1)").bind(ids).fetch_all(connection).await?;
    rows.iter().map(goods).collect()
}

/// A page of goods, newest first.
pub(crate) async fn list(
    database: impl PgExecutor<'_>,
    filter: &GoodsFilter,
    page: &PageRequest,
) -> Result<Page<Goods>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT * FROM goods
         WHERE ($1::BOOLEAN IS NULL OR discontinued = $1)
           AND ($2::TIMESTAMPTZ IS NULL OR (created_at, id) < ($2, $3::UUID))
         ORDER BY created_at DESC, id DESC
         LIMIT $4",
    )
    .bind(filter.discontinued)
    .bind(page.after.map(|cursor| Time(cursor.created_at)))
    .bind(page.after.map(|cursor| cursor.id))
    .bind(page.rows())
    .fetch_all(database)
    .await?;
    let items = rows.iter().map(goods).collect::<Result<_, _>>()?;
    Ok(Page::of(items, page, |goods| Cursor { created_at: goods.created_at, id: goods.id.uuid() }))
}

fn goods(row: &PgRow) -> Result<Goods, sqlx::Error> {
    Ok(Goods {
        id: GoodsId::new(row.try_get("id")?),
        version: version(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        name: row.try_get("name")?,
        price: Money::new(row.try_get("price")?, required(row, "currency")?),
        stock: row.try_get("stock")?,
        discontinued: row.try_get("discontinued")?,
    })
}
