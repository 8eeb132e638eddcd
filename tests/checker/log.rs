//! Reading whole topics, as a `read_committed` client sees them, up to where they end now.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use factfold_schemas::{cloudevents::Incoming, kafka::Cluster};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Headers as _,
    types::RDKafkaErrorCode,
};

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition it lies in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its time.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// This record, as the codec reads it.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect(),
        }
    }

    /// A header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The last header of this name, as text: what was added behind what came.
    pub fn last_header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rfind(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// All records of a topic, in the order of their partitions. Waits for open transactions to end, but not for long.
pub fn read(cluster: &Cluster, topic: &str) -> Result<Vec<Record>> {
    read_from(cluster, topic, |_| 0)
}

/// The records of a topic from these offsets on, in the order of their partitions. Waits for open transactions to end,
/// but not for long. Fails when something below the offsets' end was cut off.
pub fn read_from(cluster: &Cluster, topic: &str, start: impl Fn(i32) -> i64) -> Result<Vec<Record>> {
    let timeout = Duration::from_secs(60);
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", "checker")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        // Nothing more comes at the end: there is nothing to wait for.
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let ends: BaseConsumer = cluster.client().set("isolation.level", "read_uncommitted").create()?;
    let mut list = TopicPartitionList::new();
    let mut open = BTreeMap::new();
    for partition in 0..partitions(&ends, topic, timeout)? {
        let (low, high) = ends.fetch_watermarks(topic, partition, timeout)?;
        let start = start(partition);
        ensure!(low <= start, "{topic}/{partition} begins at {low}: what was before cannot be checked");
        if start < high {
            list.add_partition_offset(topic, partition, Offset::Offset(start))?;
            open.insert(partition, high);
        }
    }
    consumer.assign(&list)?;
    let mut records = Vec::new();
    let mut progress = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(5)) {
            // On a machine that is busy: it comes back.
            Some(Err(error)) if is_passing(&error) && progress.elapsed() <= timeout => {}
            Some(message) => {
                let message = message.context("reading")?;
                progress = Instant::now();
                records.push(owned(&message));
                continue;
            }
            None if progress.elapsed() > timeout => bail!("{topic} stands still before its end: {open:?}"),
            None => {}
        }
        let position = consumer.position()?;
        open.retain(|partition, end| {
            let at = position.find_partition(topic, *partition).and_then(|element| element.offset().to_raw());
            at.is_none_or(|at| at < *end)
        });
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// Whether the client goes on by itself after this.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
    )
}

/// How many partitions a topic has.
pub fn partitions(client: &BaseConsumer, topic: &str, timeout: Duration) -> Result<i32> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
    ensure!(partitions > 0, "there is no topic {topic}");
    Ok(partitions)
}

fn owned(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
