//! Commands and what they led to, in the order of their positions: each has one trace, and that names it rightly. Three readers go side
//! by side; only their heads are in memory.

use std::{iter::Peekable, sync::mpsc::IntoIter, thread};

use factfold_schemas::{
    position::Position,
    record::{Cause, Outcome},
    topics::{Service, TopicKind},
};

use super::{
    Audited,
    reading::{self, Item, What},
    streams::Streams,
};
use crate::{
    log_reader::{Lane, Log, LogError, Stop},
    projector::Record,
};

/// How many records are counted at once.
const COUNTED: usize = 1_000;

type Items = Peekable<IntoIter<Result<Item, LogError>>>;

/// Audits one partition.
pub(super) fn audit(
    log: &Log,
    service: Service,
    lanes: &[Lane],
    partitions: i32,
    stop: &Stop,
    each: &impl Fn(usize),
    audited: &mut Audited,
) -> Result<(), LogError> {
    thread::scope(|scope| {
        let read = |kind| {
            let lane = lanes.iter().find(|lane| lane.topic.kind == kind).expect("every topic has a lane");
            // Commands are kept for a while only, and in a copy there are none.
            let oldest = if lane.low == lane.end { i64::MAX } else { lane.low };
            let items = reading::read(scope, log, service, lane.clone(), partitions, stop);
            (items.into_iter().peekable(), oldest)
        };
        let (commands, oldest) = read(TopicKind::Commands);
        let (mut events, _) = read(TopicKind::Events);
        let (mut outcomes, _) = read(TopicKind::Outcomes);
        let mut seen = Seen { commands, oldest, last: None, streams: Streams::default() };
        let mut count = 0;
        while let Some(item) = next(&mut events, &mut outcomes)? {
            count += 1;
            if count % COUNTED == 0 {
                each(COUNTED);
            }
            seen.see(&item, audited)?;
            audited.records += 1;
        }
        each(count % COUNTED);
        seen.streams.end(audited);
        Ok(())
    })
}

/// The trace that was decided first.
fn next(events: &mut Items, outcomes: &mut Items) -> Result<Option<Item>, LogError> {
    let first = |items: &mut Items| items.peek().map(|item| item.as_ref().map_or(i64::MIN, Item::decided));
    let items = match (first(events), first(outcomes)) {
        (None, None) => return Ok(None),
        (Some(event), Some(outcome)) if outcome < event => outcomes,
        (None, Some(_)) => outcomes,
        (Some(_), _) => events,
    };
    items.next().transpose()
}

struct Seen {
    commands: Items,
    /// Where the commands begin that are still there.
    oldest: i64,
    last: Option<Last>,
    streams: Streams,
}

/// The trace before.
struct Last {
    cause: Cause,
    stream: Option<String>,
    is_event: bool,
}

impl Seen {
    fn see(&mut self, item: &Item, audited: &mut Audited) -> Result<(), LogError> {
        for wrong in &item.wrong {
            audited.add(item.at, wrong);
        }
        let (What::Trace(record), Some(cause)) = (&item.what, item.cause()) else { return Ok(()) };
        let is_event = !matches!(**record, Record::Outcome(_));
        let stream = record.stream().map(|stream| stream.as_str().to_owned());
        let decided = cause.decided;
        match &self.last {
            Some(last) if last.cause.decided.offset == decided.offset => {
                if !(is_event && last.is_event && last.stream == stream && last.cause == *cause) {
                    audited.add(item.at, format!("a second trace of the command at {decided}"));
                }
            }
            Some(last) if last.cause.decided.offset > decided.offset => {
                let before = last.cause.decided;
                audited.add(
                    item.at,
                    format!("it was decided at {decided}, and what lies before it at {before}"),
                );
            }
            _ => self.follow_commands(item.at, record, cause, audited)?,
        }
        self.streams.see(item.at, record, audited);
        self.last = Some(Last { cause: cause.clone(), stream, is_event });
        Ok(())
    }

    /// Goes on to the command that led to this.
    fn follow_commands(
        &mut self,
        at: Position,
        record: &Record,
        cause: &Cause,
        audited: &mut Audited,
    ) -> Result<(), LogError> {
        let decided = cause.decided;
        if decided.offset < self.oldest {
            return Ok(());
        }
        loop {
            let head =
                self.commands.next_if(|item| item.as_ref().map_or(true, |c| c.at.offset <= decided.offset));
            let Some(command) = head.transpose()? else {
                audited.add(at, format!("there is no command at {decided}, from which it is to follow"));
                return Ok(());
            };
            audited.records += 1;
            if command.at.offset < decided.offset {
                audited.add(command.at, "the command has no trace, and a later one has");
                continue;
            }
            let is_dead =
                matches!(record, Record::Outcome(of) if matches!(of.outcome, Outcome::DeadLettered(_)));
            if let What::Command { id, digest } = command.what
                && !is_dead
            {
                if id.is_some_and(|id| id != cause.command_id) {
                    audited.add(
                        at,
                        format!("the command at {decided} has another id than {}", cause.command_id),
                    );
                }
                if digest.is_some_and(|digest| digest != cause.digest) {
                    audited.add(
                        at,
                        format!("the command at {decided} says something else than when it was decided"),
                    );
                }
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use factfold_schemas::command::Digest;

    use super::*;
    use crate::projector::fixtures::{cause, event};

    const NOTHING: [i64; 0] = [];

    fn command(offset: i64, id: &str, digest: Digest) -> Item {
        let what = What::Command { id: Some(id.to_owned()), digest: Some(digest) };
        Item { at: Position::new(Service::Orders.commands(), 0, offset), what, wrong: Vec::new() }
    }

    fn trace(offset: i64, id: &str, decided: i64, version: u64) -> Item {
        let entry = event(offset, id, decided, version);
        Item { at: entry.at, what: What::Trace(Box::new(entry.record)), wrong: Vec::new() }
    }

    /// Where something is found when these traces follow from these commands, of which the first is the oldest.
    fn found(commands: Vec<Item>, traces: &[Item]) -> Vec<i64> {
        let oldest = commands.first().map_or(i64::MAX, |command| command.at.offset);
        let (sender, receiver) = sync_channel(commands.len());
        commands.into_iter().for_each(|command| sender.send(Ok(command)).expect("there is room"));
        drop(sender);
        let commands = receiver.into_iter().peekable();
        let mut seen = Seen { commands, oldest, last: None, streams: Streams::default() };
        let (service, none) = (Service::Orders, Vec::new());
        let mut audited =
            Audited { service, from: none.clone(), to: none, records: 0, found: 0, findings: Vec::new() };
        for trace in traces {
            seen.see(trace, &mut audited).expect("nothing fails");
        }
        audited.findings.into_iter().map(|finding| finding.at.offset).collect()
    }

    #[test]
    fn every_command_has_the_trace_that_names_it() {
        let digest = cause(Service::Orders, "a", 5).digest;
        let commands = || vec![command(5, "a", digest), command(8, "b", digest)];
        let two = [trace(10, "a", 5, 1), trace(11, "a", 5, 2)];
        let all = |last| found(commands(), &[trace(10, "a", 5, 1), trace(11, "a", 5, 2), last]);
        assert_eq!(all(trace(13, "b", 8, 3)), NOTHING, "a sound history");
        assert_eq!(found(Vec::new(), &two), NOTHING, "commands that are gone tell nothing");
        assert_eq!(found(vec![command(8, "b", digest)], &two), NOTHING, "nor do older ones");
        assert_eq!(all(trace(13, "c", 8, 3)), [13], "another id");
        assert_eq!(all(trace(13, "b", 9, 3)), [8, 13], "no trace, and one of nothing");
        assert_eq!(all(trace(13, "b", 5, 3)), [13], "a second trace");
        assert_eq!(all(trace(13, "b", 4, 3)), [13], "out of order");
        assert_eq!(all(trace(13, "b", 8, 4)), [13], "a gap");
        let other = Digest::of("Other", b"{}");
        assert_eq!(found(vec![command(5, "a", other)], &two), [10], "another text");
    }
}
