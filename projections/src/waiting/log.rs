//! What a waiting read must ask of Kafka: how many partitions a commands topic has, where a log ends, and the key of one
//! record. One consumer serves all who ask, one after the other, on a thread where it may block.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use factfold_schemas::{kafka::Cluster, partitioner::partition_of, position::Position, topics::Service};
use quick_cache::sync::Cache;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{Error, log_reader::merge::mends_itself};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// How many positions are remembered.
const REMEMBERED: usize = 10_000;

/// What is known of the record at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lies {
    /// Where its key belongs.
    AtHome,
    /// Elsewhere, or nowhere: it has no key.
    Astray,
    /// It is no longer in the log, or there never was a command (but a marker, or something that was aborted).
    Gone,
    /// Beyond the end of the log.
    Beyond,
}

/// The commands topics.
#[derive(Clone)]
pub(crate) struct CommandLog(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    consumer: Mutex<BaseConsumer>,
    partitions: Mutex<HashMap<Service, i32>>,
    remembered: Cache<Position, Lies>,
}

impl CommandLog {
    pub(crate) fn new(cluster: &Cluster) -> Result<Self, KafkaError> {
        let consumer = cluster
            .reader("reads")
            // What matters is where logs end, and a key: both before a transaction around them is committed.
            .set("isolation.level", "read_uncommitted")
            // A fetch that waits for more holds up the next question.
            .set("fetch.wait.max.ms", "5")
            .set("fetch.message.max.bytes", "1024")
            .create()?;
        Ok(Self(Arc::new(Inner {
            cluster: cluster.clone(),
            consumer: Mutex::new(consumer),
            partitions: Mutex::default(),
            remembered: Cache::new(REMEMBERED),
        })))
    }

    /// How many partitions the topics of this service have; `None` when they are not there.
    pub(crate) async fn partitions(&self, service: Service) -> Result<Option<i32>, Error> {
        let known = self.0.partitions.lock().unwrap_or_else(PoisonError::into_inner).get(&service).copied();
        match known {
            Some(known) => Ok(Some(known)),
            None => self.ask(move |log| log.count(service)).await,
        }
    }

    /// The offset after the last record, committed or not, of the partition in which this position is.
    pub(crate) async fn end(&self, position: Position) -> Result<i64, Error> {
        self.ask(move |log| Ok(log.extent(&log.consumer(), position)?.1)).await
    }

    /// Where the record at this position lies, among so many partitions.
    pub(crate) async fn lies(&self, position: Position, partitions: i32) -> Result<Lies, Error> {
        if let Some(known) = self.0.remembered.get(&position) {
            return Ok(known);
        }
        self.ask(move |log| log.look(position, partitions)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Inner) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Error> {
        let log = Arc::clone(&self.0);
        Ok(tokio::task::spawn_blocking(move || question(&log)).await??)
    }
}

impl Inner {
    fn consumer(&self) -> MutexGuard<'_, BaseConsumer> {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, service: Service) -> Result<Option<i32>, KafkaError> {
        let name = self.cluster.topic(service.commands());
        let metadata = self.consumer().fetch_metadata(Some(&name), CALL_TIMEOUT)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
        if count == 0 {
            return Ok(None);
        }
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).insert(service, count);
        Ok(Some(count))
    }

    fn extent(&self, consumer: &BaseConsumer, at: Position) -> Result<(i64, i64), KafkaError> {
        consumer.fetch_watermarks(&self.cluster.topic(at.topic), at.partition, CALL_TIMEOUT)
    }

    fn look(&self, at: Position, partitions: i32) -> Result<Lies, KafkaError> {
        let consumer = self.consumer();
        let (low, high) = self.extent(&consumer, at)?;
        if at.offset >= high {
            return Ok(Lies::Beyond);
        }
        let lies = if at.offset < low { Lies::Gone } else { self.read_key(&consumer, at, partitions)? };
        self.remembered.insert(at, lies);
        Ok(lies)
    }

    fn read_key(&self, consumer: &BaseConsumer, at: Position, partitions: i32) -> Result<Lies, KafkaError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(
            &self.cluster.topic(at.topic),
            at.partition,
            Offset::Offset(at.offset),
        )?;
        consumer.assign(&assignment)?;
        let lies = Self::first_key(consumer, at, partitions);
        consumer.unassign()?;
        lies
    }

    fn first_key(consumer: &BaseConsumer, at: Position, partitions: i32) -> Result<Lies, KafkaError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(message) = consumer.poll(POLL_TIMEOUT) {
                let message = match message {
                    Ok(message) => message,
                    // It lay there since brokers were away, and says nothing of now.
                    Err(error) if mends_itself(&error) => continue,
                    Err(error) => return Err(error),
                };
                let key = message.key().filter(|_| message.offset() == at.offset);
                return Ok(match key {
                    Some(key) if partition_of(key, partitions) == at.partition => Lies::AtHome,
                    _ if message.offset() == at.offset => Lies::Astray,
                    _ => Lies::Gone,
                });
            }
            let positions = consumer.position()?;
            if positions.elements().iter().any(|p| p.offset().to_raw().is_some_and(|next| next > at.offset)) {
                return Ok(Lies::Gone);
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}
