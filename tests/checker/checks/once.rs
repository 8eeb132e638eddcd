//! Nothing took effect twice: no identity (stream, source, id) has events under two decided positions, and a `Repeated`
//! names a first one that is there, is its own first, and said the same (rule 10). Within the worker's window of 24 hours:
//! what is older counts as new.

use std::collections::HashMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::record::Outcome;

use crate::{
    history::ServiceLog,
    replay::{WINDOW_MS, is_first},
    report::Report,
};

const NAME: &str = "once";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, report: &mut Report) {
    let mut effects = HashMap::new();
    for event in &log.events {
        let (at, stream, cause) = (event.at, &event.record.stream, &event.record.cause);
        let identity = (stream, &cause.source, &cause.command_id);
        if let Some((first, first_ms)) =
            effects.insert(identity, (cause.decided, cause.time.as_millisecond()))
            && first != cause.decided
            && cause.time.as_millisecond() - first_ms < WINDOW_MS
        {
            let what = format!(
                "command {} of {} took effect twice, at {first} and at {}",
                cause.command_id, cause.source, cause.decided
            );
            report.add(NAME, at, what);
        }
    }
    let (traces, commands) = (log.traces(), log.commands_by_position());
    for outcome in &log.outcomes {
        let Outcome::Repeated(repeated) = &outcome.record.outcome else { continue };
        let (at, first, repeat) = (outcome.at, repeated.first, &outcome.record.cause);
        let Some(trace) = traces.get(&first) else {
            report.add(NAME, at, format!("it repeats {first}, which has no trace"));
            continue;
        };
        if first >= repeat.decided || !is_first(trace.outcome()) {
            report.add(NAME, at, format!("it repeats {first}, which is no first: {}", trace.said()));
        }
        let identity = commands.get(&first).and_then(|command| command.identity());
        if identity != commands.get(&repeat.decided).and_then(|command| command.identity()) {
            report.add(NAME, at, format!("it repeats {first}, which is another command: {identity:?}"));
        }
        if trace.causes().any(|(_, cause)| cause.digest != repeat.digest) {
            report.add(NAME, at, format!("it repeats {first}, which said something else"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds_at, sound};

    #[test]
    fn an_effect_that_happened_twice_is_found() {
        let mut log = sound();
        let mut twice = log.goods.events.last().expect("an event").clone();
        twice.at.offset += 1;
        twice.record.version += 1;
        twice.record.cause.decided.offset += 1;
        let at = twice.at;
        log.goods.events.push(twice);
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn a_repeat_of_nothing_is_found() {
        for change in [1000, -1] {
            let mut log = sound();
            let (at, repeated) = a_repeat(&mut log.goods);
            repeated.first.offset += change;
            finds_at(NAME, at, |report| check(&log.goods, report));
        }
    }

    #[test]
    fn a_repeat_that_said_something_else_is_found() {
        let mut log = sound();
        let (at, _) = a_repeat(&mut log.goods);
        let outcome = log.goods.outcomes.iter_mut().find(|outcome| outcome.at == at).expect("the repeat");
        outcome.record.cause.digest = factfold_schemas::command::Digest::of("Another", b"{}");
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    fn a_repeat<D: Decider>(
        log: &mut ServiceLog<D>,
    ) -> (factfold_schemas::position::Position, &mut factfold_schemas::record::Repeated) {
        let repeat = |outcome: &mut crate::history::At<factfold_schemas::record::RecordedOutcome>| {
            matches!(outcome.record.outcome, Outcome::Repeated(_))
        };
        let found = log.outcomes.iter_mut().find_map(|outcome| repeat(outcome).then_some(outcome));
        let found = found.expect("a repeat");
        match &mut found.record.outcome {
            Outcome::Repeated(repeated) => (found.at, repeated),
            other => unreachable!("{other:?}"),
        }
    }
}
