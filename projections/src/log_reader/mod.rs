//! Reading topics as they are: committed records only, from one place to another, in one order that is the same every time.
//!
//! [`bound`] is what a person says about where to begin and end; [`Log::lanes`] makes offsets of it; [`merge`] reads to the
//! end, partitions merged by the broker's time; [`follow`] goes on from there, live; [`envelope`] writes a record as a
//! CloudEvent in JSON, with what is [`visible`] of it; [`lines`] has all cores do that. Memory is bounded by what the library fetches ahead.
//!
//! Everything here blocks. It must never join a group, commit an offset, or decide what a record means.

pub mod bound;
mod crew;
pub mod envelope;
mod error;
mod filter;
pub mod follow;
pub mod lines;
pub mod merge;
mod record;
pub mod visible;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factfold_schemas::{kafka::Cluster, position::Position, topics::Topic};
use jiff::{SignedDuration, Timestamp};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};

use self::error::Doing;
pub use self::{
    bound::Bound,
    error::LogError,
    filter::Filter,
    record::{Kept, Record},
};

/// How long Kafka may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to say that it is there.
const REACH: Duration = Duration::from_secs(5);
/// How much may wait in memory, for each partition, beside what is being fetched.
const AHEAD_KBYTES: u32 = 4096;
/// The same, where many read at once.
const AHEAD_KBYTES_OF_MANY: u32 = 1024;
/// What the brokers are told who reads.
const GROUP: &str = "factfold.reader";

/// The topics of a cluster that can be reached.
pub struct Log {
    cluster: Cluster,
    client: BaseConsumer<LastError>,
    partitions: BTreeMap<String, i32>,
    ahead_kbytes: u32,
    notice: fn(&str),
}

/// The wish to stop, as somebody sees it who reads.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether somebody wants an end.
    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Wants an end.
    pub fn want(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A wish to stop that is made when this goes: whoever waited for a reader is gone.
#[derive(Debug, Default)]
pub struct WantedOnDrop(pub Stop);

impl Drop for WantedOnDrop {
    fn drop(&mut self) {
        self.0.want();
    }
}

/// What is to be read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The topic.
    pub topic: Topic,
    /// Its name in Kafka.
    pub name: String,
    /// The partition.
    pub partition: i32,
    /// The oldest offset that is still there.
    pub low: i64,
    /// The offset that is read next.
    pub next: i64,
    /// The offset that is not read any more.
    pub end: i64,
}

impl Lane {
    /// Where reading goes on.
    pub const fn position(&self) -> Position {
        Position::new(self.topic, self.partition, self.next)
    }

    /// Where it ends.
    pub const fn end_position(&self) -> Position {
        Position::new(self.topic, self.partition, self.end)
    }
}

impl Log {
    /// Asks the cluster for its topics. Whoever reads for long learns from `notice` why nothing comes.
    pub fn open(cluster: &Cluster, notice: fn(&str)) -> Result<Self, LogError> {
        Self::ask(cluster, "read_uncommitted", AHEAD_KBYTES, notice)
    }

    /// The same, for somebody who reads on behalf of many at once: less is fetched ahead, and a partition ends where an
    /// open transaction begins, which is waited for by nobody.
    pub fn open_for_many(cluster: &Cluster, notice: fn(&str)) -> Result<Self, LogError> {
        Self::ask(cluster, "read_committed", AHEAD_KBYTES_OF_MANY, notice)
    }

    fn ask(
        cluster: &Cluster,
        isolation: &str,
        ahead_kbytes: u32,
        notice: fn(&str),
    ) -> Result<Self, LogError> {
        let client: BaseConsumer<LastError> = cluster
            .reader(GROUP)
            // It only asks. What is not committed yet counts, or not, for where a partition ends.
            .set("isolation.level", isolation)
            .create_with_context(LastError::default())
            .doing("making a Kafka client")?;
        let metadata = client.fetch_metadata(None, REACH).map_err(|error| {
            // Why it failed is told beside the answer, to whoever polls.
            let hear = |_| {
                client.poll(Duration::from_millis(50));
                client.context().take()
            };
            let why = (0..10).find_map(hear).unwrap_or_else(|| error.to_string());
            LogError::Unreachable { brokers: cluster.brokers.clone(), seconds: REACH.as_secs(), why }
        })?;
        let topics = metadata.topics().iter();
        let partitions = topics.map(|t| (t.name().to_owned(), t.partitions().len() as i32)).collect();
        Ok(Self { cluster: cluster.clone(), client, partitions, ahead_kbytes, notice })
    }

    /// The cluster.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Kafka's id of the cluster, if it tells.
    pub fn cluster_id(&self) -> Option<String> {
        self.client.client().fetch_cluster_id(PATIENCE)
    }

    /// How many partitions a topic has, by its name in Kafka.
    pub fn partitions(&self, name: &str) -> Result<i32, LogError> {
        if let Some(known) = self.partitions.get(name).copied().filter(|count| *count > 0) {
            return Ok(known);
        }
        // It may have been made since.
        let metadata = self.client.fetch_metadata(Some(name), PATIENCE);
        let metadata = metadata.doing_with(|| format!("asking for the topic {name}"))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
        if partitions > 0 { Ok(partitions) } else { Err(LogError::NoTopic(name.to_owned())) }
    }

    /// Where to begin and end in each partition of these topics (or in `only` one). Positions name their partition exactly; the
    /// other partitions begin, or end, where the first one named has its turn in the order of [`merge`]. So `[a, b)` and
    /// `[b, c)` always make `[a, c)`, and what ends at a record ends before just that one.
    pub fn lanes(
        &self,
        topics: &[Topic],
        only: Option<i32>,
        from: &Bound,
        to: &Bound,
    ) -> Result<Vec<Lane>, LogError> {
        let mut lanes = Vec::new();
        for &topic in topics {
            let name = self.cluster.topic(topic);
            for partition in 0..self.partitions(&name)? {
                lanes.push(self.lane(topic, partition)?);
            }
        }
        let starts = self.offsets(&lanes, from)?;
        let ends = self.offsets(&lanes, to)?;
        for ((lane, start), end) in lanes.iter_mut().zip(starts).zip(ends) {
            (lane.next, lane.end) = (start.max(lane.low), end);
        }
        lanes.retain(|lane| only.is_none_or(|only| only == lane.partition));
        Ok(lanes)
    }

    /// What lies between each of these positions and the end of its partition. One that is gone, or was never there, is
    /// refused: whoever goes on from there would miss something.
    pub fn lanes_from(&self, positions: &[Position]) -> Result<Vec<Lane>, LogError> {
        let lane = |position: &Position| {
            let mut lane = self.lane(position.topic, position.partition)?;
            bound::check(&[*position], std::slice::from_ref(&lane))?;
            if position.offset < lane.low {
                let gone = format!("{position} is gone: this partition begins at {}", lane.low);
                return Err(LogError::NoSuchPlace(gone));
            }
            lane.next = position.offset;
            Ok(lane)
        };
        positions.iter().map(lane).collect()
    }

    /// All of a partition.
    fn lane(&self, topic: Topic, partition: i32) -> Result<Lane, LogError> {
        let name = self.cluster.topic(topic);
        let (low, end) = self
            .client
            .fetch_watermarks(&name, partition, PATIENCE)
            .doing_with(|| format!("asking where {name}/{partition} ends"))?;
        Ok(Lane { topic, name, partition, low, next: low, end })
    }

    /// The offset of this bound in each lane.
    fn offsets(&self, lanes: &[Lane], bound: &Bound) -> Result<Vec<i64>, LogError> {
        let of_lanes = |pick: fn(&Lane) -> i64| lanes.iter().map(pick).collect::<Vec<_>>();
        match bound {
            Bound::Beginning => Ok(of_lanes(|lane| lane.low)),
            Bound::End => Ok(of_lanes(|lane| lane.end)),
            Bound::Time(time) => at_times(&self.client, lanes, |_| *time),
            Bound::Positions(positions) => {
                bound::check(positions, lanes)?;
                let named = |lane: &Lane| {
                    let of_lane = |p: &&Position| p.topic == lane.topic && p.partition == lane.partition;
                    positions.iter().find(of_lane).map(|position| position.offset)
                };
                let others = match positions.first() {
                    Some(first) if lanes.iter().any(|lane| named(lane).is_none()) => {
                        match self.time_of(*first)? {
                            Some(time) => self.at_turn(lanes, *first, time)?,
                            None => of_lanes(|lane| lane.end),
                        }
                    }
                    _ => of_lanes(|lane| lane.low),
                };
                Ok(lanes.iter().zip(others).map(|(lane, other)| named(lane).unwrap_or(other)).collect())
            }
        }
    }

    /// The first offset in each other lane that does not come before the record at this position: of those that were stored in
    /// the same millisecond the ones in earlier lanes do.
    fn at_turn(&self, lanes: &[Lane], of: Position, time: Timestamp) -> Result<Vec<i64>, LogError> {
        let its = lanes.iter().position(|lane| (lane.topic, lane.partition) == (of.topic, of.partition));
        let its = its.unwrap_or(0);
        let just_after = time + SignedDuration::from_millis(1);
        at_times(&self.client, lanes, |lane| if lane < its { just_after } else { time })
    }

    /// The time of the first record at or after this position; `None` at the end.
    fn time_of(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        let mut lane = self.lane(position.topic, position.partition)?;
        lane.next = position.offset.max(lane.low);
        let mut time = None;
        self.read(&mut [lane], &Stop::default(), |record, _| {
            time = Some(record.time());
            Ok::<_, LogError>(merge::Next::Enough)
        })?;
        Ok(time)
    }

    /// A consumer of committed records.
    fn consumer(&self, settings: &[(&str, &str)]) -> Result<Arc<BaseConsumer>, LogError> {
        let mut config = self.cluster.reader(GROUP);
        config
            .set("enable.auto.offset.store", "false")
            .set("queued.max.messages.kbytes", self.ahead_kbytes.to_string())
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "50");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Ok(Arc::new(config.create().doing("making a Kafka consumer")?))
    }
}

/// What the library said last of why it cannot get through.
#[derive(Default)]
struct LastError(Mutex<Option<String>>);

impl LastError {
    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for LastError {
    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down says nothing; what was said before says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            // The broker's name stands first, and how often it was tried last.
            let sentence = reason.split_once("bootstrap: ").map_or(reason, |(_, sentence)| sentence);
            let sentence = sentence.split_once(" (after ").map_or(sentence, |(sentence, _)| sentence);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.to_owned());
        }
    }
}

impl ConsumerContext for LastError {}

fn assignment(lanes: &[Lane]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(lanes.len());
    for lane in lanes {
        list.add_partition_offset(&lane.name, lane.partition, Offset::Offset(lane.next))
            .doing("naming partitions")?;
    }
    Ok(list)
}

const ASKING: &str = "asking for offsets by time";

/// The first offset in each lane whose record is not older than the time that counts there; the lane's end when all are older.
fn at_times(
    client: &BaseConsumer<LastError>,
    lanes: &[Lane],
    time: impl Fn(usize) -> Timestamp,
) -> Result<Vec<i64>, LogError> {
    let mut asked = TopicPartitionList::with_capacity(lanes.len());
    for (index, lane) in lanes.iter().enumerate() {
        let at = Offset::Offset(time(index).as_millisecond());
        asked.add_partition_offset(&lane.name, lane.partition, at).doing(ASKING)?;
    }
    let found = client.offsets_for_times(asked, PATIENCE).doing(ASKING)?;
    let offset = |lane: &Lane| {
        let element = found.find_partition(&lane.name, lane.partition).ok_or(KafkaError::NoMessageReceived);
        let element = element.doing(ASKING)?;
        element.error().doing(ASKING)?;
        Ok(element.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(lane.end))
    };
    lanes.iter().map(offset).collect()
}
