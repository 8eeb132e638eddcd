//! One thread that reads what is new on the topics of the functions, and hands it on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factfold_consumers::worker::binding::Redeliveries;
use factfold_schemas::{
    functions::{BLOBS, CALLS, LOGS, REDELIVERIES},
    kafka::{Cluster, incoming},
    topics::Service,
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};

use crate::{OpenError, catalogue::Catalogue, code::CodeStore, later::Ledger, logs::Logs};

/// How long Kafka may take to answer at the start.
const START_TIME: Duration = Duration::from_secs(10);
/// How long topics and their leaders may take to be there.
const SETTLE_TIME: Duration = Duration::from_secs(10);
/// How soon the thread sees that it must stop.
const POLL_TIME: Duration = Duration::from_millis(100);
/// How old the lines of logs are that are read at the start.
const LOG_TIME: Duration = Duration::from_secs(60 * 60);

/// The thread; it ends with this.
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Reader {
    consumer: BaseConsumer,
    events: String,
    blobs: String,
    calls: String,
    redeliveries: String,
    known: Known,
}

/// The ends of what there was at the start.
struct Ends {
    events: TopicPartitionList,
    calls: TopicPartitionList,
}

/// What learns from what is read.
pub(crate) struct Known {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) code: Arc<CodeStore>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) redeliveries: Arc<Redeliveries>,
}

impl Follower {
    /// Reads all that is there, then goes on by itself.
    pub(crate) fn start(cluster: &Cluster, known: Known) -> Result<Self, OpenError> {
        let consumer: BaseConsumer = cluster
            .reader("functions")
            // Lines of logs and calls can be gone before they are read, and nothing else ever is.
            .set("auto.offset.reset", "earliest")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.wait.max.ms", "500")
            .create()?;
        let events = cluster.topic(Service::Functions.events());
        let [blobs, calls, redeliveries] =
            [BLOBS, CALLS, REDELIVERIES].map(|name| cluster.namespace.qualify(name));
        let reader = Reader { consumer, events, blobs, calls, redeliveries, known };
        let ends = reader.begin_once_settled(&cluster.namespace.qualify(LOGS))?;
        let deadline = Instant::now() + START_TIME;
        while !(reader.has_come_to(&ends.events)? && reader.has_come_to(&ends.calls)?) {
            if Instant::now() > deadline {
                // Whatever is missing comes while others are served already; nothing of it is lost.
                tracing::warn!("the functions are not all read yet: going on");
                break;
            }
            reader.read();
        }
        let stop = Arc::<AtomicBool>::default();
        let stopping = stop.clone();
        let thread = thread::Builder::new().name("functions".to_owned()).spawn(move || {
            let (mut has_functions, mut has_calls) = (false, false);
            while !stopping.load(Ordering::Acquire) {
                if !has_functions && reader.has_come_to(&ends.events).unwrap_or(false) {
                    reader.known.catalogue.set_complete();
                    has_functions = true;
                }
                if !has_calls && reader.has_come_to(&ends.calls).unwrap_or(false) {
                    reader.known.ledger.set_complete();
                    has_calls = true;
                }
                reader.read();
            }
        });
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows the functions had panicked");
        }
    }
}

impl Reader {
    /// As [`Reader::begin`], as soon as that works: the topics may have been made a moment ago, or the broker has just started.
    fn begin_once_settled(&self, logs: &str) -> Result<Ends, OpenError> {
        let deadline = Instant::now() + SETTLE_TIME;
        loop {
            match self.begin(logs) {
                Err(_) if Instant::now() < deadline => thread::sleep(POLL_TIME),
                settled => return settled,
            }
        }
    }

    /// Takes the places from which to read. Returns the ends of what there is of events and calls. (Code that is not seen yet is
    /// waited for by whoever needs it.)
    fn begin(&self, logs: &str) -> Result<Ends, OpenError> {
        let mut places = TopicPartitionList::new();
        let mut ends = Ends { events: TopicPartitionList::new(), calls: TopicPartitionList::new() };
        for topic in [&self.events, &self.blobs, &self.calls, &self.redeliveries] {
            for partition in 0..self.partitions(topic)? {
                let (low, high) = self.consumer.fetch_watermarks(topic, partition, START_TIME)?;
                places.add_partition_offset(topic, partition, Offset::Offset(low))?;
                let of_these = match topic {
                    _ if high == low => continue,
                    topic if *topic == self.events => &mut ends.events,
                    topic if *topic == self.calls => &mut ends.calls,
                    _ => continue,
                };
                of_these.add_partition_offset(topic, partition, Offset::Offset(high))?;
            }
        }
        let since = jiff::Timestamp::now().as_millisecond() - LOG_TIME.as_millis() as i64;
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions(logs)? {
            asked.add_partition_offset(logs, partition, Offset::Offset(since))?;
        }
        for place in self.consumer.offsets_for_times(asked, START_TIME)?.elements() {
            places.add_partition_offset(logs, place.partition(), place.offset())?;
        }
        self.consumer.assign(&places)?;
        Ok(ends)
    }

    /// How many partitions the topic has.
    fn partitions(&self, topic: &str) -> Result<i32, OpenError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), START_TIME)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
        match found.map(|topic| topic.partitions().len()) {
            Some(partitions) if partitions > 0 => Ok(partitions as i32),
            _ => Err(OpenError::MissingTopic(topic.to_owned())),
        }
    }

    fn has_come_to(&self, ends: &TopicPartitionList) -> Result<bool, KafkaError> {
        let reached = self.consumer.position()?;
        Ok(ends.elements().iter().all(|end| {
            let at = reached.find_partition(end.topic(), end.partition()).map(|place| place.offset());
            matches!((at, end.offset()), (Some(Offset::Offset(next)), Offset::Offset(end)) if next >= end)
        }))
    }

    /// What comes next, if something does.
    fn read(&self) {
        match self.consumer.poll(POLL_TIME) {
            Some(Ok(message)) => self.hand_on(&message),
            Some(Err(error)) => tracing::warn!(%error, "following the functions"),
            None => {}
        }
    }

    fn hand_on(&self, message: &BorrowedMessage<'_>) {
        let Known { catalogue, code, logs, ledger, redeliveries } = &self.known;
        let topic = message.topic();
        if topic == self.events {
            catalogue.fold(&incoming(message));
        } else if topic == self.blobs {
            code.saw(message.key().unwrap_or_default(), message.offset());
        } else if topic == self.calls {
            ledger.note(message.partition(), message.offset(), message.payload().unwrap_or_default());
        } else if topic == self.redeliveries {
            if let Err(error) = redeliveries.put(&incoming(message)) {
                tracing::warn!(
                    error,
                    kafka.offset = message.offset(),
                    "what lies on {REDELIVERIES} is no event"
                );
            }
        } else if let Some(value) = message.payload() {
            logs.keep(value);
        }
    }
}
