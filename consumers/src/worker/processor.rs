//! What the loop asks of whatever it feeds: a decider or a reactor. The loop knows transactions and offsets and nothing of
//! commands; a processor knows records and nothing of Kafka.

use factfold_schemas::{
    cloudevents::{Incoming, Outgoing},
    topics::Topic,
};

use super::error::Error;

/// A partition of an input topic.
pub type TopicPartition = (Topic, i32);

/// A record to be written in the open transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produce {
    /// Where to.
    pub target: Target,
    /// Its partition.
    pub partition: i32,
    /// What.
    pub record: Outgoing,
}

/// A topic that a worker writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A topic of a service.
    Topic(Topic),
    /// The replies.
    Replies,
}

/// Turns input records into output records, and keeps what it must know for that, by partition.
pub trait Processor: Send + 'static {
    /// What is kept for one partition, folded from its history at takeover.
    type Partition: Hydrate;

    /// The consumer group, without the namespace.
    fn group(&self) -> String;

    /// The topics it reads.
    fn inputs(&self) -> Vec<Topic>;

    /// A partition of which nothing is known yet.
    fn empty(&self) -> Self::Partition;

    /// Takes a partition over.
    fn adopt(&mut self, partition: TopicPartition, state: Self::Partition);

    /// Forgets a partition.
    fn forget(&mut self, partition: TopicPartition);

    /// What this record leads to, within the open transaction. An error stops the worker.
    fn process(&mut self, topic: Topic, record: &Incoming<'_>, out: &mut Vec<Produce>) -> Result<(), Error>;

    /// The transaction was committed: what it changed is true (rule 17).
    fn committed(&mut self);

    /// The transaction was not committed: what it would have changed never was.
    fn discarded(&mut self);
}

/// What is folded at takeover.
pub trait Hydrate: Clone + Send + 'static {
    /// The topics whose partition of the same number is folded. Where they are empty, and only there, a partition may be
    /// taken over without a committed offset (rule 6); a processor that folds nothing names its input.
    fn histories(input: Topic) -> Vec<Topic>;

    /// Whether the histories are folded, or only looked at.
    const FOLDS: bool;

    /// Folds one record of a history.
    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error>;

    /// Called once all is folded. Returns the highest offset of the input that is already decided.
    fn finish(&mut self) -> Option<i64>;
}
