//! What was put off comes once, and in its time: each `Scheduled` has exactly one copy, which says the same under the same
//! name, or still waits among the timers; each copy comes from a `Scheduled`; and none is decided before it is due.

use std::collections::BTreeMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::{command::Header, position::Position, record::Outcome, timer::Timer};

use crate::{history::ServiceLog, log::Record, read::Command, report::Report};

const NAME: &str = "timers";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, quiet: bool, report: &mut Report) {
    let (traces, commands, waiting) = (log.traces(), log.commands_by_position(), waiting(&log.timers));
    let mut copies = BTreeMap::<Position, Vec<&Command>>::new();
    for command in &log.commands {
        if let Some(from) = command.header().scheduled_from {
            copies.entry(from).or_default().push(command);
        }
    }
    for outcome in &log.outcomes {
        let Outcome::Scheduled(scheduled) = &outcome.record.outcome else { continue };
        let from = outcome.record.cause.decided;
        let waits = waiting.contains_key(&from);
        let copies = copies.remove(&from).unwrap_or_default();
        match (copies.as_slice(), waits) {
            ([], true) => {
                if waiting[&from].due != scheduled.due {
                    report.add(NAME, from, format!("{scheduled:?}, but the timer says {:?}", waiting[&from]));
                }
            }
            ([copy], is_behind) => {
                // While the system runs, the timers were read before the commands.
                if is_behind && quiet {
                    report.add(NAME, from, format!("it waits, though its copy is {}", copy.at));
                }
                if commands.get(&from).is_some_and(|first| !is_copy(first, copy)) {
                    report.add(NAME, copy.at, format!("it is no copy of {from}"));
                }
                if quiet && !traces.contains_key(&copy.at) {
                    report.add(NAME, copy.at, format!("the copy of {from} has no trace"));
                }
            }
            (copies, _) => {
                let places: Vec<_> = copies.iter().map(|copy| copy.at.to_string()).collect();
                report.add(
                    NAME,
                    from,
                    format!("scheduled, but it does not wait, and its copies are {places:?}"),
                );
            }
        }
    }
    // What is left was published by no timer.
    for (from, copies) in copies {
        for copy in copies {
            if log.is_done(from) || quiet {
                report.add(NAME, copy.at, format!("a copy of {from}, which was not scheduled"));
            }
        }
    }
    for (at, trace) in &traces {
        let not_before = commands.get(at).and_then(|command| command.header().not_before);
        let early = trace.causes().find(|(_, cause)| not_before.is_some_and(|due| cause.time < due));
        let had_effect = !trace.events.is_empty() || matches!(trace.outcome(), Some(Outcome::NoChange(_)));
        if let (Some((_, cause)), true) = (early, had_effect) {
            let what = format!("decided at {}, though it was to wait until {not_before:?}", cause.time);
            report.add(NAME, *at, what);
        }
    }
}

/// The timers that still wait, by the record that set them: those without a tombstone.
pub fn waiting(timers: &[Record]) -> BTreeMap<Position, Timer> {
    let mut waiting = BTreeMap::new();
    for record in timers {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let Some(timer) = key.and_then(|key| key.parse::<Timer>().ok()) else { continue };
        match &record.value {
            Some(_) => waiting.insert(timer.scheduled, timer),
            None => waiting.remove(&timer.scheduled),
        };
    }
    waiting
}

fn is_copy(first: &Command, copy: &Command) -> bool {
    let (Ok(one), Ok(other)) = (&first.read, &copy.read) else { return false };
    let stored = one.header.forwarded_from.unwrap_or(first.at);
    let header = Header {
        forwarded_from: Some(stored),
        scheduled_from: Some(first.at),
        reply_to: None,
        ..one.header.clone()
    };
    header == other.header
        && (&one.stream, &one.type_name, &one.value) == (&other.stream, &other.type_name, &other.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds_at, sound};

    fn a_copy<D: Decider>(log: &ServiceLog<D>) -> (Position, Position, usize) {
        let of = |command: &Command| command.header().scheduled_from;
        let (place, from) =
            log.commands.iter().enumerate().find_map(|(n, c)| Some((n, of(c)?))).expect("a copy");
        (from, log.commands[place].at, place)
    }

    #[test]
    fn a_lost_copy_is_found_unless_it_waits() {
        let mut log = sound();
        let (from, _, place) = a_copy(&log.goods);
        log.goods.commands.remove(place);
        finds_at(NAME, from, |report| check(&log.goods, true, report));
        log.goods.timers.retain(|record| record.value.is_some());
        let mut report = Report::default();
        check(&log.goods, true, &mut report);
        assert_eq!(report.findings, []);
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
    fn a_timer_that_was_left_behind_its_copy_is_found() {
        let mut log = sound();
        let (from, ..) = a_copy(&log.goods);
        log.goods.timers.retain(|record| record.value.is_some());
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
    fn a_copy_from_nowhere_is_found() {
        let mut log = sound();
        let (from, at, _) = a_copy(&log.goods);
        log.goods.outcomes.retain(|outcome| outcome.record.cause.decided != from);
        finds_at(NAME, at, |report| check(&log.goods, true, report));
    }

    #[test]
    fn an_effect_before_its_time_is_found() {
        let mut log = sound();
        let (_, at, _) = a_copy(&log.goods);
        let early = log.goods.events.iter_mut().find(|event| event.record.cause.decided == at);
        early.expect("its event").record.cause.time -= jiff::SignedDuration::from_hours(1);
        finds_at(NAME, at, |report| check(&log.goods, true, report));
    }
}
