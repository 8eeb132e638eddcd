//! Writing commands to where their keys belong, and matching the answers. A bounded number is on its way at any time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use factfold_projections::log_reader::Log;
use factfold_schemas::{
    command::Header, kafka::headers, partitioner::partition_of, position::Position, record::Reply,
    topics::Service,
};
use jiff::Timestamp;
use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};

use super::{replies::Replies, vocabulary::Checked};

/// Where a command was stored (of one that was sent twice Kafka does not say), or why it was not.
pub(super) type Delivery = (u64, Result<Option<Position>, KafkaError>);

/// Sends commands of both services.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    replies: Replies,
    source: String,
    partitions: HashMap<Service, (String, i32)>,
}

#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Vec<Delivery>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(u64, Service)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (number, service) = *opaque;
        let result = match result {
            Ok(message) => {
                Ok(Position::acknowledged(service.commands(), message.partition(), message.offset()))
            }
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
    }
}

impl Sender {
    /// Listens for replies, then makes the producer.
    pub(super) fn new(log: &Log) -> Result<Self> {
        let replies = Replies::listen(log)?;
        let count = |service: Service| {
            let name = log.cluster().topic(service.commands());
            let partitions = log.partitions(&name)?;
            Ok((service, (name, partitions)))
        };
        let partitions = Service::ALL.into_iter().map(count).collect::<Result<_>>()?;
        let producer = log
            .cluster()
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("delivery.timeout.ms", "30000")
            .create_with_context(Deliveries::default())
            .context("making a Kafka producer")?;
        Ok(Self { producer, replies, source: source(), partitions })
    }

    /// Hands a command to the library, under a number of the caller's.
    pub(super) fn send(
        &self,
        number: u64,
        id: &str,
        command: &Checked,
        not_before: Option<Timestamp>,
    ) -> Result<()> {
        let header = Header {
            not_before,
            reply_to: Some(self.replies.address().clone()),
            ..Header::new(id, self.source.as_str())
        };
        let record =
            header.record(command.service, &command.stream, &command.type_name, command.value.clone());
        let (topic, partitions) =
            self.partitions.get(&command.service).context("the topics of this service were asked for")?;
        let key = command.stream.as_str().as_bytes();
        let mut sent = BaseRecord::with_opaque_to(topic, Box::new((number, command.service)))
            .key(key)
            .payload(command.value.as_slice())
            .partition(partition_of(key, *partitions))
            .headers(headers(&record));
        while let Err((error, back)) = self.producer.send(sent) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).with_context(|| format!("sending to {topic}"));
            }
            self.producer.poll(Duration::from_millis(1));
            sent = back;
        }
        Ok(())
    }

    /// What was stored, or was not, since the last time.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.producer.poll(Duration::ZERO);
        let deliveries = self.producer.context();
        std::mem::take(&mut *deliveries.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next answer, if one comes within this time.
    pub(super) fn reply(&self, timeout: Duration) -> Result<Option<Reply>> {
        self.replies.next(timeout)
    }
}

/// Who sends: `/cli/<user>`. A repeat under the same id must come from the same.
pub(crate) fn source() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    format!("/cli/{}", user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name))
}
