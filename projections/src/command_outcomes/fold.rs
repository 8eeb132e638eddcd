//! Traces, folded from events and outcomes: the events of one command are one row, an outcome is another. The topics of
//! a service are read side by side, so nothing here depends on the order between them.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use factfold_schemas::{
    ids::StreamId,
    position::Position,
    record::{Cause, Outcome, RecordedOutcome},
};
use sqlx::PgConnection;

use super::store;
use crate::{
    error::{Contradiction, Violation},
    projector::{Entry, Record, Stop},
};

/// What one command left behind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row<'a> {
    /// The record that says so last.
    pub(super) at: Position,
    pub(super) cause: &'a Cause,
    pub(super) stream: Option<&'a StreamId>,
    pub(super) what: What<'a>,
}

/// Events, or an outcome.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What<'a> {
    /// Its events took the stream to this version.
    Accepted { version: u64 },
    /// It gave no events.
    Outcome { outcome: &'a Outcome, after: Option<Position> },
}

/// The row of each decided position. (Traces lie in its partition: the projector checks that.)
pub(crate) type Rows<'a> = BTreeMap<Position, Row<'a>>;

/// Folds these records into the table.
pub(crate) async fn write(connection: &mut PgConnection, entries: &[Entry]) -> Result<(), Stop> {
    let rows = fold(entries)?;
    match store::rows(connection, &rows).await? {
        None => Ok(()),
        Some(row) => Err(second_trace(&row).into()),
    }
}

/// The rows that these records make.
pub(crate) fn fold(entries: &[Entry]) -> Result<Rows<'_>, Violation> {
    let mut rows = Rows::new();
    entries.iter().try_for_each(|entry| add(&mut rows, entry))?;
    Ok(rows)
}

/// One record.
fn add<'a>(rows: &mut Rows<'a>, entry: &'a Entry) -> Result<(), Violation> {
    let row = match &entry.record {
        Record::Functions(event) => accepted(entry.at, &event.cause, &event.stream, event.version),
        Record::Goods(event) => accepted(entry.at, &event.cause, &event.stream, event.version),
        Record::Orders(event) => accepted(entry.at, &event.cause, &event.stream, event.version),
        Record::Users(event) => accepted(entry.at, &event.cause, &event.stream, event.version),
        Record::Outcome(outcome) => traced(entry.at, outcome),
    };
    match rows.entry(row.cause.decided) {
        Slot::Vacant(slot) => drop(slot.insert(row)),
        Slot::Occupied(mut slot) if continues(slot.get(), &row) => drop(slot.insert(row)),
        Slot::Occupied(_) => return Err(second_trace(&row)),
    }
    Ok(())
}

/// Whether this is the next event of the same command.
fn continues(last: &Row<'_>, next: &Row<'_>) -> bool {
    let same = last.stream == next.stream && last.cause.command_id == next.cause.command_id;
    matches!((&last.what, &next.what), (What::Accepted { version: last }, What::Accepted { version: next })
        if same && *next == last + 1)
}

fn accepted<'a>(at: Position, cause: &'a Cause, stream: &'a StreamId, version: u64) -> Row<'a> {
    Row { at, cause, stream: Some(stream), what: What::Accepted { version } }
}

fn traced(at: Position, recorded: &RecordedOutcome) -> Row<'_> {
    let what = What::Outcome { outcome: &recorded.outcome, after: recorded.after };
    Row { at, cause: &recorded.cause, stream: recorded.stream.as_ref(), what }
}

fn second_trace(row: &Row<'_>) -> Violation {
    let contradiction = Contradiction::SecondTrace { decided: row.cause.decided };
    Violation { at: row.at, stream: row.stream.cloned(), contradiction }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{record::NoChange, topics::Service};

    use super::*;
    use crate::projector::fixtures::{cause, event};

    fn outcome(decided: i64) -> Entry {
        let outcome = RecordedOutcome {
            stream: None,
            cause: cause(Service::Orders, "c1", decided),
            after: None,
            outcome: Outcome::NoChange(NoChange { command: "PayOrder".to_owned() }),
        };
        Entry { at: Position::new(Service::Orders.outcomes(), 0, 1), record: Record::Outcome(outcome) }
    }

    #[test]
    fn events_of_one_command_are_one_row() {
        let entries = [event(10, "c1", 5, 1), event(11, "c1", 5, 2), outcome(6)];
        let rows = fold(&entries).expect("sound traces");
        let what: Vec<_> = rows.into_values().map(|row| row.what).collect();
        assert_eq!(what[0], What::Accepted { version: 2 });
        assert!(matches!(what[1], What::Outcome { .. }));
        assert_eq!(what.len(), 2);
    }

    /// DESIGN, section 5, rule 9: each command leaves exactly one trace, on whichever topic.
    #[test]
    fn a_second_trace_is_refused() {
        for entries in [
            [event(10, "c1", 5, 1), outcome(5)],
            [outcome(5), event(10, "c1", 5, 1)],
            [outcome(5), outcome(5)],
            [event(10, "c1", 5, 1), event(11, "c2", 5, 2)],
            [event(10, "c1", 5, 1), event(11, "c1", 5, 1)],
        ] {
            let refused = fold(&entries).expect_err("must be refused");
            assert!(matches!(refused.contradiction, Contradiction::SecondTrace { .. }));
        }
    }
}
