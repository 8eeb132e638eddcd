//! Reacting: from facts to commands, in the same transaction as the facts' offsets. Nothing is kept: what is still missing
//! stands in the aggregates.

use std::{marker::PhantomData, ops::Range};

use factfold_schemas::{
    cloudevents::Incoming, kafka::Cluster, partitioner::partition_of, position::Position, topics::Topic,
};

use super::{
    Settings, Shutdown, Status,
    error::Error,
    layout::Layout,
    processor::{Hydrate, Processor, Produce, Target, TopicPartition, Written},
};
use crate::reactors::{Fact, Reactor};

/// Runs one reactor.
pub struct Reacting<R> {
    layout: Layout,
    reactor: R,
}

/// Runs a reactor, until told to stop.
pub fn run<R: Reactor>(
    reactor: R,
    cluster: &Cluster,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
) -> Result<(), Error> {
    super::run(cluster, settings, shutdown, status, |layout| Ok(Reacting { layout, reactor }))
}

/// The consumer group of a reactor, without the namespace.
pub fn group<R: Reactor>() -> String {
    format!("factfold.reactor.{}", R::NAME)
}

/// A reactor keeps nothing of a partition. Without a committed offset it starts only on an empty topic (rule 6): on any
/// other, what came before would be reacted to again, or never. Unless it may.
#[derive(Debug)]
pub struct Nothing<R>(PhantomData<R>);

impl<R: Reactor> Hydrate for Nothing<R> {
    fn histories(input: Topic) -> Vec<Topic> {
        if R::MAY_BEGIN_ANEW { Vec::new() } else { vec![input] }
    }

    fn fold(&mut self, _: Topic, _: &Incoming<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self, _: i64, histories: &[(Topic, Range<i64>)]) -> Result<Vec<i64>, Error> {
        Ok(histories.iter().map(|(_, range)| range.end).collect())
    }

    fn finish(&mut self) -> Result<Option<i64>, Error> {
        Ok(None)
    }

    fn distrust(&mut self) -> bool {
        false
    }
}

impl<R: Reactor> Processor for Reacting<R> {
    type Partition = Nothing<R>;

    fn group(&self) -> String {
        group::<R>()
    }

    fn inputs(&self) -> Vec<Topic> {
        R::INPUTS.to_vec()
    }

    fn open(&mut self, _: TopicPartition) -> Nothing<R> {
        Nothing(PhantomData)
    }

    fn adopt(&mut self, _: TopicPartition, _: Nothing<R>) {}

    fn forget(&mut self, _: TopicPartition) {}

    fn process(&mut self, topic: Topic, record: &Incoming<'_>, out: &mut Vec<Produce>) -> Result<(), Error> {
        let fact = Fact::read(topic, record).map_err(|error| Error::Inconsistent {
            position: Position::new(topic, record.partition, record.offset),
            what: error.to_string(),
        })?;
        for (ordinal, request) in self.reactor.react(&fact).iter().enumerate() {
            let (target, partition) = match request.target() {
                Some((service, stream)) => {
                    let topic = service.commands();
                    let partitions = self.layout.partitions(topic);
                    (Target::Topic(topic), partition_of(stream.as_str().as_bytes(), partitions))
                }
                None => (Target::SubjectKeys, 0),
            };
            out.push(Produce { target, partition, record: request.record(R::NAME, &fact, ordinal) });
        }
        Ok(())
    }

    fn committed(&mut self, _: &Written) {}

    fn discarded(&mut self) {}
}
