//! Transactions of records and places.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use factfold_projections::log_reader::Record;
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    ClientContext, Message as _, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};

/// How long a transaction can be open before the broker gives it up.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(1);

/// A producer whose transactions come one after the other.
pub(super) struct Transactions {
    name: String,
    producer: BaseProducer<Deliveries>,
    is_open: bool,
}

/// What became of the records.
#[derive(Default)]
struct Deliveries(Mutex<Delivered>);

#[derive(Default)]
struct Delivered {
    /// The last offset in each partition.
    last: BTreeMap<i32, i64>,
    failed: Option<KafkaError>,
}

impl Transactions {
    /// To the topic of this name. Whatever an earlier producer of the same name left open is over then.
    pub(super) fn of(cluster: &Cluster, name: &str) -> Result<Self> {
        let making = || format!("making a transactional producer for {name}");
        let producer: BaseProducer<Deliveries> = cluster
            .client()
            .set("transactional.id", format!("{name}.replay"))
            .set("transaction.timeout.ms", TIMEOUT.as_millis().to_string())
            .set("message.max.bytes", "2500000")
            .create_with_context(Deliveries::default())
            .with_context(making)?;
        producer.init_transactions(TIMEOUT).with_context(making)?;
        Ok(Self { name: name.to_owned(), producer, is_open: false })
    }

    /// Writes this record as it is.
    pub(super) fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.open()?;
        let message = record.message;
        let mut copy = BaseRecord::<[u8], [u8]>::to(&self.name).partition(message.partition());
        (copy.key, copy.payload) = (message.key(), message.payload());
        copy.timestamp = message.timestamp().to_millis();
        copy.headers = message.headers().map(|headers| headers.detach());
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.producer.send(copy) {
                Ok(()) => return Ok(()),
                Err((error, unsent)) if is_full(&error) && Instant::now() < deadline => {
                    self.producer.poll(POLL);
                    copy = unsent;
                }
                Err((error, _)) => return Err(error).with_context(|| self.failed()),
            }
        }
    }

    /// Waits until all records have arrived; the last offset in each partition where there are new ones.
    pub(super) fn deliver(&mut self) -> Result<BTreeMap<i32, i64>> {
        let deadline = Instant::now() + TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                bail!("{}: the broker does not take the records", self.failed());
            }
            self.producer.poll(POLL);
        }
        let Delivered { last, failed } = std::mem::take(&mut *self.producer.context().delivered());
        match failed {
            Some(error) => Err(error).with_context(|| self.failed()),
            None => Ok(last),
        }
    }

    /// Commits what was written since the last time, and these places with it.
    pub(super) fn commit(
        &mut self,
        places: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<()> {
        self.open()?;
        let sent = self.producer.send_offsets_to_transaction(places, group, TIMEOUT);
        sent.with_context(|| self.failed())?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.producer.commit_transaction(TIMEOUT) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(error).with_context(|| self.failed()),
            }
        }
        self.is_open = false;
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        if !self.is_open {
            self.producer.begin_transaction().with_context(|| self.failed())?;
            self.is_open = true;
        }
        Ok(())
    }

    fn failed(&self) -> String {
        format!("writing to {} (the same command goes on where it ended)", self.name)
    }
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

impl Deliveries {
    fn delivered(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.delivered();
        match result {
            Ok(message) => drop(delivered.last.insert(message.partition(), message.offset())),
            Err((error, _)) => delivered.failed = Some(error.clone()),
        }
    }
}
