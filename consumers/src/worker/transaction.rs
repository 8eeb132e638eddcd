//! Transactions: begin, produce, send the offsets, commit; and what to think of every way in which that can fail.
//!
//! librdkafka's calls block, so they live on the worker's own thread, with deadlines (rule 13). Rust-rdkafka polls in
//! steps of 100 ms while it flushes, and whatever time its producer's `poll` is given, it takes all of it and spins through
//! the last millisecond. Looking in often, resting in between, and only then committing is what makes a small transaction
//! take milliseconds without taking a core from the brokers.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factfold_schemas::{
    kafka::{Cluster, headers},
    topics::{REPLIES, SUBJECT_KEYS, Topic},
};
use fail::fail_point;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig},
    types::RDKafkaErrorCode,
};
use rustc_hash::FxHashMap;

use super::{
    Shutdown,
    error::Error,
    processor::{Mark, Produce, Target, Written},
    settings::Settings,
};

/// A commit that took longer may have left a request on its way that lands in the next transaction (rule 15).
const SLOW_COMMIT: Duration = Duration::from_secs(1);

/// How long to rest when nothing was reported. A delivery takes about a millisecond.
const REST: Duration = Duration::from_micros(100);

/// For how long initializing is waited for before looking whether the worker is to stop.
const INITIALIZE_STEP: Duration = Duration::from_millis(500);

/// How a transaction failed, by what is known about its effects.
#[derive(Debug)]
pub(super) enum Failure {
    /// The error came before commit was called: nothing happened.
    NothingCommitted(KafkaError),
    /// It may have been committed, or not.
    Unknown(KafkaError),
    /// Somebody else uses our ids.
    Fenced {
        /// The id.
        id: String,
    },
    /// The processor stopped the worker.
    Stopped(Error),
}

/// The transactional producers of one worker, which take turns.
pub(super) struct Transactions {
    config: ClientConfig,
    ids: Vec<String>,
    producers: Vec<Producer>,
    turn: usize,
    timeout: Duration,
    names: Names,
    shutdown: Shutdown,
}

type Producer = BaseProducer<Watch>;

/// Kafka's names of the topics, each with the number under which its deliveries are reported: one more than its place in
/// [`Topic::all`]. What is no topic of a service has 0.
type Names = FxHashMap<Target, (String, usize)>;

/// What librdkafka reports beside its answers.
#[derive(Debug, Default)]
struct Watch {
    /// A broker went away, a request was lost: something may still be on its way.
    transport_error: AtomicBool,
    /// A record that did not arrive.
    undelivered: Mutex<Option<KafkaError>>,
    /// The last record that arrived, by topic number and partition.
    written: Mutex<FxHashMap<(usize, i32), Option<Mark>>>,
}

impl Transactions {
    /// Makes the producers of this worker. Initializing them finishes whatever an earlier process of the same name left
    /// open, so it is done for all of them before the group is joined (rule 14).
    pub(super) fn open(
        cluster: &Cluster,
        group: &str,
        settings: &Settings,
        shutdown: &Shutdown,
    ) -> Result<Self, Error> {
        let timeout = settings.transaction_timeout.min(settings.session_timeout);
        let names = Topic::all().zip(1..).map(|(t, number)| (Target::Topic(t), (cluster.topic(t), number)));
        let others = [(Target::Replies, REPLIES), (Target::SubjectKeys, SUBJECT_KEYS)]
            .map(|(target, name)| (target, (cluster.namespace.qualify(name), 0)));
        let mut transactions = Self {
            config: config(cluster, timeout),
            ids: (0..settings.turns.max(1))
                .map(|turn| format!("{group}-{}-{turn}", settings.instance))
                .collect(),
            producers: Vec::new(),
            turn: 0,
            timeout,
            names: names.chain(others).collect(),
            shutdown: shutdown.clone(),
        };
        for turn in 0..transactions.ids.len() {
            let producer = transactions.initialize(turn)?;
            transactions.producers.push(producer);
        }
        Ok(transactions)
    }

    /// One transaction: whatever `work` sends, and these offsets, or nothing. Returns what was written where.
    ///
    /// When this returns, whatever happened, the next transaction can begin: a producer that met an error was replaced,
    /// and initializing its successor finished the transaction one way or the other (rule 14).
    pub(super) fn run(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        work: impl FnOnce(&Open<'_>) -> Result<(), Failure>,
    ) -> Result<Written, Failure> {
        let started = Instant::now();
        let producer = &self.producers[self.turn];
        let deadline = started + self.timeout;
        let open = Open { producer, names: &self.names, deadline };
        let mut steps = Steps::new(started);
        let done = producer
            .begin_transaction()
            .map_err(Failure::NothingCommitted)
            .inspect(|()| fail_point!("worker::begun"))
            .and_then(|()| work(&open))
            .inspect(|()| steps.done("work_ms"))
            .and_then(|()| open.send_offsets(offsets, group).map_err(Failure::NothingCommitted))
            .inspect(|()| steps.done("offsets_ms"))
            .and_then(|()| open.deliver())
            .inspect(|()| steps.done("deliver_ms"))
            .and_then(|()| open.commit())
            .map(|took| (took, producer.context().take_written()));
        steps.done("commit_ms");
        tracing::debug!(turn = self.turn, ?steps, "transaction");
        let done = done.map_err(|failure| self.unmask(failure, started));
        if matches!(done, Err(Failure::Fenced { .. })) {
            return done.map(|(_, written)| written);
        }
        let slow = done.as_ref().is_ok_and(|(commit_took, _)| *commit_took > SLOW_COMMIT);
        if done.is_err() || slow || saw_transport_error(producer) {
            if matches!(done, Err(Failure::NothingCommitted(_) | Failure::Stopped(_))) {
                abort(producer, self.timeout);
            }
            self.replace()?;
        }
        self.turn = (self.turn + 1) % self.producers.len();
        done.map(|(_, written)| written)
    }

    /// Whether the ids of our producers are still ours, as the broker knows it. To be asked with the metadata of a member that
    /// was fenced: nothing is ever committed, since the coordinator of transactions looks at the producer first, and that of
    /// the group at the member then; and each of these transactions is aborted.
    pub(super) fn are_ours(
        &mut self,
        offsets: &TopicPartitionList,
        fenced_member: &ConsumerGroupMetadata,
    ) -> Result<bool, Error> {
        for producer in &self.producers {
            match self.is_ours(producer, offsets, fenced_member)? {
                // A twin fences all of them before it joins: one that is ours says it of all.
                Some(true) => break,
                Some(false) => return Ok(false),
                // When none of them can tell, we go on. Should there be a twin, we meet it again.
                None => {}
            }
        }
        for turn in 0..self.producers.len() {
            self.producers[turn] = self.initialize(turn)?;
        }
        Ok(true)
    }

    /// Asks until there is an answer: to stop would end a worker whose coordinator is only away. `None`: it took so long that
    /// the broker may have given the question itself up, which fences a producer as a twin does.
    fn is_ours(
        &self,
        producer: &Producer,
        offsets: &TopicPartitionList,
        fenced_member: &ConsumerGroupMetadata,
    ) -> Result<Option<bool>, Error> {
        let began = Instant::now();
        loop {
            fail_point!("worker::asking");
            let open = Open { producer, names: &self.names, deadline: Instant::now() + self.timeout };
            let answer =
                producer.begin_transaction().and_then(|()| open.send_offsets(offsets, fenced_member));
            abort(producer, self.timeout);
            let Err(error) = answer else { return Ok(Some(true)) };
            match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::IllegalGeneration,
                ) => return Ok(Some(true)),
                code if is_fenced(&error) || code == Some(RDKafkaErrorCode::Fatal) => {
                    return Ok((began.elapsed() < self.timeout).then_some(false));
                }
                _ if self.shutdown.is_set() => return Err(Error::ShuttingDown),
                code => {
                    tracing::debug!(?code, "whether the producers are ours is not known yet");
                    thread::sleep(INITIALIZE_STEP);
                }
            }
        }
    }

    /// Tells a twin that has our id from a broker that gave up on a transaction which was open for too long: both bump the
    /// epoch, but the broker only does so after the timeout.
    fn unmask(&self, failure: Failure, started: Instant) -> Failure {
        let (Failure::NothingCommitted(error) | Failure::Unknown(error)) = &failure else { return failure };
        if is_fenced(error) && started.elapsed() < self.timeout {
            return Failure::Fenced { id: self.ids[self.turn].clone() };
        }
        failure
    }

    /// Puts a fresh producer in the place of the one whose turn it is.
    fn replace(&mut self) -> Result<(), Failure> {
        fail_point!("worker::before-replace");
        let fresh = self.initialize(self.turn).map_err(Failure::Stopped)?;
        self.producers[self.turn] = fresh;
        Ok(())
    }

    /// A producer that is ready to begin. Tries until it is, or until the worker is to stop.
    fn initialize(&self, turn: usize) -> Result<Producer, Error> {
        let id = &self.ids[turn];
        let mut config = self.config.clone();
        config.set("transactional.id", id);
        let make = || {
            config
                .create_with_context(Watch::default())
                .map_err(Error::kafka("making a transactional producer"))
        };
        let mut producer: Producer = make()?;
        let mut began = Instant::now();
        loop {
            match producer.init_transactions(INITIALIZE_STEP) {
                Ok(()) => return Ok(producer),
                Err(_) if self.shutdown.is_set() => return Err(Error::ShuttingDown),
                Err(error) if is_refused(&error) => {
                    return Err(Error::Kafka { doing: "initializing transactions", error });
                }
                // The same call goes on waiting. A second producer beside it would be fenced by the first one's request
                // when that arrives late.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && began.elapsed() < self.timeout => {}
                Err(error) => {
                    tracing::warn!(transactional.id = id, %error, "initializing transactions: once more");
                    producer = make()?;
                    began = Instant::now();
                }
            }
        }
    }
}

/// The settings of a transactional producer.
fn config(cluster: &Cluster, timeout: Duration) -> ClientConfig {
    let mut config = cluster.client();
    // A connection that the other side closed is logged at this level, and often reported in no other way.
    if !matches!(config.log_level, RDKafkaLogLevel::Debug) {
        config.set_log_level(RDKafkaLogLevel::Info);
    }
    config
        // Whatever the settings say: without it, rule 15 would not hear of them.
        .set("log.connection.close", "true")
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        // Sending offsets to a coordinator that left the cluster waits, past any deadline, until the state of some connection
        // changes (https://github.com/confluentinc/librdkafka/issues/5511 and 5456). One that is idle for so long is closed.
        .set("connections.max.idle.ms", timeout.as_millis().to_string())
        .set("linger.ms", "0")
        // The second of two transactions in a row often meets the end of the first, and is tried again after this.
        .set("retry.backoff.ms", "1")
        .set("message.max.bytes", "2500000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144");
    config
}

/// How long each step of a transaction took, in milliseconds.
struct Steps {
    last: Instant,
    took: Vec<(&'static str, f64)>,
}

impl Steps {
    fn new(began: Instant) -> Self {
        Self { last: began, took: Vec::with_capacity(4) }
    }

    fn done(&mut self, step: &'static str) {
        let now = Instant::now();
        self.took.push((step, (now - self.last).as_secs_f64() * 1e3));
        self.last = now;
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.took.iter().map(|(step, ms)| (step, ms))).finish()
    }
}

/// An open transaction.
pub(super) struct Open<'a> {
    producer: &'a Producer,
    names: &'a Names,
    deadline: Instant,
}

impl Open<'_> {
    /// Writes a record within the transaction.
    pub(super) fn send(&self, produce: &Produce) -> Result<(), Failure> {
        let (name, number) = self.names.get(&produce.target).map_or(("", 0), |(name, n)| (name.as_str(), *n));
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(name, number)
            .partition(produce.partition)
            .headers(headers(&produce.record));
        record.key = produce.record.key.as_deref();
        record.payload = produce.record.value.as_deref();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, unsent)) if self.may_wait(&error) => {
                    look_in(self.producer);
                    record = unsent;
                }
                Err((error, _)) => return Err(Failure::NothingCommitted(error)),
            }
        }
    }

    fn may_wait(&self, error: &KafkaError) -> bool {
        error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) && Instant::now() < self.deadline
    }

    fn send_offsets(&self, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> KafkaResult<()> {
        fail_point!("worker::before-offsets", |_| Err(injected()));
        self.producer.send_offsets_to_transaction(offsets, group, self.left())
    }

    /// Waits until everything has arrived.
    fn deliver(&self) -> Result<(), Failure> {
        fail_point!("worker::before-deliver", |_| Err(Failure::NothingCommitted(injected())));
        while self.producer.in_flight_count() > 0 && Instant::now() < self.deadline {
            look_in(self.producer);
        }
        if let Some(error) = self.producer.context().take_undelivered() {
            return Err(Failure::NothingCommitted(error));
        }
        if self.producer.in_flight_count() > 0 {
            let late = KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
            return Err(Failure::NothingCommitted(late));
        }
        Ok(())
    }

    /// Commits, and says how long that took.
    fn commit(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        fail_point!("worker::before-commit", |_| Err(Failure::Unknown(injected())));
        loop {
            match self.producer.commit_transaction(self.left()) {
                Ok(()) => {
                    fail_point!("worker::committed", |_| Err(Failure::Unknown(injected())));
                    return Ok(began.elapsed());
                }
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < self.deadline =>
                {
                    tracing::debug!(%error, "committing once more");
                }
                Err(error) => return Err(Failure::Unknown(error)),
            }
        }
    }

    fn left(&self) -> Duration {
        fail_point!("worker::no-time", |_| Duration::ZERO);
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }
}

/// Takes what the library reports; when that is nothing, rests for a moment.
fn look_in(producer: &Producer) {
    let before = producer.in_flight_count();
    producer.poll(Duration::ZERO);
    if producer.in_flight_count() == before {
        thread::sleep(REST);
    }
}

/// Whether anything went wrong on the wire until now. librdkafka only queues its reports, and committing serves none of
/// them: one poll serves one, so it takes as many as there are.
fn saw_transport_error(producer: &Producer) -> bool {
    fail_point!("worker::transport-error", |_| true);
    while producer.in_flight_count() > 0 && !producer.context().saw_transport_error() {
        producer.poll(Duration::ZERO);
    }
    producer.context().saw_transport_error()
}

/// Gives a transaction up. With messages in flight an abort would block, so they are purged first (rule 13). Whether it
/// succeeds does not matter: the successor's initialization aborts what is still open.
fn abort(producer: &Producer, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    fail_point!("worker::before-abort");
    producer.purge(PurgeConfig::default().queue().inflight());
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        look_in(producer);
    }
    if let Err(error) = producer.abort_transaction(timeout) {
        tracing::debug!(%error, "aborting: left to the successor");
    }
}

/// What a failpoint puts in the place of an error that brokers cannot be made to give.
#[cfg(feature = "failpoints")]
fn injected() -> KafkaError {
    KafkaError::Global(RDKafkaErrorCode::Fail)
}

/// Whether somebody has taken this producer's id: a twin, or the broker itself, which does so with one that was open for too
/// long.
fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::Fenced
        )
    )
}

/// Whether trying again cannot help: the cluster does not let us.
fn is_refused(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::InvalidTransactionTimeout
        )
    )
}

impl Watch {
    fn saw_transport_error(&self) -> bool {
        self.transport_error.load(Ordering::Relaxed)
    }

    fn take_undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What arrived in the transaction that was just committed. (After any other the producer is replaced, and this with it.)
    fn take_written(&self) -> Written {
        let written = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        let topic = |number: usize| Topic::all().nth(number.checked_sub(1)?);
        written
            .into_iter()
            .filter_map(|((number, partition), mark)| Some(((topic(number)?, partition), mark)))
            .collect()
    }
}

impl ClientContext for Watch {
    /// A connection that was closed under a request (`FAIL`), and a request that was given up (`REQTMOUT`), are no errors to
    /// librdkafka: it connects and sends again by itself, and only its log knows.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::log(level, facility, message);
        if matches!(facility, "FAIL" | "REQTMOUT") && !matches!(level, RDKafkaLogLevel::Debug) {
            self.transport_error.store(true, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the producer's client");
        self.transport_error.store(true, Ordering::Relaxed);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    /// Reports come in the order of the records. One without an offset is of a record that was sent twice: it arrived, but
    /// nobody says where.
    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) if number == 0 => {}
            Ok(message) => {
                let (offset, timestamp_ms) = (message.offset(), message.timestamp().to_millis().unwrap_or(0));
                let mark = (offset >= 0).then_some(Mark { offset, timestamp_ms });
                let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert((number, message.partition()), mark);
            }
            Err((error, _)) => {
                *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, thread};

    use super::*;

    /// Rule 15: a connection that broke is heard of though nobody polled, as during a commit. Seen failing without the polls,
    /// without the look at the log, and with the log level of the other clients.
    #[test]
    fn a_connection_that_broke_is_heard_of_when_asked() {
        // Two brokers: that all of them are down would be reported as an error. These never answer, and one hangs up.
        let brokers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addresses =
            brokers.each_ref().map(|broker| broker.local_addr().expect("its address").to_string());
        let cluster = Cluster { brokers: addresses.join(","), ..Cluster::default() };
        let mut config = config(&cluster, Duration::from_secs(10));
        let producer: Producer = config
            .set("transactional.id", "a")
            .create_with_context(Watch::default())
            .expect("a producer, which asks nobody yet");
        // Less than what librdkafka gives a broker to answer, after which it reports an error.
        let deadline = Instant::now() + Duration::from_secs(5);

        let mut connection = loop {
            let connections = brokers.iter().map(|broker| {
                broker.set_nonblocking(true)?;
                broker.accept()
            });
            if let Some((connection, _)) = connections.filter_map(Result::ok).next() {
                break connection;
            }
            assert!(Instant::now() < deadline, "nobody came");
            thread::yield_now();
        };
        connection.set_nonblocking(false).expect("a socket");
        assert!(connection.read(&mut [0; 64]).expect("a request") > 0);
        assert!(!saw_transport_error(&producer));

        drop(connection);
        while !saw_transport_error(&producer) {
            assert!(Instant::now() < deadline, "nothing was heard of it");
            thread::yield_now();
        }
    }
}
