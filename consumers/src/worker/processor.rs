//! What the loop asks of whatever it feeds: a decider, a reactor, a keeper of timers. The loop knows transactions and offsets and nothing of
//! commands; a processor knows records and nothing of Kafka.

use std::{collections::HashMap, ops::Range, time::Instant};

use factfold_schemas::{
    cloudevents::{Incoming, Outgoing},
    topics::Topic,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::Error;

/// A partition of an input topic.
pub type TopicPartition = (Topic, i32);

/// Where a record lies, and the time that the log gave it: enough to know the record again, and to see that the log was
/// replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp_ms: i64,
}

/// The last record that a committed transaction wrote to each partition; `None` where the broker did not say which.
pub type Written = HashMap<TopicPartition, Option<Mark>>;

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
    /// The keys that seal what is stored about people.
    SubjectKeys,
}

/// A partition in which a processor stopped before the end of what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub partition: TopicPartition,
    /// The first record that it did not take. It comes once more, and what is behind it after it.
    pub offset: i64,
    /// Not before this time. Until then the partition rests, and the others go on.
    pub until: Instant,
}

/// From where a partition is begun in which the group has no committed offset yet (rule 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// From the first record on, and only where nothing was done before.
    Fresh,
    /// From the first record on that there is: it was told so.
    Beginning,
    /// From the first record on that is of this time or later, by the broker's clock: it was told so.
    At(Timestamp),
}

/// Turns input records into output records, and keeps what it must know for that, by partition.
pub trait Processor: Send + 'static {
    /// What is kept for one partition, folded from its history at takeover.
    type Partition: Hydrate;

    /// The consumer group, without the namespace.
    fn group(&self) -> String;

    /// The topics it reads.
    fn inputs(&self) -> Vec<Topic>;

    /// A partition of which nothing is known yet. What was opened for it before must not touch its store any more.
    fn open(&mut self, partition: TopicPartition) -> Self::Partition;

    /// Takes a partition over.
    fn adopt(&mut self, partition: TopicPartition, state: Self::Partition);

    /// Forgets a partition.
    fn forget(&mut self, partition: TopicPartition);

    /// Called between transactions, to store what changed. Returns the partitions whose state is lost: they are taken over
    /// again.
    fn tidy(&mut self) -> Vec<TopicPartition> {
        Vec::new()
    }

    /// Stores what is known of a partition that is given up, or that the worker stops working on.
    fn save(&mut self, _: TopicPartition) {}

    /// When it next has something to do by itself, without any record.
    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    /// Called before each transaction: the partitions in which it has something to do by itself. It does that in the
    /// transaction, which is fenced for these partitions as for those of the records (rule 4).
    fn due(&mut self) -> Vec<TopicPartition> {
        Vec::new()
    }

    /// What it does by itself in the partitions that it has just named. An error stops the worker.
    fn act(&mut self, _: &mut Vec<Produce>) -> Result<(), Error> {
        Ok(())
    }

    /// The most records that it wants at once, all of which it processes before their transaction begins: whoever takes long must
    /// not keep one open. `None`: as many as there are, most of them while the transaction is open.
    fn appetite(&self) -> Option<usize> {
        None
    }

    /// Where it stopped in what it was just given. It is asked once, before the transaction begins, so only who says how much it
    /// [wants](Self::appetite) can stop.
    fn stops(&mut self) -> Vec<Stop> {
        Vec::new()
    }

    /// What this record leads to, within the open transaction. An error stops the worker.
    fn process(&mut self, topic: Topic, record: &Incoming<'_>, out: &mut Vec<Produce>) -> Result<(), Error>;

    /// What was processed is true now (rule 17): its transaction was committed, and this is where it lies. (Or it led to
    /// nothing, and lies nowhere.)
    fn committed(&mut self, written: &Written);

    /// The transaction was not committed: what it would have changed never was.
    fn discarded(&mut self);
}

/// What is folded at takeover.
pub trait Hydrate: Send + 'static {
    /// The topics whose partition of the same number is folded. Where they are empty, and only there, a partition may be
    /// taken over without a committed offset (rule 6); a processor that folds nothing names its input.
    fn histories(input: Topic) -> Vec<Topic>;

    /// From where it begins without a committed offset.
    fn start(&self) -> Start {
        Start::Fresh
    }

    /// Whether what was folded says that there was work before. Without a committed offset nobody knows where it is to go on
    /// (rule 6). Who begins [fresh](Start::Fresh) need not say.
    fn has_begun(&self) -> bool {
        false
    }

    /// Begins anew, from what is stored if that fits: a group that is to decide `next`, and histories that reach from here to
    /// there. Returns from where each history is to be folded, in their order.
    fn begin(&mut self, next: i64, histories: &[(Topic, Range<i64>)]) -> Result<Vec<i64>, Error>;

    /// Folds one record of a history.
    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error>;

    /// Called once all is folded. Returns the highest offset of the input that is already decided.
    fn finish(&mut self) -> Result<Option<i64>, Error>;

    /// What was folded does not add up. Whether a store may be to blame: it is thrown away then, and beginning anew makes
    /// sense.
    fn distrust(&mut self) -> bool;
}
