//! Another topic: the same records in the same partitions, each once.
//!
//! A transaction holds records, and the place from which to go on behind them. So whatever dies, the two agree, and the same
//! command goes on where it ended. The records stay as they are: what is remembered lies beside them ([`memory`]).

mod memory;
mod producer;

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop, bound::listed, merge::Next};
use factfold_schemas::{kafka::Cluster, position::Position, topics::Topic};

use self::{
    memory::{Memory, Origin, Place},
    producer::Transactions,
};
use super::{Args, sink::Sink, target::TopicTarget};
use crate::{console::notice, failure::Failure};

/// A copy on its way.
pub(super) struct Copying {
    transactions: Transactions,
    memory: Memory,
    origin: Origin,
    /// What is committed.
    places: BTreeMap<i32, Place>,
}

/// A copy in this topic, and where it begins or goes on.
pub(super) fn open(
    to: &TopicTarget,
    args: &Args,
    log: &Log,
    stop: &Stop,
) -> Result<(Copying, Bound), Failure> {
    let source = only_source(to, args)?;
    let brokers = to.brokers.clone().unwrap_or_else(|| log.cluster().brokers.clone());
    let cluster = Cluster { brokers, ..log.cluster().clone() };
    let target = Log::open(&cluster, notice)?;
    let origin = Origin {
        cluster: log.cluster_id(),
        topic: cluster.topic(source),
        types: args.types.clone(),
        stream: args.stream.clone(),
    };
    if (&origin.topic, &origin.cluster) == (&to.name, &target.cluster_id()) {
        return Err(Failure::Usage(anyhow!("--into {to}: this is the topic that is read")));
    }
    let (ours, theirs) = (log.partitions(&origin.topic)?, target.partitions(&to.name)?);
    if ours != theirs {
        let differs = format!("it has {theirs} partitions, but {} has {ours}", origin.topic);
        return Err(refused(to, &differs));
    }
    // What an earlier run left open must be over before anybody asks what it committed.
    let transactions = Transactions::of(&cluster, &to.name)?;
    let memory = Memory::of(&cluster, &to.name)?;
    let places = memory.recall(ours)?;
    if let Some(other) = places.values().find(|place| place.origin != origin) {
        return Err(refused(to, &format!("it is a copy of {}", other.origin)));
    }
    let ends = (0..ours).map(|partition| places.get(&partition).map_or(0, |place| place.end));
    if goes_on(&target, &memory, source, ends, stop)? {
        let what = if places.is_empty() { "it is not empty" } else { "somebody else wrote to it, too" };
        return Err(refused(to, what));
    }
    let from = begin(&places, source, to, args)?;
    Ok((Copying { transactions, memory, origin, places }, from))
}

/// The one topic that is read, where nothing is asked for that a topic cannot have.
fn only_source(to: &TopicTarget, args: &Args) -> Result<Topic, Failure> {
    let wrong = |why: &str| Failure::Usage(anyhow!("--into {to}: a topic {why}"));
    if args.format.is_some() || args.resume.is_some() {
        return Err(wrong(
            "takes records as they are, and knows itself where to go on: leave --format and --resume out",
        ));
    }
    match args.services[..] {
        [service] => Ok(service.events()),
        _ => Err(wrong("takes the events of one --service")),
    }
}

/// Whether any partition has records behind these ends.
fn goes_on(
    target: &Log,
    memory: &Memory,
    source: Topic,
    ends: impl Iterator<Item = i64>,
    stop: &Stop,
) -> Result<bool, Failure> {
    let mut rest = Vec::new();
    for (partition, copied) in (0..).zip(ends) {
        let (low, end) = memory.bounds(partition)?;
        let (name, next) = (memory.name().to_owned(), copied.max(low));
        rest.push(Lane { topic: source, name, partition, low, next, end });
    }
    let mut is_more = false;
    target.read(&mut rest, stop, |_, _| -> Result<_, Failure> {
        is_more = true;
        Ok(Next::Enough)
    })?;
    Ok(is_more)
}

/// Where the first run begins, and any other goes on.
fn begin(
    places: &BTreeMap<i32, Place>,
    source: Topic,
    to: &TopicTarget,
    args: &Args,
) -> Result<Bound, Failure> {
    if places.is_empty() {
        return Ok(args.from.clone());
    }
    let position = |(partition, place): (&i32, &Place)| Position::new(source, *partition, place.next);
    let positions: Vec<_> = places.iter().map(position).collect();
    if args.from != Bound::Beginning {
        let at = listed(positions);
        return Err(Failure::Usage(anyhow!("--into {to}: this copy goes on at {at}: leave --from out")));
    }
    Ok(Bound::Positions(positions))
}

fn refused(to: &TopicTarget, why: &str) -> Failure {
    Failure::Refused(anyhow!("--into {to}: {why}: name an empty topic that is like the one that is read"))
}

impl Sink for Copying {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.transactions.write(record)
    }

    fn settle(&mut self, lanes: &[Lane]) -> Result<bool> {
        let delivered = self.transactions.deliver()?;
        let mut places = self.places.clone();
        for lane in lanes {
            let before = self.places.get(&lane.partition).map_or(0, |place| place.end);
            let end = match delivered.get(&lane.partition) {
                None => before,
                // Kafka had it already, and does not say where.
                Some(..0) => self.memory.bounds(lane.partition)?.1,
                Some(last) => last + 1,
            };
            places.insert(lane.partition, Place { origin: self.origin.clone(), next: lane.next, end });
        }
        if places != self.places {
            self.transactions.commit(&self.memory.offsets(&places)?, &self.memory.group()?)?;
            self.places = places;
        }
        Ok(true)
    }

    fn finish(mut self: Box<Self>, lanes: &[Lane]) -> Result<(), Failure> {
        self.settle(lanes)?;
        Ok(())
    }
}
