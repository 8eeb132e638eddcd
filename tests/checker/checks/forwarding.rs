//! What was misplaced was moved once (rule 12): each `Forwarded` has exactly one copy, where its key belongs, which says
//! the same under the same name; each copy comes from a `Forwarded`; and when all is quiet, each copy has its own trace.

use std::collections::BTreeMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::{position::Position, record::Outcome};

use crate::{history::ServiceLog, read::Command, report::Report};

const NAME: &str = "forwarding";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, quiet: bool, report: &mut Report) {
    let (traces, commands) = (log.traces(), log.commands_by_position());
    let mut copies = BTreeMap::<Position, Vec<&Command>>::new();
    for command in &log.commands {
        let header = command.header();
        if let Some(from) = header.forwarded_from.filter(|_| header.scheduled_from.is_none()) {
            copies.entry(from).or_default().push(command);
        }
    }
    for outcome in &log.outcomes {
        let Outcome::Forwarded(forwarded) = &outcome.record.outcome else { continue };
        let from = outcome.record.cause.decided;
        let copies = copies.remove(&from).unwrap_or_default();
        let [copy] = copies.as_slice() else {
            let places: Vec<_> = copies.iter().map(|copy| copy.at.to_string()).collect();
            report.add(NAME, from, format!("forwarded, but its copies are {places:?}"));
            continue;
        };
        if (forwarded.from, forwarded.to) != (from.partition, copy.at.partition) {
            report.add(NAME, from, format!("{forwarded:?}, but its copy is {}", copy.at));
        }
        if commands.get(&from).is_some_and(|first| !is_copy(first, copy)) {
            report.add(NAME, copy.at, format!("it is no copy of {from}"));
        }
        let trace = traces.get(&copy.at);
        if quiet && trace.is_none() {
            report.add(NAME, copy.at, format!("the copy of {from} has no trace"));
        }
        for (at, cause) in trace.into_iter().flat_map(|trace| trace.causes()) {
            if cause.stored != from {
                report.add(NAME, at, format!("it says stored at {}, but that was {from}", cause.stored));
            }
        }
    }
    // What is left was moved by nobody.
    for (from, copies) in copies {
        for copy in copies {
            if log.is_done(from) || quiet {
                report.add(NAME, copy.at, format!("a copy of {from}, which was not forwarded"));
            }
        }
    }
}

fn is_copy(first: &Command, copy: &Command) -> bool {
    match (&first.read, &copy.read) {
        (Ok(one), Ok(other)) => {
            let header =
                factfold_schemas::command::Header { forwarded_from: Some(first.at), ..one.header.clone() };
            header == other.header
                && (&one.stream, &one.type_name, &one.value)
                    == (&other.stream, &other.type_name, &other.value)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds_at, sound};

    fn a_copy<D: Decider>(log: &ServiceLog<D>) -> (Position, Position, usize) {
        let of = |command: &Command| command.header().forwarded_from;
        let (place, from) =
            log.commands.iter().enumerate().find_map(|(n, c)| Some((n, of(c)?))).expect("a copy");
        (from, log.commands[place].at, place)
    }

    #[test]
    fn a_lost_copy_is_found() {
        let mut log = sound();
        let (from, _, place) = a_copy(&log.goods);
        log.goods.commands.remove(place);
        finds_at(NAME, from, |report| check(&log.goods, true, report));
    }

    #[test]
    fn a_second_copy_is_found() {
        let mut log = sound();
        let (from, _, place) = a_copy(&log.goods);
        let mut second = log.goods.commands[place].clone();
        second.at.offset += 1000;
        log.goods.commands.push(second);
        finds_at(NAME, from, |report| check(&log.goods, true, report));
    }

    #[test]
    fn a_copy_that_says_something_else_is_found() {
        let mut log = sound();
        let (_, at, place) = a_copy(&log.goods);
        log.goods.commands[place].read.as_mut().expect("readable").value.push(b' ');
        finds_at(NAME, at, |report| check(&log.goods, true, report));
    }

    #[test]
    fn a_copy_without_a_trace_is_found() {
        let mut log = sound();
        let (_, at, _) = a_copy(&log.goods);
        log.goods.events.retain(|event| event.record.cause.decided != at);
        finds_at(NAME, at, |report| check(&log.goods, true, report));
    }

    #[test]
    fn a_copy_of_what_was_not_forwarded_is_found() {
        let mut log = sound();
        let (from, at, _) = a_copy(&log.goods);
        log.goods.outcomes.retain(|outcome| outcome.record.cause.decided != from);
        finds_at(NAME, at, |report| check(&log.goods, true, report));
    }
}
