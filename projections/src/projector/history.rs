//! What must hold for every record of a partition, whatever is folded from it. Pure; it never lets a doubtful record pass.

use factfold_schemas::position::Position;

use super::record::Entry;
use crate::error::{Contradiction, Violation};

/// Checks these records of one partition, which come as whole commands after everything up to the decided offset `last`.
/// Gives the decided offset of the last of them.
pub(super) fn check(entries: &[Entry], mut last: Option<i64>) -> Result<Option<i64>, Violation> {
    let mut previous: Option<&Entry> = None;
    for entry in entries {
        check_one(entry, previous, last).map_err(|contradiction| Violation {
            at: entry.at,
            stream: entry.record.stream().cloned(),
            contradiction,
        })?;
        last = Some(entry.record.cause().decided.offset);
        previous = Some(entry);
    }
    Ok(last)
}

fn check_one(entry: &Entry, previous: Option<&Entry>, last: Option<i64>) -> Result<(), Contradiction> {
    let decided = entry.record.cause().decided;
    if decided.topic != entry.at.topic.service.commands() || decided.partition != entry.at.partition {
        return Err(Contradiction::DecidedElsewhere { found: decided });
    }
    match last {
        Some(_) if previous.is_some_and(|previous| previous.is_of_same_command(entry)) => Ok(()),
        Some(last) if decided.offset == last => Err(Contradiction::SecondTrace { decided }),
        Some(last) if decided.offset < last => {
            Err(Contradiction::DecidedFalls { last: Position { offset: last, ..decided }, found: decided })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::record::{Record, fixtures::event};

    fn refused(entries: &[Entry], last: Option<i64>) -> Contradiction {
        check(entries, last).expect_err("must be refused").contradiction
    }

    #[test]
    fn events_of_one_command_pass_together() {
        let entries = [event(10, "c1", 5, 1), event(11, "c1", 5, 2), event(14, "c2", 9, 3)];
        assert_eq!(check(&entries, Some(4)).expect("a sound history"), Some(9));
        assert_eq!(check(&[], Some(4)).expect("nothing"), Some(4));
    }

    /// DESIGN, section 4: decided positions rise, and no command took effect twice.
    #[test]
    fn a_command_cannot_be_decided_twice() {
        assert!(matches!(refused(&[event(10, "c1", 5, 1)], Some(5)), Contradiction::SecondTrace { .. }));
        assert!(matches!(refused(&[event(10, "c1", 4, 1)], Some(5)), Contradiction::DecidedFalls { .. }));
        let two = [event(10, "c1", 5, 1), event(11, "c2", 5, 2)];
        assert!(matches!(refused(&two, None), Contradiction::SecondTrace { .. }));
    }

    /// DESIGN, section 7: progress is one number a partition, so a record of another partition's command would lie.
    #[test]
    fn a_record_lies_with_its_command() {
        let mut stray = event(10, "c1", 5, 1);
        if let Record::Orders(event) = &mut stray.record {
            event.cause.decided.partition += 1;
        }
        assert!(matches!(refused(&[stray], None), Contradiction::DecidedElsewhere { .. }));
    }
}
