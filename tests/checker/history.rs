//! Everything that lies on the topics, as it reads: what the checks work on. No I/O.

use std::collections::BTreeMap;

use factfold_consumers::{
    decider::Decider, functions::FunctionsDecider, goods::GoodsDecider, orders::OrdersDecider,
    users::UsersDecider,
};
use factfold_schemas::{
    codec::{Message, encode},
    ids::StreamId,
    partitioner::partition_of,
    position::Position,
    record::{Cause, Outcome, Recorded, RecordedOutcome},
    topics::Topic,
};

use crate::{log::Record, read::Command, report::Report};

/// What lies on the topics of all services.
pub struct Log {
    /// The goods.
    pub goods: ServiceLog<GoodsDecider>,
    /// The orders.
    pub orders: ServiceLog<OrdersDecider>,
    /// The users.
    pub users: ServiceLog<UsersDecider>,
    /// The functions.
    pub functions: ServiceLog<FunctionsDecider>,
    /// Whether nothing was on its way when it was read: then every command has its trace, and every fact its requests.
    pub quiet: bool,
}

/// What lies on the topics of one service, in the order of partitions and offsets.
pub struct ServiceLog<D: Decider> {
    /// How many partitions each topic has.
    pub partitions: i32,
    /// The next offset of the decider's group in each partition.
    pub progress: BTreeMap<i32, i64>,
    /// The commands topic.
    pub commands: Vec<Command>,
    /// The events topic.
    pub events: Vec<At<Recorded<D::Event>>>,
    /// The outcomes topic.
    pub outcomes: Vec<At<RecordedOutcome>>,
    /// The dead-letter topic.
    pub dead_letters: Vec<Record>,
    /// The timers topic.
    pub timers: Vec<Record>,
}

/// A record, and where it lies.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// Where.
    pub at: Position,
    /// What.
    pub record: T,
}

/// What one command left behind.
pub struct Trace<'a, D: Decider> {
    /// Its events, in their order.
    pub events: Vec<&'a At<Recorded<D::Event>>>,
    /// Its outcome records.
    pub outcomes: Vec<&'a At<RecordedOutcome>>,
}

/// Records as they were read.
#[derive(Debug, Default)]
pub struct Records {
    /// The commands topic.
    pub commands: Vec<Record>,
    /// The events topic.
    pub events: Vec<Record>,
    /// The outcomes topic.
    pub outcomes: Vec<Record>,
    /// The dead-letter topic.
    pub dead_letters: Vec<Record>,
    /// The timers topic.
    pub timers: Vec<Record>,
}

impl<D: Decider> ServiceLog<D> {
    /// Reads the records. What was not written by a decider is a finding.
    pub fn new(partitions: i32, progress: BTreeMap<i32, i64>, records: Records, report: &mut Report) -> Self {
        let commands = D::SERVICE.commands();
        Self {
            partitions,
            progress,
            commands: records.commands.into_iter().map(|r| Command::new(place(commands, &r), r)).collect(),
            events: read_all(D::SERVICE.events(), records.events, report, |r| Recorded::read(&r.incoming())),
            outcomes: read_all(D::SERVICE.outcomes(), records.outcomes, report, |r| {
                RecordedOutcome::read(&r.incoming())
            }),
            dead_letters: records.dead_letters,
            timers: records.timers,
        }
    }

    /// The traces, by the position that they say was decided.
    pub fn traces(&self) -> BTreeMap<Position, Trace<'_, D>> {
        let mut traces = BTreeMap::<Position, Trace<'_, D>>::new();
        for event in &self.events {
            traces.entry(event.record.cause.decided).or_default().events.push(event);
        }
        for outcome in &self.outcomes {
            traces.entry(outcome.record.cause.decided).or_default().outcomes.push(outcome);
        }
        traces
    }

    /// The commands, by where they lie.
    pub fn commands_by_position(&self) -> BTreeMap<Position, &Command> {
        self.commands.iter().map(|command| (command.at, command)).collect()
    }

    /// Whether the decider's group says that it has done with the record at this position.
    pub fn is_done(&self, at: Position) -> bool {
        self.progress.get(&at.partition).is_some_and(|next| at.offset < *next)
    }

    /// Where this stream belongs.
    pub fn home(&self, stream: &StreamId) -> i32 {
        partition_of(stream.as_str().as_bytes(), self.partitions)
    }
}

impl<D: Decider> Default for Trace<'_, D> {
    fn default() -> Self {
        Self { events: Vec::new(), outcomes: Vec::new() }
    }
}

impl<'a, D: Decider> Trace<'a, D> {
    /// The causes that its records name.
    pub fn causes(&self) -> impl Iterator<Item = (Position, &'a Cause)> {
        let events = self.events.iter().map(|event| (event.at, &event.record.cause));
        events.chain(self.outcomes.iter().map(|outcome| (outcome.at, &outcome.record.cause)))
    }

    /// Its outcome, if it is one.
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.outcomes.first().map(|outcome| &outcome.record.outcome)
    }

    /// In words.
    pub fn said(&self) -> String {
        let events = self.events.iter().map(|event| said(&event.record.data));
        let outcomes = self.outcomes.iter().map(|outcome| said_outcome(&outcome.record.outcome));
        events.chain(outcomes).collect::<Vec<_>>().join(", ")
    }
}

/// A message in words: its type and its JSON.
pub fn said<M: Message>(message: &M) -> String {
    format!("{} {}", message.type_name(), String::from_utf8_lossy(&encode(message)))
}

/// An outcome in words. The sentence of a dead letter is for people, and the checker does not make it again.
pub fn said_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::DeadLettered(dead) => format!("DeadLettered {}", dead.reason.name),
        other => said(other),
    }
}

/// Where this record of this topic lies.
pub fn place(topic: Topic, record: &Record) -> Position {
    Position::new(topic, record.partition, record.offset)
}

fn read_all<T, E: std::fmt::Display>(
    topic: Topic,
    records: Vec<Record>,
    report: &mut Report,
    read: impl Fn(&Record) -> Result<T, E>,
) -> Vec<At<T>> {
    let mut all = Vec::with_capacity(records.len());
    for record in records {
        let at = place(topic, &record);
        match read(&record) {
            Ok(record) => all.push(At { at, record }),
            Err(error) => report.add("readable", at, format!("cannot be read: {error}")),
        }
    }
    all
}
