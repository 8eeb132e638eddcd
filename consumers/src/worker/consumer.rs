//! The worker's consumer. Its rebalance callback does only what must happen there (rule 5): assign with an explicit
//! placeholder, pause, and write down what came and went. librdkafka never looks a position up by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use factfold_schemas::{kafka::Cluster, topics::Topic};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    bindings::rd_kafka_resp_err_t as Code,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{error::Error, processor::TopicPartition, settings::Settings};

/// How long a local operation of the consumer may take.
pub(super) const LOCAL_TIMEOUT: Duration = Duration::from_secs(20);

/// What a rebalance brought or took.
#[derive(Debug)]
pub(super) enum Change {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

/// The consumer of one worker.
pub(super) type Consumer = BaseConsumer<Rebalances>;

/// Writes rebalances down, for the loop to act on.
#[derive(Debug)]
pub(super) struct Rebalances {
    topics: HashMap<String, Topic>,
    changes: Mutex<Vec<Change>>,
}

/// Joins the group. Nothing is fetched before a partition was taken over.
pub(super) fn join(
    cluster: &Cluster,
    group: &str,
    inputs: &[Topic],
    settings: &Settings,
) -> Result<Consumer, Error> {
    let topics: HashMap<String, Topic> = inputs.iter().map(|topic| (cluster.topic(*topic), *topic)).collect();
    let names: Vec<String> = topics.keys().cloned().collect();
    let session_timeout_ms = settings.session_timeout.as_millis();
    let consumer: Consumer = cluster
        .client()
        .set("group.id", group)
        .set("group.instance.id", &settings.instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (session_timeout_ms / 6).clamp(500, 3_000).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        // A few batches ahead, and no more: every worker has this much.
        .set("queued.max.messages.kbytes", "8192")
        // A record that is there is fetched at once, also after an idle moment.
        .set("fetch.queue.backoff.ms", "1")
        .create_with_context(Rebalances { topics, changes: Mutex::default() })
        .map_err(Error::kafka("making the worker's consumer"))?;
    consumer
        .subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .map_err(Error::kafka("joining the group"))?;
    Ok(consumer)
}

/// Takes the rebalances that came during the last polls.
pub(super) fn changes(consumer: &Consumer) -> Vec<Change> {
    std::mem::take(&mut *consumer.context().changes.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The topic that has this name in Kafka, if it is one of the inputs.
pub(super) fn topic(consumer: &Consumer, name: &str) -> Option<Topic> {
    consumer.context().topics.get(name).copied()
}

/// Stops fetching these partitions.
pub(super) fn pause(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<(), Error> {
    consumer.pause(&list(consumer, partitions.iter().map(|p| (*p, None)))).map_err(Error::kafka("pausing"))
}

/// Fetches this partition from here on.
pub(super) fn resume_at(consumer: &Consumer, partition: TopicPartition, next: i64) -> Result<(), KafkaError> {
    seek(consumer, &[(partition, next)])?;
    consumer.resume(&list(consumer, [(partition, None)]))
}

/// Goes back (or on) to these offsets.
pub(super) fn seek(consumer: &Consumer, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let wanted = list(consumer, offsets.iter().map(|(p, offset)| (*p, Some(*offset))));
    let done = consumer.seek_partitions(wanted, LOCAL_TIMEOUT)?;
    done.elements().iter().try_for_each(|element| element.error())
}

/// These partitions, in librdkafka's form, each with an offset or without.
pub(super) fn list(
    consumer: &Consumer,
    partitions: impl IntoIterator<Item = (TopicPartition, Option<i64>)>,
) -> TopicPartitionList {
    let names: HashMap<Topic, &str> =
        consumer.context().topics.iter().map(|(n, t)| (*t, n.as_str())).collect();
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in partitions {
        let name = names.get(&topic).copied().unwrap_or_default();
        let offset = offset.map_or(Offset::Invalid, Offset::Offset);
        // Only negative offsets are refused, and no offset of ours is one.
        list.add_partition_offset(name, partition, offset).expect("an offset that is valid");
    }
    list
}

/// Whether this error means that somebody else joined under our name.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId)
}

/// Whether this error means that a fetch was answered with "no such offset".
pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}

impl Rebalances {
    fn note(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        elements.iter().filter_map(|e| Some((*self.topics.get(e.topic())?, e.partition()))).collect()
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the consumer's client");
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: Code, partitions: &mut TopicPartitionList) {
        let result = match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                // The placeholder: any explicit offset keeps librdkafka from looking one up. What may be fetched from
                // there before the pause takes effect is dropped by the loop, since the partition is not live yet.
                let placed = partitions.set_all_offsets(Offset::Offset(0));
                self.note(Change::Assigned(self.partitions(partitions)));
                placed
                    .and_then(|()| consumer.incremental_assign(partitions))
                    .and_then(|()| consumer.pause(partitions))
            }
            Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                tracing::info!(lost = consumer.assignment_lost(), partitions = ?self.partitions(partitions), "revoked");
                self.note(Change::Revoked(self.partitions(partitions)));
                consumer.incremental_unassign(partitions)
            }
            // rdkafka hands on no other event.
            _ => Ok(()),
        };
        if let Err(error) = result {
            // The session's next rebalance puts it right; until then nothing is fetched.
            tracing::error!(%error, "a rebalance could not be followed");
        }
    }
}
