//! Writes commands to their topics: idempotent, acknowledged by all replicas, to the partition where the key belongs.
//!
//! What went wrong is told in two kinds only, because the client must do different things: surely nothing was written
//! (503), or it is unknown (504). In doubt it is unknown. It must never retry by itself: the client library has done so
//! already, and what is left is for the client to repeat under the same id.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use factfold_schemas::{
    cloudevents::Outgoing,
    ids::StreamId,
    kafka::{Cluster, headers},
    partitioner::partition_of,
    position::Position,
    topics::Service,
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{
        DeliveryFuture, FutureProducer, FutureRecord, Producer, future_producer::OwnedDeliveryResult,
    },
};

/// A command that has no position.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPosition {
    /// Surely nothing was written.
    #[error("nothing was written: {0}")]
    Surely(KafkaError),
    /// It may have been written.
    #[error("it is unknown whether it was written: {0}")]
    Unknown(KafkaError),
    /// It is written. It was sent twice, and Kafka says of the second time only that it is there already.
    #[error("it is written, and Kafka does not say where")]
    Somewhere,
}

impl NoPosition {
    /// The same for somebody to whom "surely not" is no answer, since more depends on it.
    pub(crate) fn in_doubt(self) -> Self {
        match self {
            Self::Surely(error) => Self::Unknown(error),
            doubt => doubt,
        }
    }
}

/// Where the commands of a service go.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
}

/// The producer of commands.
pub(crate) struct Writer {
    config: ClientConfig,
    producer: Mutex<FutureProducer>,
    destinations: BTreeMap<Service, Destination>,
}

impl Writer {
    pub(crate) fn new(
        cluster: &Cluster,
        destinations: BTreeMap<Service, Destination>,
        unstored_max: u32,
        store_time: Duration,
    ) -> Result<Self, KafkaError> {
        let mut config = cluster.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Each command is somebody who waits. Under load the library still sends what has gathered meanwhile.
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", unstored_max.to_string())
            .set("queue.buffering.max.kbytes", "262144")
            .set("message.timeout.ms", store_time.as_millis().to_string())
            .set("request.timeout.ms", store_time.as_millis().min(5000).to_string())
            .set("retry.backoff.ms", "20");
        let producer = Mutex::new(config.create()?);
        Ok(Self { config, producer, destinations })
    }

    /// Where the commands of this stream lie; the offset is for Kafka to give.
    pub(crate) fn place(&self, service: Service, stream: &StreamId) -> Position {
        Position::new(service.commands(), self.partition(service, stream.as_str().as_bytes()), 0)
    }

    fn partition(&self, service: Service, key: &[u8]) -> i32 {
        partition_of(key, self.destinations[&service].partitions)
    }

    /// Asks Kafka for what it knows anyway. Blocks.
    pub(crate) fn reach(&self, time: Duration) -> Result<(), KafkaError> {
        let topic = &self.destinations[&Service::ALL[0]].topic;
        self.producer().client().fetch_metadata(Some(topic), time).map(drop)
    }

    fn producer(&self) -> FutureProducer {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands the command over. Its order among the commands of this gateway is settled here, before anything is awaited.
    pub(crate) fn send(&self, service: Service, record: &Outgoing) -> Result<Storing, NoPosition> {
        let key = record.key.as_deref().unwrap_or_default();
        let mut message = FutureRecord::to(&self.destinations[&service].topic)
            .partition(self.partition(service, key))
            .key(key)
            .headers(headers(record));
        if let Some(value) = &record.value {
            message = message.payload(value.as_slice());
        }
        match self.producer().send_result(message) {
            Ok(delivery) => Ok(Storing { service, delivery, since: Instant::now() }),
            Err((error, _)) => {
                if error.rdkafka_error_code() == Some(Code::Fatal) {
                    self.replace();
                }
                Err(NoPosition::Surely(error))
            }
        }
    }

    /// A producer that met a fatal error takes nothing more: only a new one does.
    fn replace(&self) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have replaced it meanwhile.
        let Some((code, reason)) = producer.client().fatal_error() else { return };
        match self.config.create() {
            Ok(fresh) => {
                tracing::warn!(kafka.code = %code, reason, "the producer met a fatal error and was replaced");
                *producer = fresh;
            }
            Err(error) => tracing::error!(%error, reason, "the producer met a fatal error; no new one yet"),
        }
    }
}

/// A command on its way to Kafka.
pub(crate) struct Storing {
    service: Service,
    delivery: DeliveryFuture,
    since: Instant,
}

impl Storing {
    /// Where the command lies.
    pub(crate) async fn position(self) -> Result<Position, NoPosition> {
        let report = self.delivery.await;
        metrics::histogram!("factfold_produce_seconds", "service" => self.service.name())
            .record(self.since.elapsed());
        let report = report.map_err(|_dropped| NoPosition::Unknown(KafkaError::Canceled))?;
        place(self.service, report)
    }
}

/// What a report says of where the command lies.
fn place(service: Service, report: OwnedDeliveryResult) -> Result<Position, NoPosition> {
    match report {
        Ok(stored) => Position::acknowledged(service.commands(), stored.partition, stored.offset)
            .ok_or(NoPosition::Somewhere),
        Err((error, _)) if surely_unwritten(&error) => Err(NoPosition::Surely(error)),
        Err((error, _)) => Err(NoPosition::Unknown(error)),
    }
}

/// Errors that the broker or the library gives before anything is appended. A timeout is none of them: rdkafka does not
/// pass on librdkafka's word whether the record may have been sent.
fn surely_unwritten(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::QueueFull
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::PolicyViolation
                | Code::NotEnoughReplicas
                | Code::PurgeQueue
        )
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::{Timestamp, producer::future_producer::Delivery};

    use super::*;

    #[test]
    fn what_was_sent_twice_is_written_somewhere() {
        let stored = |offset| {
            let timestamp = Timestamp::NotAvailable;
            place(Service::Goods, Ok(Delivery { partition: 3, offset, timestamp }))
        };
        assert_eq!(stored(7).expect("a position").to_string(), "goods.commands/3@7");
        // RD_KAFKA_OFFSET_INVALID
        assert!(matches!(stored(-1001), Err(NoPosition::Somewhere)));
    }

    #[test]
    fn in_doubt_it_is_unknown() {
        let surely = |code| surely_unwritten(&KafkaError::MessageProduction(code));
        assert!(surely(Code::QueueFull) && surely(Code::NotEnoughReplicas));
        for doubtful in [Code::MessageTimedOut, Code::NotEnoughReplicasAfterAppend, Code::PurgeInflight] {
            assert!(!surely(doubtful), "{doubtful}");
        }
        assert!(!surely_unwritten(&KafkaError::Canceled));
    }
}
