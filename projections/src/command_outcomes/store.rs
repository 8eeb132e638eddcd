//! Writes traces: all rows of a batch in one statement, which says what was there already.

use std::collections::HashSet;

use factfold_schemas::{
    nul,
    record::{DeadLettered, Forwarded, NoChange, Outcome, Rejected, Repeated, Scheduled},
    rejection::Rejection,
};
use jiff::Timestamp;
use sqlx::PgConnection;

use super::fold::{Row, Rows, What};
use crate::postgres::{Text, Time};

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
    fn column<'a, T>(rows: &Rows<'a>, of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
        rows.values().map(of).collect()
    }
    let columns: Vec<_> = rows.values().map(Columns::of).collect();
    fn each<'a, T>(columns: &'a [Columns<'a>], of: impl Fn(&'a Columns<'a>) -> T) -> Vec<T> {
        columns.iter().map(of).collect()
    }
    let written: Vec<String> = sqlx::query_scalar(
        "INSERT INTO command_outcomes
             (decided, stored, command_id, source, stream, decided_at, auth_kind, auth_id, correlation,
              status, command, version, reason, detail, rejection, first, forwarded_to, due, after)
         SELECT decided, stored, command_id, source, stream, decided_at, auth_kind, auth_id, correlation,
                status, command, version, reason, detail, rejection::JSONB, first, forwarded_to, due, after
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TIMESTAMPTZ[],
                     $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::BIGINT[],
                     $13::TEXT[], $14::TEXT[], $15::TEXT[], $16::TEXT[], $17::INTEGER[], $18::TIMESTAMPTZ[],
                     $19::TEXT[])
             AS r (decided, stored, command_id, source, stream, decided_at, auth_kind, auth_id, correlation,
                   status, command, version, reason, detail, rejection, first, forwarded_to, due,
                   after)
         ON CONFLICT (decided) DO NOTHING
         RETURNING decided",
    )
    .bind(column(rows, |row| row.cause.decided.to_string()))
    .bind(column(rows, |row| row.cause.stored.to_string()))
    .bind(column(rows, |row| Text(&row.cause.command_id)))
    .bind(column(rows, |row| Text(&row.cause.source)))
    .bind(column(rows, |row| row.stream.map(|stream| Text(stream.as_str()))))
    .bind(column(rows, |row| Time(row.cause.time)))
    .bind(column(rows, |row| row.cause.auth.as_ref().map(|auth| Text(auth.kind()))))
    .bind(column(rows, |row| row.cause.auth.as_ref().and_then(|auth| auth.id()).map(Text)))
    .bind(column(rows, |row| row.cause.correlation.as_deref().map(Text)))
    .bind(each(&columns, |row| row.status))
    .bind(each(&columns, |row| row.command.map(Text)))
    .bind(each(&columns, |row| row.version))
    .bind(each(&columns, |row| row.reason.map(Text)))
    .bind(each(&columns, |row| row.detail.map(Text)))
    .bind(each(&columns, |row| row.rejection.as_deref()))
    .bind(each(&columns, |row| row.first.as_deref()))
    .bind(each(&columns, |row| row.forwarded_to))
    .bind(each(&columns, |row| row.due.map(Time)))
    .bind(each(&columns, |row| row.after.as_deref()))
    .fetch_all(connection)
    .await?;
    if written.len() == rows.len() {
        return Ok(None);
    }
    let written: HashSet<_> = written.into_iter().collect();
    Ok(rows.values().find(|row| !written.contains(&row.cause.decided.to_string())).cloned())
}
