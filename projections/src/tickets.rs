//! Tickets that were used: the one thing here that no event tells. Gateways have to agree on it, and only for as long as a
//! ticket could be good.

use jiff::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::postgres::Time;

/// Notes that this ticket is used. False when it was before, at whatever gateway.
pub(crate) async fn take(
    database: impl PgExecutor<'_>,
    ticket: Uuid,
    expires_at: Timestamp,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query(
        "WITH forgotten AS (DELETE FROM used_tickets WHERE expires_at < now() - INTERVAL '1 hour')
         INSERT INTO used_tickets (ticket, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(ticket)
    .bind(Time(expires_at))
    .execute(database)
    .await?;
    Ok(taken.rows_affected() == 1)
}
