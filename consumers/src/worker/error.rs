//! What a worker cannot go on with as it is. Most of it stops the worker; what passes by itself says so.

use factfold_schemas::{position::Position, topics::Topic};
use rdkafka::error::KafkaError;

/// Why a worker stops, which a person must look at; or, where it says so, why it takes a step back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rule 2: somebody else has the same identity.
    #[error("fenced: another process uses the id `{id}`; give each worker an instance id of its own")]
    Fenced {
        /// The `group.instance.id` or `transactional.id` in question.
        id: String,
    },
    /// A topic is not there.
    #[error("the topic `{0}` does not exist: factfold topics create")]
    NoTopic(String),
    /// Rule 1: a key must lie in the same partition everywhere.
    #[error("{topic} has {partitions} partitions, but {expected_of} has {expected}: they must have as many")]
    PartitionsDiffer {
        /// The topic that differs.
        topic: Topic,
        /// How many partitions it has.
        partitions: i32,
        /// The topic it is compared with.
        expected_of: Topic,
        /// How many that one has.
        expected: i32,
    },
    /// Rule 6: nothing says where to begin, and beginning anew would decide everything twice.
    #[error(
        "the group `{group}` has no committed offset for {topic}/{partition}, but {history} is not empty: \
         its offsets have expired, or this is the wrong group"
    )]
    NoOffset {
        /// The consumer group.
        group: String,
        /// The input topic.
        topic: Topic,
        /// Its partition.
        partition: i32,
        /// What shows that there was work before.
        history: Topic,
    },
    /// Rule 8: the log is not the one that was decided.
    #[error("{topic}/{partition} was truncated or replaced: the committed offset is {committed}, {but}")]
    NotTheSameLog {
        /// The input topic.
        topic: Topic,
        /// Its partition.
        partition: i32,
        /// The group's committed offset.
        committed: i64,
        /// What does not fit.
        but: String,
    },
    /// Rule 7: somebody's open transaction holds the history back for longer than any transaction may live.
    #[error(
        "hydrating {topic}/{partition} stands still at offset {at}, before the log's end {end}: \
         an open transaction holds it back (kafka-transactions.sh find-hanging)"
    )]
    Stuck {
        /// The topic that is read.
        topic: Topic,
        /// Its partition.
        partition: i32,
        /// How far it was read.
        at: i64,
        /// Its high watermark when the takeover began.
        end: i64,
    },
    /// Section 4: a fold checks for itself that the history is whole.
    #[error("the history at {position} does not add up: {what}")]
    Inconsistent {
        /// The record that does not fit.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
    /// A client could not be made or used: wrong settings, no permission.
    #[error("{doing}: {error}")]
    Kafka {
        /// What was being done.
        doing: &'static str,
        /// What Kafka said.
        #[source]
        error: KafkaError,
    },
    /// What was under way was given up, since the worker is to stop.
    #[error("shutting down")]
    ShuttingDown,
    /// What is known of a partition is in a store that cannot be read. Never stops a worker: the partition is taken over
    /// again, without the store.
    #[error("the state of {topic}/{partition} is lost: its store cannot be read")]
    StateLost {
        /// The input topic.
        topic: Topic,
        /// Its partition.
        partition: i32,
    },
    /// A takeover came late: a later one has the partition's store. Never stops a worker.
    #[error("the partition was taken over anew meanwhile")]
    Superseded,
    /// Somebody has our place in the group. Never stops a worker: it finds out whether that is a twin, which does.
    #[error("somebody has our place in the group")]
    Displaced,
    /// A predecessor committed while its partition was taken over. Never stops a worker: it is taken over again.
    #[error("somebody else committed while the partition was taken over")]
    Overtaken,
    /// The operating system gives no more threads.
    #[error("starting a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// For `map_err`: this Kafka error came while doing that.
    pub(super) fn kafka(doing: &'static str) -> impl FnOnce(KafkaError) -> Self {
        move |error| Self::Kafka { doing, error }
    }

    /// Whether trying the same again may help.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Kafka { .. } | Self::Overtaken | Self::ShuttingDown)
    }
}
