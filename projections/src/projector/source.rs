//! Records from Kafka: all partitions of a read model's topics, from where its checkpoints say, committed ones only.
//! It never commits an offset, and never asks a group for one.

use std::{collections::BTreeMap, time::Duration};

use factfold_schemas::{
    kafka::{Cluster, incoming},
    position::Position,
    topics::Topic,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{
    batch::{Batch, Place},
    checkpoint::Checkpoints,
    record::{Entry, Record},
    stop::Stop,
};
use crate::{
    Projection,
    error::{Contradiction, Violation},
};

/// How long a call to Kafka may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How large batches are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    records_max: usize,
    bytes_max: usize,
    /// How long to wait for more where nothing more is here.
    patience: Duration,
    /// How much the library fetches ahead: with little, whoever decodes waits for the next fetch.
    ahead_kbytes: u32,
}

impl Size {
    /// Whatever is there shows at once.
    pub(super) const FOLLOWING: Self = Self {
        records_max: 5_000,
        bytes_max: 8 * 1024 * 1024,
        patience: Duration::ZERO,
        ahead_kbytes: 4 * 1024,
    };

    /// The more comes together, the fewer rows are written twice. Decoded, a record takes some two kilobytes.
    pub(super) const fn catching_up(ahead_kbytes: u32) -> Self {
        Self {
            records_max: 30_000,
            bytes_max: 16 * 1024 * 1024,
            patience: Duration::from_millis(20),
            ahead_kbytes,
        }
    }

    /// Whether there is probably more than this batch could take.
    pub(super) fn is_full(self, batch: &Batch) -> bool {
        batch.entries.len() >= self.records_max
    }
}

/// How long to wait for the first record: also how soon the loop sees that it shall stop.
const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
/// How long to wait when half a command is here, whose rest is on its way.
const REST_TIMEOUT: Duration = Duration::from_millis(5);

/// The records of a read model.
pub(super) struct Source {
    consumer: BaseConsumer,
    names: BTreeMap<String, Topic>,
    checkpoints: Checkpoints,
    /// How far it is read at most, where that is said.
    bounds: BTreeMap<Place, i64>,
    /// What was read and is not yet in a batch.
    read: BTreeMap<Place, Vec<Entry>>,
    size: Size,
}

/// Where the log of a partition begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Source {
    /// Connects, without reading yet.
    pub(super) fn connect(cluster: &Cluster, projection: Projection, size: Size) -> Result<Self, Stop> {
        let consumer: BaseConsumer = cluster
            .reader(format_args!("projector.{projection}"))
            .set("enable.auto.offset.store", "false")
            .set("queued.max.messages.kbytes", size.ahead_kbytes.to_string())
            // A full queue is emptied within milliseconds here; by default the next fetch would wait for a second.
            .set("fetch.queue.backoff.ms", "5")
            .create()?;
        let names = projection.topics().into_iter().map(|topic| (cluster.topic(topic), topic)).collect();
        Ok(Self {
            consumer,
            names,
            checkpoints: Checkpoints::new(),
            bounds: BTreeMap::new(),
            read: BTreeMap::new(),
            size,
        })
    }

    /// Kafka's name for its cluster, where it has one.
    pub(super) fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(CALL_TIMEOUT)
    }

    /// Every partition, and where its log begins and ends.
    pub(super) fn extents(&self) -> Result<BTreeMap<Place, Extent>, Stop> {
        let mut extents = BTreeMap::new();
        for (name, topic) in &self.names {
            let metadata = self.consumer.fetch_metadata(Some(name), CALL_TIMEOUT)?;
            let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            if partitions == 0 {
                return Err(Stop::NoTopic(name.clone()));
            }
            for partition in (0_i32..).take(partitions) {
                let (low, high) = self.consumer.fetch_watermarks(name, partition, CALL_TIMEOUT)?;
                extents.insert((*topic, partition), Extent { low, high });
            }
        }
        Ok(extents)
    }

    /// What is folded already, before it is said to start.
    pub(super) fn folded(&mut self, checkpoints: Checkpoints) {
        self.checkpoints = checkpoints;
    }

    /// Begins to read at these checkpoints: once, since librdkafka may end the process when an assignment takes the place of
    /// one that has just taken another's (librdkafka #5573).
    pub(super) fn start(&mut self, checkpoints: Checkpoints) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        for (name, topic) in &self.names {
            for ((_, partition), checkpoint) in checkpoints.iter().filter(|((t, _), _)| t == topic) {
                assignment.add_partition_offset(name, *partition, Offset::Offset(checkpoint.next))?;
            }
        }
        self.consumer.assign(&assignment)?;
        self.checkpoints = checkpoints;
        Ok(())
    }

    /// What is there now, up to its size; when nothing is there, waits a moment for a first record.
    pub(super) fn gather(&mut self) -> Result<Batch, Stop> {
        let size = self.size;
        let is_open = self.read.values().any(|entries| !entries.is_empty());
        let mut timeout = if is_open { REST_TIMEOUT } else { FIRST_TIMEOUT };
        let (mut records, mut bytes) = (0, 0);
        while records < size.records_max && bytes < size.bytes_max {
            let Some(message) = self.consumer.poll(timeout) else { break };
            let message = message?;
            records += 1;
            bytes += message.payload_len() + message.key_len();
            if let Some(topic) = self.names.get(message.topic()) {
                let entry = decode(*topic, &message)?;
                self.read.entry((*topic, message.partition())).or_default().push(entry);
            }
            timeout = size.patience;
        }
        self.whole_commands()
    }

    fn whole_commands(&mut self) -> Result<Batch, Stop> {
        let mut batch = Batch::default();
        for element in self.consumer.position()?.elements() {
            // Before the first record of a partition there is no position.
            let (Some(topic), Offset::Offset(position)) = (self.names.get(element.topic()), element.offset())
            else {
                continue;
            };
            let place = (*topic, element.partition());
            let Some(checkpoint) = self.checkpoints.get(&place) else { continue };
            let read = self.read.entry(place).or_default();
            match self.bounds.get(&place) {
                Some(bound) if position >= *bound => {
                    batch.add_until(place, *checkpoint, read, *bound)?;
                    // No more of it is wanted, and none may pile up here.
                    read.clear();
                    let mut reached = TopicPartitionList::new();
                    reached.add_partition(element.topic(), element.partition());
                    self.consumer.pause(&reached)?;
                }
                _ => batch.add(place, *checkpoint, read, position)?,
            }
        }
        Ok(batch)
    }

    /// Reads no further than this.
    pub(super) fn limit(&mut self, bounds: BTreeMap<Place, i64>) {
        self.bounds = bounds;
    }

    /// Whether all that is wanted is folded.
    pub(super) fn is_at_bounds(&self) -> bool {
        let folded = |place| self.checkpoints.get(place).map_or(0, |checkpoint| checkpoint.next);
        self.bounds.iter().all(|(place, bound)| folded(place) >= *bound)
    }

    /// This batch is in Postgres.
    pub(super) fn committed(&mut self, batch: &Batch) {
        self.checkpoints.extend(batch.moves.iter().map(|(place, (_, to))| (*place, *to)));
    }

    /// The partitions that it reads.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.checkpoints.keys().copied()
    }

    /// How many offsets lie between what is folded and the end of what is committed, for each partition.
    pub(super) fn lag(&self) -> Result<Vec<(Place, i64)>, KafkaError> {
        let ends = self.ends()?.into_iter();
        Ok(ends
            .filter_map(|(place, end)| Some((place, (end - self.checkpoints.get(&place)?.next).max(0))))
            .collect())
    }

    /// Where what is committed ends, for each partition that it reads.
    pub(super) fn ends(&self) -> Result<BTreeMap<Place, i64>, KafkaError> {
        let mut wanted = TopicPartitionList::new();
        for (name, topic) in &self.names {
            for (_, partition) in self.checkpoints.keys().filter(|(t, _)| t == topic) {
                wanted.add_partition_offset(name, *partition, Offset::End)?;
            }
        }
        let ends = self.consumer.offsets_for_times(wanted, CALL_TIMEOUT)?;
        let ends = ends.elements().into_iter().filter_map(|end| {
            Some(((*self.names.get(end.topic())?, end.partition()), end.offset().to_raw()?))
        });
        Ok(ends.collect())
    }
}

fn decode(topic: Topic, message: &rdkafka::message::BorrowedMessage<'_>) -> Result<Entry, Violation> {
    let at = Position::new(topic, message.partition(), message.offset());
    match Record::read(topic, &incoming(message)) {
        Ok(record) => Ok(Entry { at, record }),
        Err(error) => Err(Violation { at, stream: None, contradiction: Contradiction::Unreadable(error) }),
    }
}
