//! `command_outcomes` has exactly one row for each trace, and it says the same. True when all is quiet.

use std::collections::BTreeMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::{
    ids::StreamId,
    position::Position,
    record::{Cause, Outcome},
};

use crate::{
    history::{Log, ServiceLog},
    report::Report,
    shown::{OutcomeRow, Shown},
};

const NAME: &str = "outcome rows";

/// Compares the rows with the traces.
pub fn check(log: &Log, shown: &Shown, report: &mut Report) {
    let mut rows = BTreeMap::<&str, Vec<&OutcomeRow>>::new();
    for row in &shown.outcomes {
        rows.entry(&row.decided).or_default().push(row);
    }
    let expected = rows_of(&log.goods).into_iter().chain(rows_of(&log.orders)).chain(rows_of(&log.users));
    let expected = expected.chain(rows_of(&log.functions));
    for (decided, expected) in expected {
        match rows.remove(expected.decided.as_str()).unwrap_or_default().as_slice() {
            [row] if **row == expected => {}
            [row] => report.add(NAME, decided, format!("expected {expected:?}, but the row says {row:?}")),
            rows => report.add(NAME, decided, format!("it has {} rows", rows.len())),
        }
    }
    for (decided, rows) in rows {
        let at = decided.parse::<Position>().ok();
        report.add(NAME, at, format!("{} rows of {decided}, which has no trace", rows.len()));
    }
}

/// The rows that must be there.
pub fn rows_of<D: Decider>(log: &ServiceLog<D>) -> BTreeMap<Position, OutcomeRow> {
    let mut rows = BTreeMap::new();
    for event in log.events.iter().map(|event| &event.record) {
        let row = OutcomeRow {
            status: "accepted".to_owned(),
            version: Some(event.version.cast_signed()),
            ..row_of(&event.cause, Some(&event.stream))
        };
        rows.insert(event.cause.decided, row);
    }
    for outcome in log.outcomes.iter().map(|outcome| &outcome.record) {
        let row = OutcomeRow {
            after: outcome.after.map(|after| after.to_string()),
            ..row_of(&outcome.cause, outcome.stream.as_ref())
        };
        rows.insert(outcome.cause.decided, with_outcome(row, &outcome.outcome));
    }
    rows
}

fn with_outcome(row: OutcomeRow, outcome: &Outcome) -> OutcomeRow {
    match outcome.clone() {
        Outcome::Rejected(rejected) => OutcomeRow {
            status: "rejected".to_owned(),
            command: Some(rejected.command),
            reason: Some(rejected.rejection.name.clone()),
            detail: Some(rejected.rejection.detail.clone()),
            rejection: serde_json::to_value(rejected.rejection).ok(),
            ..row
        },
        Outcome::NoChange(no_change) => {
            OutcomeRow { status: "no-change".to_owned(), command: Some(no_change.command), ..row }
        }
        Outcome::Repeated(repeated) => OutcomeRow {
            status: "repeated".to_owned(),
            command: Some(repeated.command),
            first: Some(repeated.first.to_string()),
            ..row
        },
        Outcome::Forwarded(forwarded) => {
            OutcomeRow { status: "forwarded".to_owned(), forwarded_to: Some(forwarded.to), ..row }
        }
        Outcome::Scheduled(scheduled) => OutcomeRow {
            status: "scheduled".to_owned(),
            command: Some(scheduled.command),
            due_ms: Some(scheduled.due.as_millisecond()),
            ..row
        },
        Outcome::DeadLettered(dead) => OutcomeRow {
            status: "dead-lettered".to_owned(),
            reason: Some(dead.reason.name),
            detail: Some(dead.reason.detail),
            ..row
        },
    }
}

fn row_of(cause: &Cause, stream: Option<&StreamId>) -> OutcomeRow {
    OutcomeRow {
        decided: cause.decided.to_string(),
        stored: cause.stored.to_string(),
        command_id: cause.command_id.clone(),
        source: cause.source.clone(),
        stream: stream.map(StreamId::to_string),
        decided_ms: cause.time.as_millisecond(),
        auth_kind: cause.auth.as_ref().map(|auth| auth.kind().to_owned()),
        auth_id: cause.auth.as_ref().and_then(|auth| auth.id()).map(str::to_owned),
        correlation: cause.correlation.clone(),
        ..OutcomeRow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, shown, sound};

    fn planted(plant: impl Fn(&mut Vec<OutcomeRow>)) {
        let log = sound();
        let mut shown = shown(&log);
        plant(&mut shown.outcomes);
        finds(NAME, |report| check(&log, &shown, report));
    }

    #[test]
    fn one_row_for_each_trace_is_no_finding() {
        let log = sound();
        let mut report = Report::default();
        check(&log, &shown(&log), &mut report);
        assert_eq!(report.findings, []);
    }

    #[test]
    fn rows_that_are_missing_twice_surplus_or_different_are_found() {
        planted(|rows| drop(rows.pop()));
        planted(|rows| rows.extend(rows.last().cloned()));
        planted(|rows| rows[0].decided = "goods.commands/0@9999".to_owned());
        planted(|rows| rows[0].status = "no-change".to_owned());
    }
}
