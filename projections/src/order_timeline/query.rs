//! Questions to the read model `order_timeline`.

use factfold_schemas::{command::Auth, ids::OrderId, position::Position};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{PgExecutor, Row, postgres::PgRow};

use crate::postgres::{auth, required, time, version};

/// One event in the history of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// Its place: 1, 2, 3 …
    pub version: u64,
    /// The type of the event: `OrderPaid`.
    pub event: String,
    /// What the event says.
    pub data: Value,
    /// The broker's time of the command.
    pub at: Timestamp,
    /// On whose behalf.
    pub auth: Option<Auth>,
    /// What belongs together, across streams and services.
    pub correlation: Option<String>,
    /// The id of the command that it follows from.
    pub command_id: String,
    /// The position of that command, as it was decided.
    pub decided: Position,
}

/// The history of this order; empty when there is none.
pub(crate) async fn of_order(
    database: impl PgExecutor<'_>,
    id: OrderId,
) -> Result<Vec<TimelineEntry>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM order_timeline WHERE order_id = $1 ORDER BY version")
        .bind(id.uuid())
        .fetch_all(database)
        .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> Result<TimelineEntry, sqlx::Error> {
    Ok(TimelineEntry {
        version: version(row, "version")?,
        event: row.try_get("type")?,
        data: row.try_get("data")?,
        at: time(row, "at")?,
        auth: auth(row)?,
        correlation: row.try_get("correlation")?,
        command_id: row.try_get("command_id")?,
        decided: required(row, "decided")?,
    })
}
