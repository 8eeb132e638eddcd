//! Commands and what they led to, in the order of their positions: each has one trace, and that names it rightly.

use factfold_schemas::{
    command::Digest,
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
    log_reader::{Lane, Log, LogError, Stop, merge::Next},
    projector::Record,
};

/// How many records are counted at once.
const COUNTED: usize = 1_000;

/// Audits one partition: its commands, its events, its outcomes.
pub(super) fn audit(
    log: &Log,
    service: Service,
    lanes: &mut [Lane],
    partitions: i32,
    stop: &Stop,
    each: &impl Fn(usize),
    audited: &mut Audited,
) -> Result<(), LogError> {
    // A command comes before its trace, which has the same turn.
    lanes.sort_by_key(|lane| lane.topic.kind != TopicKind::Commands);
    // Commands are kept for a while only, and in a copy there are none.
    let oldest = lanes.first().filter(|lane| lane.low < lane.end).map_or(i64::MAX, |lane| lane.low);
    let mut seen = Seen::new(oldest);
    let mut count = 0;
    log.read_in_turn(lanes, stop, reading::turn, |record, _| -> Result<_, LogError> {
        count += 1;
        if count % COUNTED == 0 {
            each(COUNTED);
        }
        seen.see(&reading::read(service, &record, partitions), audited);
        Ok(Next::Go)
    })?;
    each(count % COUNTED);
    audited.records += count as u64;
    seen.streams.end(audited);
    Ok(())
}

struct Seen {
    /// Where the commands begin that are still there.
    oldest: i64,
    /// The command that was read last.
    command: Option<Command>,
    /// Those before it that no trace followed, since the last event.
    without_trace: Vec<Position>,
    last: Option<Last>,
    streams: Streams,
}

struct Command {
    at: Position,
    id: Option<String>,
    digest: Option<Digest>,
    is_traced: bool,
}

/// The trace before.
struct Last {
    cause: Cause,
    stream: Option<String>,
    is_event: bool,
}

impl Seen {
    fn new(oldest: i64) -> Self {
        Self { oldest, command: None, without_trace: Vec::new(), last: None, streams: Streams::default() }
    }

    fn see(&mut self, item: &Item, audited: &mut Audited) {
        for wrong in &item.wrong {
            audited.add(item.at, wrong);
        }
        match &item.what {
            What::Nothing => {}
            What::Command { id, digest } => {
                let (id, digest) = (id.clone(), *digest);
                let command = Command { at: item.at, id, digest, is_traced: false };
                let before = self.command.replace(command).filter(|before| !before.is_traced);
                self.without_trace.extend(before.map(|before| before.at));
            }
            What::Trace(record) => {
                self.trace(item.at, record, audited);
                self.streams.see(item.at, record, audited);
            }
        }
    }

    fn trace(&mut self, at: Position, record: &Record, audited: &mut Audited) {
        let cause = record.cause();
        let decided = cause.decided;
        let is_event = !matches!(record, Record::Outcome(_));
        let stream = record.stream().map(|stream| stream.as_str().to_owned());
        match &self.last {
            Some(last) if last.cause.decided.offset == decided.offset => {
                if !(is_event && last.is_event && last.stream == stream && last.cause == *cause) {
                    audited.add(at, format!("a second trace of the command at {decided}"));
                }
            }
            Some(last) if last.cause.decided.offset > decided.offset => {
                let before = last.cause.decided;
                audited.add(at, format!("it was decided at {decided}, and what lies before it at {before}"));
            }
            _ => self.follow(at, record, audited),
        }
        self.last = Some(Last { cause: cause.clone(), stream, is_event });
    }

    /// Looks at the command that led to this.
    fn follow(&mut self, at: Position, record: &Record, audited: &mut Audited) {
        let cause = record.cause();
        let decided = cause.decided;
        let passed = self.command.take_if(|command| command.at.offset < decided.offset);
        self.without_trace.extend(passed.filter(|command| !command.is_traced).map(|command| command.at));
        // Where outcomes end was asked after where events do: outcomes may be there of which the events before are not.
        if !matches!(record, Record::Outcome(_)) {
            for before in self.without_trace.drain(..) {
                audited.add(before, "the command has no trace, and a later one has");
            }
        }
        if decided.offset < self.oldest {
            return;
        }
        let Some(command) = self.command.as_mut().filter(|command| command.at.offset == decided.offset)
        else {
            return audited.add(at, format!("there is no command at {decided}, from which it is to follow"));
        };
        command.is_traced = true;
        if matches!(record, Record::Outcome(of) if matches!(of.outcome, Outcome::DeadLettered(_))) {
            return;
        }
        if command.id.as_ref().is_some_and(|id| *id != cause.command_id) {
            audited.add(at, format!("the command at {decided} has another id than {}", cause.command_id));
        }
        if command.digest.is_some_and(|digest| digest != cause.digest) {
            audited.add(at, format!("the command at {decided} says something else than when it was decided"));
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn found(commands: Vec<Item>, traces: Vec<Item>) -> Vec<i64> {
        let mut seen = Seen::new(commands.first().map_or(i64::MAX, |command| command.at.offset));
        let decided = |item: &Item| match &item.what {
            What::Trace(record) => record.cause().decided.offset,
            _ => item.at.offset,
        };
        let mut commands = commands.into_iter().peekable();
        let (service, none) = (Service::Orders, Vec::new());
        let mut audited =
            Audited { service, from: none.clone(), to: none, records: 0, found: 0, findings: Vec::new() };
        for trace in traces {
            while let Some(command) = commands.next_if(|command| command.at.offset <= decided(&trace)) {
                seen.see(&command, &mut audited);
            }
            seen.see(&trace, &mut audited);
        }
        audited.findings.into_iter().map(|finding| finding.at.offset).collect()
    }

    #[test]
    fn every_command_has_the_trace_that_names_it() {
        let digest = cause(Service::Orders, "a", 5).digest;
        let commands = || vec![command(5, "a", digest), command(8, "b", digest)];
        let two = || vec![trace(10, "a", 5, 1), trace(11, "a", 5, 2)];
        let all = |last| found(commands(), two().into_iter().chain([last]).collect());
        assert_eq!(all(trace(13, "b", 8, 3)), NOTHING, "a sound history");
        assert_eq!(found(Vec::new(), two()), NOTHING, "commands that are gone tell nothing");
        assert_eq!(found(vec![command(8, "b", digest)], two()), NOTHING, "nor do older ones");
        assert_eq!(all(trace(13, "c", 8, 3)), [13], "another id");
        assert_eq!(all(trace(13, "b", 9, 3)), [8, 13], "no trace, and one of nothing");
        assert_eq!(all(trace(13, "b", 5, 3)), [13], "a second trace");
        assert_eq!(all(trace(13, "b", 4, 3)), [13], "out of order");
        assert_eq!(all(trace(13, "b", 8, 4)), [13], "a gap");
        let other = Digest::of("Other", b"{}");
        assert_eq!(found(vec![command(5, "a", other)], two()), [10], "another text");
    }
}
