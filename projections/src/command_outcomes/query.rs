//! Questions to the read model `command_outcomes`.

use factfold_schemas::{
    command::Auth,
    ids::StreamId,
    position::Position,
    record::{Answer, DeadLetterReason},
    rejection::Rejection,
};
use jiff::Timestamp;
use sqlx::{PgPool, Row, postgres::PgRow, types::Json};

use crate::postgres::{Text, auth, parsed, required, time, undecodable, version};

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandOutcome {
    /// The command's id.
    pub command_id: String,
    /// Who made that id.
    pub source: String,
    /// The stream that the command is about.
    pub stream: Option<StreamId>,
    /// The command's type, where its trace says it.
    pub command: Option<String>,
    /// Where the client stored the command.
    pub stored: Position,
    /// The record that was decided: another one when the command was forwarded, or had waited for its time.
    pub decided: Position,
    /// The broker's time of the command.
    pub decided_at: Timestamp,
    /// What the answer is.
    pub answer: Answer,
    /// Whether the command was a repeat: then the answer is that of the first under its id.
    pub repeated: bool,
    /// On whose behalf.
    pub auth: Option<Auth>,
    /// What belongs together, across streams and services.
    pub correlation: Option<String>,
}

/// What a waiting read needs to know of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The record that was decided.
    pub(crate) decided: Position,
    pub(crate) kind: TraceKind,
}

/// How far a read model must have come to be after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TraceKind {
    /// Its events must be folded.
    Accepted,
    /// It gave no events: those before it must be folded, if there are any.
    Outcome { after: Option<Position> },
    /// It goes on in this partition.
    Forwarded { to: i32 },
}

/// The trace of the record that was decided here.
pub(crate) async fn trace_at(database: &PgPool, decided: Position) -> Result<Option<Trace>, sqlx::Error> {
    let row =
        sqlx::query("SELECT decided, status, forwarded_to, after FROM command_outcomes WHERE decided = $1")
            .bind(decided.to_string())
            .fetch_optional(database)
            .await?;
    row.as_ref().map(trace).transpose()
}

/// The trace of the copy of the command that was stored here and forwarded; when that waited for its time, of the last one.
pub(crate) async fn copy_of(database: &PgPool, stored: Position) -> Result<Option<Trace>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT decided, status, forwarded_to, after FROM command_outcomes WHERE stored = $1 AND stored <> decided
         ORDER BY status = 'scheduled' LIMIT 1",
    )
    .bind(stored.to_string())
    .fetch_optional(database)
    .await?;
    row.as_ref().map(trace).transpose()
}

fn trace(row: &PgRow) -> Result<Trace, sqlx::Error> {
    let kind = match (row.try_get("status")?, row.try_get("forwarded_to")?) {
        ("accepted", _) => TraceKind::Accepted,
        (_, Some(to)) => TraceKind::Forwarded { to },
        _ => TraceKind::Outcome { after: parsed(row, "after")? },
    };
    Ok(Trace { decided: required(row, "decided")?, kind })
}

/// What became of the command with this id, stored `at` this position where that is known. Where it was forwarded, or had
/// waited for its time, what became of the copy; where it was a repeat, what became of the first. `None` while that is not
/// folded.
///
/// Ids are unique within their source and stream only: without a position it is the earliest that bears the id.
pub(crate) async fn find(
    database: &PgPool,
    id: &str,
    at: Option<Position>,
) -> Result<Option<CommandOutcome>, sqlx::Error> {
    let row = match at {
        Some(at) => by_position(database, id, &at.to_string()).await?,
        None => earliest(database, id).await?,
    };
    let Some(row) = row else { return Ok(None) };
    match row.try_get::<Option<&str>, _>("first")? {
        None => outcome(&row, &row).map(Some),
        Some(first) => {
            let first = last_of(database, first).await?;
            first.map(|first| outcome(&row, &first)).transpose()
        }
    }
}

async fn by_position(database: &PgPool, id: &str, at: &str) -> Result<Option<PgRow>, sqlx::Error> {
    sqlx::query(
        "SELECT * FROM (
             SELECT * FROM command_outcomes WHERE decided = $1
             UNION ALL
             SELECT * FROM command_outcomes WHERE stored = $1 AND stored <> decided
         ) AS traces
         WHERE command_id = $2 AND status <> 'forwarded'
         ORDER BY status = 'scheduled' LIMIT 1",
    )
    .bind(at)
    .bind(Text(id).replaced())
    .fetch_optional(database)
    .await
}

async fn earliest(database: &PgPool, id: &str) -> Result<Option<PgRow>, sqlx::Error> {
    sqlx::query(
        "SELECT * FROM command_outcomes WHERE command_id = $1 AND status <> 'forwarded'
         ORDER BY status = 'repeated', status = 'scheduled', decided_at LIMIT 1",
    )
    .bind(Text(id).replaced())
    .fetch_optional(database)
    .await
}

/// The row of the record that was decided here; where that waited for its time, of its copy, once there is one.
async fn last_of(database: &PgPool, decided: &str) -> Result<Option<PgRow>, sqlx::Error> {
    sqlx::query(
        "SELECT last.* FROM command_outcomes AS first
         JOIN command_outcomes AS last
           ON last.decided = first.decided
              OR (first.status = 'scheduled' AND last.stored = first.stored AND last.stored <> last.decided)
         WHERE first.decided = $1 AND last.status <> 'forwarded'
         ORDER BY last.status = 'scheduled' LIMIT 1",
    )
    .bind(decided)
    .fetch_optional(database)
    .await
}

/// The outcome of the command in `row`, with the answer that the one in `first` got.
fn outcome(row: &PgRow, first: &PgRow) -> Result<CommandOutcome, sqlx::Error> {
    Ok(CommandOutcome {
        command_id: row.try_get("command_id")?,
        source: row.try_get("source")?,
        stream: row.try_get::<Option<String>, _>("stream")?.map(StreamId::new),
        command: row.try_get("command")?,
        stored: required(row, "stored")?,
        decided: required(row, "decided")?,
        decided_at: time(row, "decided_at")?,
        answer: answer(first)?,
        repeated: row.try_get::<&str, _>("status")? == "repeated",
        auth: auth(row)?,
        correlation: row.try_get("correlation")?,
    })
}

fn answer(row: &PgRow) -> Result<Answer, sqlx::Error> {
    Ok(match row.try_get("status")? {
        "accepted" => Answer::Accepted { version: version(row, "version")? },
        "rejected" => Answer::Rejected { rejection: row.try_get::<Json<Rejection>, _>("rejection")?.0 },
        "no-change" => Answer::NoChange,
        "scheduled" => Answer::Scheduled { due: time(row, "due")? },
        "dead-lettered" => Answer::DeadLettered {
            reason: DeadLetterReason { name: row.try_get("reason")?, detail: row.try_get("detail")? },
        },
        other => return Err(undecodable("status", format!("`{other}` is not an answer"))),
    })
}
