//! The floors on Kafka: loops that move the same bytes by the same protocol, and do nothing else.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use uuid::Uuid;

use super::ground::send;

const PATIENCE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_micros(100);

/// From where to where records are moved, and by what transactions.
pub(super) struct Loop<'a> {
    pub(super) cluster: &'a Cluster,
    /// The topic that is consumed.
    pub(super) from: &'a str,
    /// The topic that is written.
    pub(super) to: &'a str,
    pub(super) partitions: i32,
    /// The most records of one transaction.
    pub(super) batch: usize,
    /// How many transactional producers take turns.
    pub(super) turns: usize,
}

/// A loop that ran.
pub(super) struct Ran {
    /// How many records came after the first transaction, and how long that took.
    pub(super) records: usize,
    pub(super) took: Duration,
    /// How long each transaction took, from its begin to its commit.
    pub(super) transactions: Vec<Duration>,
}

impl Loop<'_> {
    /// Moves so many records: for each that is consumed, one is written that is as large as `like`, under the same key.
    pub(super) fn run(&self, records: usize, like: &OwnedMessage) -> Result<Ran> {
        let headers = like.headers().cloned().unwrap_or_else(OwnedHeaders::new);
        let value = like.payload().unwrap_or_default();
        let consumer = self.consumer()?;
        let producers =
            (0..self.turns).map(|turn| self.producer(turn)).collect::<Result<Vec<BaseProducer>>>()?;
        let mut ran = Ran { records: 0, took: Duration::ZERO, transactions: Vec::new() };
        let (mut moved, mut first) = (0, None);
        for producer in producers.iter().cycle() {
            if moved >= records {
                break;
            }
            let batch = gather(&consumer, self.batch)?;
            let begun = Instant::now();
            producer.begin_transaction()?;
            for message in &batch {
                let record = BaseRecord::to(self.to).partition(message.partition()).headers(headers.clone());
                send(producer, record.key(message.key().unwrap_or_default()).payload(value))?;
            }
            self.commit(producer, &consumer, &batch)?;
            ran.transactions.push(begun.elapsed());
            moved += batch.len();
            match first {
                None => first = Some((Instant::now(), moved)),
                Some((since, before)) => (ran.took, ran.records) = (since.elapsed(), moved - before),
            }
        }
        Ok(ran)
    }

    fn commit(
        &self,
        producer: &BaseProducer,
        consumer: &BaseConsumer,
        batch: &[BorrowedMessage<'_>],
    ) -> Result<()> {
        let mut next = vec![None; self.partitions.unsigned_abs() as usize];
        for message in batch {
            next[message.partition().unsigned_abs() as usize] = Some(message.offset() + 1);
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in (0..).zip(next) {
            let Some(next) = next else { continue };
            offsets.add_partition_offset(self.from, partition, Offset::Offset(next))?;
        }
        let group = consumer.group_metadata().context("a consumer in a group")?;
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        // The library's own flush polls in steps of 100 ms, and its poll spins for the last millisecond.
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::ZERO);
            thread::sleep(REST);
        }
        Ok(producer.commit_transaction(PATIENCE)?)
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        let consumer = consumer(self.cluster)?;
        consumer.assign(&from_the_beginning(self.from, self.partitions)?)?;
        Ok(consumer)
    }

    fn producer(&self, turn: usize) -> Result<BaseProducer> {
        let id = self.cluster.namespace.qualify(format_args!("floor-{}-{turn}", Uuid::new_v4()));
        let producer: BaseProducer = self
            .cluster
            .client()
            .set("transactional.id", id)
            .set("linger.ms", "0")
            .set("retry.backoff.ms", "1")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .create()?;
        producer.init_transactions(PATIENCE)?;
        Ok(producer)
    }
}

/// Consumes so many records, and does nothing with them. Returns how long that took, from the first one on.
pub(super) fn consume(cluster: &Cluster, topic: &str, partitions: i32, records: usize) -> Result<Duration> {
    consume_each(cluster, topic, partitions, records, |_| ())
}

/// The same, for whoever reads the headers too: librdkafka unpacks them when they are asked for, each into memory of its own.
pub(super) fn consume_with_headers(
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
    records: usize,
) -> Result<Duration> {
    consume_each(cluster, topic, partitions, records, |message| {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        std::hint::black_box(headers.map(|header| header.value.map_or(0, <[u8]>::len)).sum::<usize>());
    })
}

fn consume_each(
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
    records: usize,
    look: impl Fn(&BorrowedMessage<'_>),
) -> Result<Duration> {
    let consumer = consumer(cluster)?;
    consumer.assign(&from_the_beginning(topic, partitions)?)?;
    let (mut since, mut read) = (None, 0);
    while read < records {
        if let Some(message) = consumer.poll(PATIENCE) {
            look(&message?);
            since.get_or_insert_with(Instant::now);
            read += 1;
        }
    }
    Ok(since.map_or(Duration::ZERO, |since| since.elapsed()))
}

/// The last record of a topic's first partition that has one.
pub(super) fn last_record(cluster: &Cluster, topic: &str, partitions: i32) -> Result<OwnedMessage> {
    let consumer = consumer(cluster)?;
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        if high > low {
            let mut list = TopicPartitionList::new();
            // A transaction's marker lies behind it.
            list.add_partition_offset(topic, partition, Offset::Offset((high - 2).max(low)))?;
            consumer.assign(&list)?;
            return Ok(consumer.poll(PATIENCE).context("a record")??.detach());
        }
    }
    anyhow::bail!("the topic {topic} is empty")
}

fn consumer(cluster: &Cluster) -> Result<BaseConsumer> {
    Ok(cluster
        .reader("floor")
        .set("enable.auto.offset.store", "false")
        .set("fetch.queue.backoff.ms", "1")
        .create()?)
}

fn from_the_beginning(topic: &str, partitions: i32) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Offset(0))?;
    }
    Ok(list)
}

/// What is there, up to `most`; waits for the first.
fn gather(consumer: &BaseConsumer, most: usize) -> Result<Vec<BorrowedMessage<'_>>> {
    let mut batch = Vec::new();
    let mut timeout = PATIENCE;
    while batch.len() < most {
        let Some(message) = consumer.poll(timeout) else { break };
        batch.push(message?);
        timeout = Duration::ZERO;
    }
    Ok(batch)
}
