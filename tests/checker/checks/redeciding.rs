//! The same log gives the same events (rule 11): every command is decided again, in the order of its partition, and what
//! must have become of it is compared with what did; and so is what its traces say about it.

use factfold_consumers::decider::Decider;
use factfold_schemas::{personal::SEALED, users};
use serde_json::{Map, Value};

use crate::{
    history::ServiceLog,
    read::{Command, stream_of},
    replay::Replay,
    report::Report,
};

const NAME: &str = "redeciding";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, report: &mut Report) {
    let traces = log.traces();
    let mut replay = Replay::<D>::new(log.partitions);
    for command in &log.commands {
        // What has no trace yet is the business of `traces`.
        let Some(trace) = traces.get(&command.at) else { continue };
        if is_sealed_by_the_worker(command) {
            replay.follow(command, trace);
            continue;
        }
        let (verdict, digest) = replay.verdict(command, trace.outcome());
        if verdict.said() != trace.said() {
            let what = format!("decided again: {}; stored: {}", verdict.said(), trace.said());
            report.add(NAME, command.at, what);
        }
        let expected = command.cause(digest);
        for (at, cause) in trace.causes().filter(|(_, cause)| **cause != expected) {
            report.add(NAME, at, format!("its cause should be {expected:?}, but it says {cause:?}"));
        }
        let stream = stream_of(command.record.key.as_deref());
        let events = trace.events.iter().map(|event| (event.at, Some(&event.record.stream)));
        let outcomes = trace.outcomes.iter().map(|outcome| (outcome.at, outcome.record.stream.as_ref()));
        for (at, other) in events.chain(outcomes).filter(|(_, other)| *other != stream.as_ref()) {
            report.add(NAME, at, format!("it is about {other:?}, but {} is about {stream:?}", command.at));
        }
        // Each command is judged by what was stored before it, so that one finding does not drag the next after it.
        replay.follow(command, trace);
    }
}

/// What a plain client said about a person was sealed with a key that is not here, so its events cannot be made again.
fn is_sealed_by_the_worker(command: &Command) -> bool {
    let Ok(readable) = &command.read else { return false };
    let is_personal = users::Command::PERSONAL.contains(&readable.type_name.as_str());
    let fields = serde_json::from_slice::<Map<String, Value>>(&readable.value).unwrap_or_default();
    let is_plain =
        |name| fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.starts_with(SEALED));
    is_personal && ["name", "email"].into_iter().any(is_plain)
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{goods, orders, record::Outcome};

    use super::*;
    use crate::fixture::{finds_at, sound};

    #[test]
    fn an_event_that_no_rule_gives_is_found() {
        let mut log = sound();
        let event = log.goods.events.iter_mut().find_map(|event| match &mut event.record.data {
            goods::Event::StockReserved(reserved) => Some((event.record.cause.decided, reserved)),
            _ => None,
        });
        let (at, reserved) = event.expect("a reservation");
        reserved.unit_price.amount += 1;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn a_rejection_that_no_rule_gives_is_found() {
        let mut log = sound();
        let outcome = log.orders.outcomes.iter_mut().find_map(|outcome| match &mut outcome.record.outcome {
            Outcome::Rejected(rejected) => Some((outcome.record.cause.decided, rejected)),
            _ => None,
        });
        let (at, rejected) = outcome.expect("a rejection");
        rejected.rejection.name.push('x');
        finds_at(NAME, at, |report| check(&log.orders, report));
    }

    #[test]
    fn a_cause_that_is_another_is_found() {
        let mut log = sound();
        let event = &mut log.orders.events[0];
        event.record.cause.command_id.push('x');
        let at = event.at;
        finds_at(NAME, at, |report| check(&log.orders, report));
    }

    #[test]
    fn a_payment_that_was_not_stored_is_found() {
        let mut log = sound();
        let paid =
            log.orders.events.iter().position(|e| matches!(e.record.data, orders::Event::OrderPaid(_)));
        let event = log.orders.events.remove(paid.expect("a payment"));
        // Instead of the event, somebody wrote that nothing was to do.
        let mut instead = log.orders.outcomes[0].clone();
        instead.record.cause = event.record.cause.clone();
        let no_change = factfold_schemas::record::NoChange { command: "PayOrder".to_owned() };
        instead.record.outcome = Outcome::NoChange(no_change);
        log.orders.outcomes.push(instead);
        finds_at(NAME, event.record.cause.decided, |report| check(&log.orders, report));
    }
}
