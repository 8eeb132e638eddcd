//! Threads that read what is new on topics of the functions, and hand it on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factfold_schemas::kafka::Cluster;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};

use crate::OpenError;

/// How long Kafka may take to answer at the start.
const START_TIME: Duration = Duration::from_secs(10);
/// How long topics and their leaders may take to be there.
const SETTLE_TIME: Duration = Duration::from_secs(10);
/// How soon the thread sees that it must stop.
const POLL_TIME: Duration = Duration::from_millis(100);

/// The thread; it ends with this.
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A topic that is followed.
pub(crate) struct Followed {
    topic: String,
    since: Since,
    learn: Box<dyn Fn(&BorrowedMessage<'_>) + Send>,
}

/// From where on a topic is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    /// From the first record on. What is there at the start is waited for.
    AllOfIt,
    /// From the first record on, in its time.
    AllInItsTime,
    /// The records of the last hours, or whatever it is.
    Lately(Duration),
}

impl Followed {
    /// `learn` is given each record of this topic, by its name on Kafka.
    pub(crate) fn new(
        topic: String,
        since: Since,
        learn: impl Fn(&BorrowedMessage<'_>) + Send + 'static,
    ) -> Self {
        Self { topic, since, learn: Box::new(learn) }
    }
}

struct Reader {
    consumer: BaseConsumer,
    followed: Vec<Followed>,
}

impl Follower {
    /// Reads all that is there, then goes on by itself. `complete` is told once when all is read that was there at the start: by
    /// then, or later if that takes too long.
    pub(crate) fn start(
        cluster: &Cluster,
        name: &'static str,
        followed: Vec<Followed>,
        complete: impl FnOnce() + Send + 'static,
    ) -> Result<Self, OpenError> {
        let consumer: BaseConsumer = cluster
            .reader(name)
            // Lines of logs and calls can be gone before they are read, and nothing else ever is.
            .set("auto.offset.reset", "earliest")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.wait.max.ms", "500")
            .create()?;
        let reader = Reader { consumer, followed };
        let ends = reader.begin_once_settled()?;
        let deadline = Instant::now() + START_TIME;
        while !reader.has_come_to(&ends)? {
            if Instant::now() > deadline {
                // Whatever is missing comes while others are served already; nothing of it is lost.
                tracing::warn!(name, "not all is read yet: going on");
                break;
            }
            reader.read();
        }
        let stop = Arc::<AtomicBool>::default();
        let stopping = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut complete = Some(complete);
            while !stopping.load(Ordering::Acquire) {
                if let Some(complete) = complete.take_if(|_| reader.has_come_to(&ends).unwrap_or(false)) {
                    complete();
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
            tracing::error!("a thread that follows the functions had panicked");
        }
    }
}

impl Reader {
    /// As [`Reader::begin`], as soon as that works: the topics may have been made a moment ago, or the broker has just started.
    fn begin_once_settled(&self) -> Result<TopicPartitionList, OpenError> {
        let deadline = Instant::now() + SETTLE_TIME;
        loop {
            match self.begin() {
                Err(_) if Instant::now() < deadline => thread::sleep(POLL_TIME),
                settled => return settled,
            }
        }
    }

    /// Takes the places from which to read. Returns the ends of what is waited for.
    fn begin(&self) -> Result<TopicPartitionList, OpenError> {
        let (mut places, mut ends) = (TopicPartitionList::new(), TopicPartitionList::new());
        for Followed { topic, since, .. } in &self.followed {
            let partitions = 0..self.partitions(topic)?;
            if let Since::Lately(time) = since {
                let since = jiff::Timestamp::now().as_millisecond() - time.as_millis() as i64;
                let mut asked = TopicPartitionList::new();
                for partition in partitions {
                    asked.add_partition_offset(topic, partition, Offset::Offset(since))?;
                }
                for place in self.consumer.offsets_for_times(asked, START_TIME)?.elements() {
                    places.add_partition_offset(topic, place.partition(), place.offset())?;
                }
                continue;
            }
            for partition in partitions {
                let (low, high) = self.consumer.fetch_watermarks(topic, partition, START_TIME)?;
                places.add_partition_offset(topic, partition, Offset::Offset(low))?;
                if matches!(since, Since::AllOfIt) && high > low {
                    ends.add_partition_offset(topic, partition, Offset::Offset(high))?;
                }
            }
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
        if let Some(followed) = self.followed.iter().find(|followed| followed.topic == message.topic()) {
            (followed.learn)(message);
        }
    }
}
