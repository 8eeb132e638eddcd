//! Versions of each stream count 1, 2, 3 …; decided positions rise within each partition of events, and of outcomes;
//! every record lies in the partition of the command that was decided, and events lie where their stream belongs; an
//! outcome's `after` is the last command of its partition that gave events before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use factfold_consumers::decider::Decider;
use factfold_schemas::{position::Position, record::Cause};

use crate::{history::ServiceLog, report::Report};

const NAME: &str = "order";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, report: &mut Report) {
    let mut versions = HashMap::new();
    let mut last = BTreeMap::<i32, Position>::new();
    for event in &log.events {
        let (at, event) = (event.at, &event.record);
        let version = versions.entry(&event.stream).or_insert(0);
        if event.version != *version + 1 {
            report.add(NAME, at, format!("{} follows version {version}", event.id()));
        }
        *version = event.version;
        if log.home(&event.stream) != at.partition {
            report.add(
                NAME,
                at,
                format!("{} belongs in partition {}", event.stream, log.home(&event.stream)),
            );
        }
        placed(at, &event.cause, log, report);
        match last.insert(at.partition, event.cause.decided) {
            Some(before) if before > event.cause.decided => {
                report.add(NAME, at, format!("{} was decided after {before}", event.cause.decided));
            }
            _ => {}
        }
    }
    let gave_events: BTreeSet<Position> = log.events.iter().map(|e| e.record.cause.decided).collect();
    let mut last = BTreeMap::<i32, Position>::new();
    for outcome in &log.outcomes {
        let (at, outcome) = (outcome.at, &outcome.record);
        let decided = outcome.cause.decided;
        placed(at, &outcome.cause, log, report);
        match last.insert(at.partition, decided) {
            Some(before) if before >= decided => {
                report.add(NAME, at, format!("{decided} was decided after {before}"));
            }
            _ => {}
        }
        let before = Position { offset: 0, ..decided };
        let after = gave_events.range(before..decided).next_back().copied();
        if outcome.after != after {
            report.add(NAME, at, format!("it says after {:?}, but it was {after:?}", outcome.after));
        }
    }
}

fn placed<D: Decider>(at: Position, cause: &Cause, log: &ServiceLog<D>, report: &mut Report) {
    let decided = cause.decided;
    if decided.topic != D::SERVICE.commands() || decided.partition != at.partition {
        report.add(NAME, at, format!("it cannot come from {decided}"));
    }
    if at.partition >= log.partitions {
        report.add(NAME, at, format!("there are {} partitions", log.partitions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, finds_at, sound};

    #[test]
    fn a_gap_in_a_stream_is_found() {
        let mut log = sound();
        log.goods.events.retain(|event| event.record.version != 2);
        finds(NAME, |report| check(&log.goods, report));
    }

    #[test]
    fn a_version_that_comes_twice_is_found() {
        let mut log = sound();
        let mut twice = log.goods.events.last().expect("an event").clone();
        twice.at.offset += 1;
        let at = twice.at;
        log.goods.events.push(twice);
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn a_decided_position_that_falls_is_found() {
        let mut log = sound();
        let last = log.orders.events.last_mut().expect("an event");
        last.record.cause.decided.offset = 0;
        let at = last.at;
        finds_at(NAME, at, |report| check(&log.orders, report));

        let mut log = sound();
        let (first, at) = (log.goods.outcomes[0].record.cause.decided, log.goods.outcomes[1].at);
        log.goods.outcomes[1].record.cause.decided = first;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn a_record_in_another_partition_is_found() {
        let mut log = sound();
        log.goods.events[0].at.partition += 1;
        let at = log.goods.events[0].at;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn an_outcome_that_hides_what_was_before_it_is_found() {
        let mut log = sound();
        let outcome = log.goods.outcomes.iter_mut().find(|outcome| outcome.record.after.is_some());
        let outcome = outcome.expect("an outcome after events");
        outcome.record.after = None;
        let at = outcome.at;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }
}
