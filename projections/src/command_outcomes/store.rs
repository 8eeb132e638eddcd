//! Writes traces, and says of which there was one already.

use factfold_schemas::{
    nul,
    record::{DeadLettered, Forwarded, NoChange, Outcome, Rejected, Repeated, Scheduled},
    rejection::Rejection,
};
use jiff::Timestamp;
use sqlx::{PgConnection, error::DatabaseError as _, postgres::PgDatabaseError};

use super::fold::{Row, Rows, What};
use crate::{
    postgres::Text,
    table::{Jsonb, Table},
};

/// The columns in which kinds of traces differ.
#[derive(Default)]
struct Columns<'a> {
    status: &'static str,
    command: Option<&'a str>,
    version: Option<i64>,
    reason: Option<&'a str>,
    detail: Option<&'a str>,
    rejection: Option<String>,
    first: Option<String>,
    forwarded_to: Option<i32>,
    due: Option<Timestamp>,
    after: Option<String>,
}

impl<'a> Columns<'a> {
    fn of(row: &Row<'a>) -> Self {
        let (outcome, after) = match &row.what {
            What::Accepted { version } => {
                let version = Some(version.cast_signed());
                return Self { status: "accepted", version, ..Self::default() };
            }
            What::Outcome { outcome, after } => (*outcome, after.map(|position| position.to_string())),
        };
        let columns = Self { after, ..Self::default() };
        match outcome {
            Outcome::Rejected(Rejected { command, rejection }) => Self {
                status: "rejected",
                command: Some(command),
                reason: Some(&rejection.name),
                detail: Some(&rejection.detail),
                rejection: Some(json(rejection)),
                ..columns
            },
            Outcome::NoChange(NoChange { command }) => {
                Self { status: "no-change", command: Some(command), ..columns }
            }
            Outcome::Repeated(Repeated { command, first }) => {
                Self { status: "repeated", command: Some(command), first: Some(first.to_string()), ..columns }
            }
            Outcome::Forwarded(Forwarded { from: _, to }) => {
                Self { status: "forwarded", forwarded_to: Some(*to), ..columns }
            }
            Outcome::Scheduled(Scheduled { command, due }) => {
                Self { status: "scheduled", command: Some(command), due: Some(*due), ..columns }
            }
            Outcome::DeadLettered(DeadLettered { reason }) => Self {
                status: "dead-lettered",
                reason: Some(&reason.name),
                detail: Some(&reason.detail),
                ..columns
            },
        }
    }
}

fn json(rejection: &Rejection) -> String {
    let json = serde_json::to_string(rejection).expect("a rejection is plain data");
    nul::replaced_in_json(json)
}

/// Writes these rows. Gives back one of which the table had another trace already, if there is one.
///
/// Events of one command come in one batch, since a batch is made of whole commands.
pub(crate) async fn rows<'a>(
    connection: &mut PgConnection,
    rows: &Rows<'a>,
) -> Result<Option<Row<'a>>, sqlx::Error> {
    let columns: Vec<_> = rows.values().map(|row| (row, Columns::of(row))).collect();
    let written = Table::of("command_outcomes", &columns)
        .key("decided", |(row, _)| row.cause.decided.to_string())
        .column("stored", |(row, _)| row.cause.stored.to_string())
        .column("command_id", |(row, _)| Text(&row.cause.command_id))
        .column("source", |(row, _)| Text(&row.cause.source))
        .column("stream", |(row, _)| row.stream.map(|stream| Text(stream.as_str())))
        .column("decided_at", |(row, _)| row.cause.time)
        .column("auth_kind", |(row, _)| row.cause.auth.as_ref().map(|auth| Text(auth.kind())))
        .column("auth_id", |(row, _)| row.cause.auth.as_ref().and_then(|auth| auth.id()).map(Text))
        .column("correlation", |(row, _)| row.cause.correlation.as_deref().map(Text))
        .column("status", |(_, of)| of.status)
        .column("command", |(_, of)| of.command.map(Text))
        .column("version", |(_, of)| of.version)
        .column("reason", |(_, of)| of.reason.map(Text))
        .column("detail", |(_, of)| of.detail.map(Text))
        .column("rejection", |(_, of)| of.rejection.clone().map(Jsonb))
        .column("first", |(_, of)| of.first.clone())
        .column("forwarded_to", |(_, of)| of.forwarded_to)
        .column("due", |(_, of)| of.due)
        .column("after", |(_, of)| of.after.clone())
        .insert(connection)
        .await;
    let Err(error) = written else { return Ok(None) };
    match taken(&error) {
        Some(key) => {
            let is_taken = |row: &&Row<'_>| key.contains(&format!("({})", row.cause.decided));
            rows.values().find(is_taken).cloned().map(Some).ok_or(error)
        }
        None => Err(error),
    }
}

/// What Postgres says of a key that is there already.
fn taken(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    error.detail().filter(|_| error.is_unique_violation())
}
