//! The key ring: every subject's key in memory, as the topic `subject-keys` says.
//!
//! A key is a record `<subject>/<id of the key>` with the wrapped key; several gateways may make one for the same subject at
//! once, and the first on the topic is the one that is used, by all. A record `<subject>` says that the subject is erased:
//! no key counts then, whether it comes before or after. The wrapped keys of an erased subject are taken off the topic by
//! whoever sees that they are still there, and the log's compaction makes that true on the disk.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use factfold_schemas::{cloudevents::Outgoing, ids::UserId, kafka::Cluster, topics::SUBJECT_KEYS};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Secrets, VaultError, sealing::SubjectKey};

/// How long Kafka may take to say how far the topic reaches.
const METADATA_TIME: Duration = Duration::from_secs(10);
/// How long to rest before it is asked again.
const SETTLE_REST: Duration = Duration::from_millis(50);
/// How soon the thread sees that it must stop.
const POLL_TIME: Duration = Duration::from_millis(100);

/// What is known of a subject.
pub(crate) enum Known {
    Nothing,
    Key(SubjectKey),
    Erased,
}

/// All keys.
pub(crate) struct Ring {
    shared: Arc<Shared>,
    /// `None`: the keys live in memory only.
    topic: Option<Topic>,
}

/// Where keys are written to.
struct Topic {
    name: String,
    producer: ThreadedProducer<DefaultProducerContext>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    read: Mutex<Read>,
    changed: Condvar,
    stop: AtomicBool,
}

/// What the topic says, as far as it is read.
#[derive(Default)]
struct Read {
    subjects: HashMap<UserId, Slot>,
    /// The offset that comes next.
    next: i64,
}

/// What the topic says of one subject.
enum Slot {
    /// The first key on the topic, and the id of its record.
    Key(SubjectKey, Uuid),
    Erased,
}

/// The value of a record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Said {
    /// A wrapped key, in base64.
    Key(String),
    /// There must be no key.
    Erased,
}

/// The record that destroys a subject's key.
pub fn erasure(subject: UserId) -> Outgoing {
    Outgoing {
        key: Some(subject.stream().as_str().into()),
        value: Some(serde_json::to_vec(&Said::Erased).expect("plain data")),
        headers: factfold_schemas::cloudevents::Headers::default(),
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    pub(crate) fn in_memory() -> Self {
        Self { shared: Arc::default(), topic: None }
    }

    /// Reads all of the topic, then leaves the consumer to a thread of its own.
    pub(crate) fn follow(cluster: &Cluster, secrets: Secrets) -> Result<Self, KafkaError> {
        let name = cluster.namespace.qualify(SUBJECT_KEYS);
        let consumer: BaseConsumer = cluster
            .reader("vault")
            .set("auto.offset.reset", "earliest")
            .set("fetch.error.backoff.ms", "50")
            .create()?;
        let producer: ThreadedProducer<_> = cluster
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "10000")
            .create()?;
        let end = end(&consumer, &name)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&name, 0, Offset::Beginning)?;
        consumer.assign(&from)?;

        let shared = Arc::<Shared>::default();
        let mut follower = Follower {
            shared: shared.clone(),
            secrets,
            consumer,
            producer: producer.clone(),
            topic: name.clone(),
            unused: BTreeMap::new(),
            leftover: BTreeMap::new(),
        };
        follower.read_to(end)?;
        let thread = thread::Builder::new()
            .name("subject-keys".to_owned())
            .spawn(move || follower.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { shared, topic: Some(Topic { name, producer, thread: Some(thread) }) })
    }

    pub(crate) fn known(&self, subject: UserId) -> Known {
        self.shared.lock().known(subject)
    }

    /// Whether the topic says anything of a subject; no, too, where that could not be found out in time. What was on it when this
    /// is asked is read first, so nobody needs to be waited for who has no key.
    pub(crate) fn look_up(&self, subject: UserId, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        if let Some(topic) = &self.topic {
            let end = topic.producer.client().fetch_watermarks(&topic.name, 0, time).map(|(_, end)| end);
            // Where it cannot be asked, the key may still come by itself.
            let is_read = |read: &Read| end.as_ref().is_ok_and(|end| read.next >= *end);
            let left = deadline.saturating_duration_since(Instant::now());
            self.shared.wait(left, |read| is_read(read) || read.subjects.contains_key(&subject));
        }
        self.shared.lock().subjects.contains_key(&subject)
    }

    /// A key for a subject that has none: the first that anybody made, which may not be the one made here.
    pub(crate) fn make(
        &self,
        subject: UserId,
        secrets: &Secrets,
        time: Duration,
    ) -> Result<SubjectKey, VaultError> {
        let key = SubjectKey::generate().map_err(VaultError::Random)?;
        match &self.topic {
            None => {
                self.shared.lock().subjects.entry(subject).or_insert(Slot::Key(key, Uuid::nil()));
            }
            Some(topic) => {
                topic.write(&record_key(subject, Uuid::new_v4()), &wrapped(secrets, subject, &key))?;
                self.wait(subject, time, |known| !matches!(known, Known::Nothing));
            }
        }
        match self.known(subject) {
            Known::Key(key) => Ok(key),
            Known::Erased => Err(VaultError::Erased(subject)),
            Known::Nothing => Err(VaultError::Late(subject)),
        }
    }

    /// Waits until this is so of what is known of a subject; whether that came in time.
    pub(crate) fn wait(&self, subject: UserId, time: Duration, is_so: impl Fn(&Known) -> bool) -> bool {
        self.shared.wait(time, |read| is_so(&read.known(subject)))
    }

    #[cfg(test)]
    pub(crate) fn forget(&self, subject: UserId) {
        self.shared.lock().subjects.insert(subject, Slot::Erased);
        self.shared.changed.notify_all();
    }
}

/// Where the topic ends. A client that is new, or a topic, may have to ask twice.
fn end(consumer: &BaseConsumer, topic: &str) -> Result<i64, KafkaError> {
    let deadline = Instant::now() + METADATA_TIME;
    loop {
        match consumer.fetch_watermarks(topic, 0, METADATA_TIME) {
            Ok((_, end)) => return Ok(end),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(SETTLE_REST),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.topic.as_mut().and_then(|topic| topic.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows the keys had panicked");
        }
    }
}

impl Topic {
    fn write(&self, key: &str, value: &[u8]) -> Result<(), KafkaError> {
        self.producer
            .send(BaseRecord::to(&self.name).partition(0).key(key).payload(value))
            .map_err(|(error, _)| error)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this is so of what is read; whether that came in time.
    fn wait(&self, time: Duration, is_so: impl Fn(&Read) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |read| !is_so(read));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Everything before this offset is read.
    fn come_to(&self, next: i64) {
        if std::mem::replace(&mut self.lock().next, next) != next {
            self.changed.notify_all();
        }
    }
}

impl Read {
    fn known(&self, subject: UserId) -> Known {
        match self.subjects.get(&subject) {
            None => Known::Nothing,
            Some(Slot::Key(key, _)) => Known::Key(key.clone()),
            Some(Slot::Erased) => Known::Erased,
        }
    }
}

fn record_key(subject: UserId, id: Uuid) -> String {
    format!("{}/{}", subject.stream(), id.simple())
}

fn wrapped(secrets: &Secrets, subject: UserId, key: &SubjectKey) -> Vec<u8> {
    serde_json::to_vec(&Said::Key(STANDARD.encode(secrets.wrap(subject, key)))).expect("plain data")
}

/// Reads the topic.
struct Follower {
    shared: Arc<Shared>,
    secrets: Secrets,
    consumer: BaseConsumer,
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    /// Keys that came too late to be used: several gateways made one at once.
    unused: BTreeMap<UserId, Vec<Uuid>>,
    /// Records that should not be as they are, with what should be there (`None`: nothing): keys of erased subjects, and
    /// keys that an old master key wraps.
    leftover: BTreeMap<(UserId, Uuid), Option<Vec<u8>>>,
}

impl Follower {
    /// Reads to this offset.
    fn read_to(&mut self, end: i64) -> Result<(), KafkaError> {
        let deadline = Instant::now() + 6 * METADATA_TIME;
        while self.shared.lock().next < end {
            match self.poll() {
                Some(Err(error)) => return Err(error),
                _ if Instant::now() > deadline => {
                    return Err(KafkaError::MessageConsumption(
                        rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            match self.poll() {
                // The library goes on by itself.
                Some(Err(error)) => tracing::warn!(%error, "the keys of personal data"),
                Some(Ok(())) => {}
                None => self.tidy(),
            }
        }
    }

    /// What comes next, if anything does soon; and how far that is. A position moves over the markers of transactions, too.
    fn poll(&mut self) -> Option<Result<(), KafkaError>> {
        let polled = self.consumer.poll(POLL_TIME);
        let polled = polled.map(|it| it.map(|it| (text(&it), it.payload().map(<[u8]>::to_vec))));
        let read = polled.map(|it| it.map(|(key, value)| self.read(&key, value.as_deref())));
        match self.consumer.position() {
            Ok(position) => {
                if let Some(Offset::Offset(next)) = position.elements().first().map(|at| at.offset()) {
                    self.shared.come_to(next);
                }
                read
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// One record.
    fn read(&mut self, key: &str, value: Option<&[u8]>) {
        let (subject, id) = match key.split_once('/') {
            Some((subject, id)) => (subject, id.parse::<Uuid>().ok()),
            None => (key, None),
        };
        let said = value.map(serde_json::from_slice::<Said>);
        match (UserId::of_stream(subject), id, said) {
            (Some(subject), Some(id), Some(Ok(Said::Key(wrapped)))) => self.read_key(subject, id, &wrapped),
            (Some(subject), Some(id), None) => drop(self.leftover.remove(&(subject, id))),
            (Some(subject), None, Some(Ok(Said::Erased))) => self.erase(subject),
            _ => tracing::warn!(kafka.key = key, "a record of the keys of personal data cannot be read"),
        }
    }

    fn read_key(&mut self, subject: UserId, id: Uuid, text: &str) {
        let unwrapped = STANDARD.decode(text).ok().and_then(|wrapped| self.secrets.unwrap(subject, &wrapped));
        let Some((key, is_current)) = unwrapped else {
            tracing::error!(
                user.id = %subject,
                "a key of personal data is wrapped by a master key that is not in the file of secrets"
            );
            return;
        };
        if !is_current {
            self.leftover.insert((subject, id), Some(wrapped(&self.secrets, subject, &key)));
        }
        match self.shared.lock().subjects.entry(subject) {
            Entry::Vacant(vacant) => {
                vacant.insert(Slot::Key(key, id));
            }
            Entry::Occupied(occupied) => match occupied.get() {
                Slot::Erased => drop(self.leftover.insert((subject, id), None)),
                // The same again, wrapped by another master key.
                Slot::Key(_, first) if *first == id => {}
                Slot::Key(..) => self.unused.entry(subject).or_default().push(id),
            },
        }
        self.shared.changed.notify_all();
    }

    fn erase(&mut self, subject: UserId) {
        let unused = self.unused.remove(&subject).unwrap_or_default();
        let before = self.shared.lock().subjects.insert(subject, Slot::Erased);
        let used = match before {
            Some(Slot::Key(_, id)) => Some(id),
            _ => None,
        };
        self.leftover.extend(unused.into_iter().chain(used).map(|id| ((subject, id), None)));
        self.shared.changed.notify_all();
    }

    /// Writes what should be there, once all is read. What gets lost is written at the next start.
    fn tidy(&mut self) {
        for ((subject, id), value) in std::mem::take(&mut self.leftover) {
            let key = record_key(subject, id);
            let record = BaseRecord::<str, [u8]>::to(&self.topic).partition(0).key(&key);
            let record = match &value {
                Some(value) => record.payload(value.as_slice()),
                None => record,
            };
            if let Err((error, _)) = self.producer.send(record) {
                tracing::warn!(%error, "the keys of personal data");
            }
        }
    }
}

fn text(message: &BorrowedMessage<'_>) -> String {
    String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned()
}
