//! Every command record that is done with has exactly one trace: events, one or more, of one stream, one after the other,
//! or one outcome record (rule 9). When all is quiet, every command record is done with. No trace is of nothing.

use std::collections::BTreeMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::position::Position;

use crate::{
    history::{ServiceLog, Trace},
    report::Report,
};

const NAME: &str = "traces";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, quiet: bool, report: &mut Report) {
    let (traces, commands) = (log.traces(), log.commands_by_position());
    for at in commands.keys() {
        if !traces.contains_key(at) && (quiet || log.is_done(*at)) {
            let progress = log.progress.get(&at.partition);
            report.add(NAME, *at, format!("no trace, though the group stands at {progress:?}"));
        }
    }
    let place_of: BTreeMap<Position, usize> = log.events.iter().map(|event| event.at).zip(0..).collect();
    for (decided, trace) in &traces {
        if !commands.contains_key(decided) {
            let traces: Vec<_> = trace.causes().map(|(at, _)| at.to_string()).collect();
            report.add(NAME, *decided, format!("{} traces a record that is not there", traces.join(", ")));
        }
        match (trace.events.as_slice(), trace.outcomes.as_slice()) {
            ([], [_]) => {}
            ([first, rest @ ..], []) => {
                let mut last = first;
                for event in rest {
                    let follows = place_of[&event.at] == place_of[&last.at] + 1;
                    let continues = event.record.stream == first.record.stream
                        && event.record.version == last.record.version + 1
                        && event.record.cause == first.record.cause;
                    if !(follows && continues) {
                        let what = format!("the events at {} and {} are not one trace", last.at, event.at);
                        report.add(NAME, *decided, what);
                    }
                    last = event;
                }
            }
            _ => report.add(NAME, *decided, format!("more than one trace: {}", places(trace))),
        }
    }
}

fn places<D: Decider>(trace: &Trace<'_, D>) -> String {
    trace.causes().map(|(at, _)| at.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, finds_at, sound};

    #[test]
    fn a_missing_trace_is_found() {
        let mut log = sound();
        let lost = log.goods.outcomes.remove(0).record.cause.decided;
        finds_at(NAME, lost, |report| check(&log.goods, true, report));
        finds_at(NAME, lost, |report| check(&log.goods, false, report));
    }

    #[test]
    fn what_is_not_done_with_may_have_none_unless_all_is_quiet() {
        let mut log = sound();
        let lost = log.orders.events.pop().expect("an event").record.cause.decided;
        log.orders.events.retain(|event| event.record.cause.decided != lost);
        log.orders.progress.insert(lost.partition, lost.offset);
        let mut report = Report::default();
        check(&log.orders, false, &mut report);
        assert_eq!(report.findings, []);
        finds_at(NAME, lost, |report| check(&log.orders, true, report));
    }

    #[test]
    fn a_second_trace_is_found() {
        let mut log = sound();
        let mut second = log.goods.outcomes[0].clone();
        let decided = second.record.cause.decided;
        second.at.offset += 1000;
        log.goods.outcomes.push(second);
        finds_at(NAME, decided, |report| check(&log.goods, true, report));

        let mut log = sound();
        let decided = log.goods.events[0].record.cause.decided;
        log.goods.outcomes[0].record.cause.decided = decided;
        finds_at(NAME, decided, |report| check(&log.goods, true, report));
    }

    #[test]
    fn events_that_are_not_one_trace_are_found() {
        let mut log = sound();
        let decided = log.goods.events[0].record.cause.decided;
        log.goods.events[1].record.cause.decided = decided;
        finds_at(NAME, decided, |report| check(&log.goods, true, report));
    }

    #[test]
    fn a_trace_of_nothing_is_found() {
        let mut log = sound();
        log.goods.commands.remove(0);
        finds(NAME, |report| check(&log.goods, true, report));
    }
}
