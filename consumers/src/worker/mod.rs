//! The worker runtime: one loop for deciders, reactors, keepers of timers and bound functions. Gather, decode, check, decide, produce, commit.
//!
//! A worker is one thread with one consumer and a few transactional producers that take turns. Each batch is one
//! transaction over all its partitions: what the records lead to, and how far they were read, or neither. (One that leads to
//! nothing joins the next; [`owed`] says how far it was read until then.) The rules by which
//! that holds under crashes, zombies and lost answers are numbered in ARCHITECTURE.md; the code names them.
//!
//! - [`Worker::run`] is the story, top to bottom.
//! - [`assignment`] is what is ours, [`consumer`] how it becomes so, [`takeover`] what is done before it is worked on.
//! - [`transaction`] knows what every failure means. [`points`] lists where a test can make one happen.
//! - [`deciding`], [`reacting`], [`keeping`] and [`binding`] are what a worker does with a record, or by itself.
//!
//! A worker never asks a database, never waits to fill a batch, and never repeats a batch from memory.

mod assignment;
pub mod binding;
mod consumer;
pub mod deciding;
mod error;
pub mod groups;
mod held;
pub mod keeping;
mod layout;
mod owed;
pub mod points;
mod processor;
pub mod reacting;
mod settings;
mod store;
mod takeover;
mod transaction;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use factfold_schemas::{kafka, kafka::Cluster, topics::Topic};
use fail::fail_point;
use jiff::Timestamp;
use rdkafka::{
    Message as _, config::RDKafkaLogLevel, consumer::Consumer as _, error::KafkaError,
    message::BorrowedMessage, types::RDKafkaErrorCode,
};

use self::{
    assignment::Assignment,
    consumer::{Change, Consumer},
    held::Held,
    owed::Owed,
    processor::{Processor, Stop},
    takeover::{Taken, Takeover},
    transaction::{Failure, Transactions},
};
pub use self::{
    error::Error,
    layout::Layout,
    processor::{Hydrate, Mark, Produce, Start, Target, TopicPartition, Written},
    settings::Settings,
};

/// How many records are processed before what they led to is handed to the library, all at once: while it sends that, the next
/// ones are processed. One by one, it would send many small requests, which cost everybody more than a few large ones.
const BURST: usize = 500;

/// Tells a worker to stop, from anywhere. Clones share the one flag.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Stop as soon as the open transaction is done.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Runs a worker. That it gave something up because it was told to stop is no error.
fn run<P: Processor>(
    cluster: &Cluster,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
    processor: impl FnOnce(Layout) -> Result<P, Error>,
) -> Result<(), Error> {
    let worker = Layout::read(cluster)
        .and_then(processor)
        .and_then(|processor| Worker::new(processor, cluster, settings, shutdown, status));
    match worker.and_then(Worker::run) {
        Err(Error::ShuttingDown) => Ok(()),
        ended => ended,
    }
}

/// What a worker shows while it runs. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    live_partitions: AtomicUsize,
    folded_records: AtomicU64,
    records: AtomicU64,
}

impl Status {
    /// How many partitions are being worked on. (Those that are being taken over do not count.)
    pub fn live_partitions(&self) -> usize {
        self.0.live_partitions.load(Ordering::Relaxed)
    }

    /// How many records were worked off until now: what they led to, if anything, is committed.
    pub fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    /// How many records were folded by the takeovers until now. A store saves most of them.
    pub fn folded_records(&self) -> u64 {
        self.0.folded_records.load(Ordering::Relaxed)
    }
}

/// One worker: a thread's worth of work. See [`Worker::run`].
pub struct Worker<P: Processor> {
    processor: P,
    cluster: Cluster,
    group: String,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
    assignment: Assignment,
    transactions: Transactions,
    takeover: Takeover,
    /// Some fetch was out of range while partitions were being taken over.
    is_out_of_range: bool,
    owed: Owed,
    held: Held,
    results: (mpsc::Sender<TakenOver<P>>, mpsc::Receiver<TakenOver<P>>),
    out: Vec<Produce>,
}

type TakenOver<P> = Result<Taken<<P as Processor>::Partition>, Error>;

/// A record that was gathered, and the topic it is from.
struct Gathered<'a> {
    topic: Topic,
    message: BorrowedMessage<'a>,
}

impl Gathered<'_> {
    fn partition(&self) -> TopicPartition {
        (self.topic, self.message.partition())
    }
}

impl<P: Processor> Worker<P> {
    /// Makes a worker. When this returns, whatever an earlier process of the same instance left open is finished.
    pub fn new(
        processor: P,
        cluster: &Cluster,
        settings: Settings,
        shutdown: Shutdown,
        status: Status,
    ) -> Result<Self, Error> {
        let group = cluster.namespace.qualify(processor.group());
        // The broker looks for expired transactions every 10 s by default, and may be slow to begin with.
        let patience = settings.transaction_timeout + Duration::from_secs(60);
        let takeover = Takeover::new(cluster, &group, patience, &shutdown)?;
        let transactions = Transactions::open(cluster, &group, &settings, &shutdown)?;
        Ok(Self {
            processor,
            cluster: cluster.clone(),
            group,
            settings,
            shutdown,
            status,
            assignment: Assignment::new(),
            transactions,
            takeover,
            is_out_of_range: false,
            owed: Owed::default(),
            held: Held::default(),
            results: mpsc::channel(),
            out: Vec::new(),
        })
    }

    /// Works until told to stop, or until something is wrong that a person must look at.
    pub fn run(mut self) -> Result<(), Error> {
        let inputs = self.processor.inputs();
        loop {
            let consumer = consumer::join(&self.cluster, &self.group, &inputs, &self.settings)?;
            match self.work(&consumer) {
                Err(Error::Displaced) if self.was_displaced_by_an_echo(&consumer)? => {
                    tracing::warn!(
                        group = self.group,
                        "a late request of our own took our place: joining again"
                    );
                    self.give_up(self.assignment.all());
                }
                Err(Error::Displaced) => return Err(Error::Fenced { id: self.settings.instance.clone() }),
                ended => return ended,
            }
        }
    }

    fn work(&mut self, consumer: &Consumer) -> Result<(), Error> {
        while !self.shutdown.is_set() {
            self.tidy(consumer)?;
            self.wake(consumer)?;
            // Rebalances happen while gathering, and only there: no transaction is open then (rule 3).
            let mut batch = self.gather(consumer)?;
            self.follow_rebalances(consumer)?;
            // Before anything is adopted: what was gathered of a partition that was not ours yet is no business of ours.
            batch.retain(|record| self.is_due(record));
            self.adopt_what_was_taken_over(consumer)?;
            let due = self.processor.due();
            let mut next = self.next_offsets(&batch, &due);
            if next.is_empty() && !self.owed.is_due() {
                continue;
            }
            fail_point!("worker::gathered");
            match self.transact(consumer, &batch, &due, &mut next) {
                Ok((written, stops)) => {
                    self.move_on(&batch, &next, &written);
                    self.hold(consumer, &stops)?;
                }
                Err(failure) => self.recover(consumer, &next, failure)?,
            }
        }
        self.assignment.live().into_iter().for_each(|partition| self.processor.save(partition));
        tracing::info!(group = self.group, "stopped");
        Ok(())
    }

    /// Stores what changed, while no transaction is open. What cannot be read any more is taken over again.
    fn tidy(&mut self, consumer: &Consumer) -> Result<(), Error> {
        self.takeover.tidy();
        let lost = self.processor.tidy();
        if lost.is_empty() { Ok(()) } else { self.take(consumer, &lost) }
    }

    /// Takes what is there now, and never waits to fill a batch: one record when there is no load, thousands when there is.
    fn gather<'a>(&mut self, consumer: &'a Consumer) -> Result<Vec<Gathered<'a>>, Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut timeout = self.rest();
        let appetite = self.processor.appetite().unwrap_or(usize::MAX);
        let records_max = self.settings.batch_records_max.min(appetite);
        while batch.len() < records_max && bytes < self.settings.batch_bytes_max {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len() + message.key_len();
                    if let Some(topic) = consumer::topic(consumer, message.topic()) {
                        batch.push(Gathered { topic, message });
                    }
                }
                Some(Err(error)) if consumer::is_fenced(&error) => return Err(Error::Displaced),
                // Whose fetch that was is not said: most likely it is the placeholder of one that is being taken over.
                Some(Err(error)) if consumer::is_out_of_range(&error) && self.assignment.is_taking() => {
                    self.is_out_of_range = true;
                }
                Some(Err(error)) if consumer::is_out_of_range(&error) => {
                    // The log was cut under us. Taking over again finds out, and says so.
                    tracing::warn!(group = self.group, %error, "a fetch was out of range: taking over again");
                    self.take(consumer, &self.assignment.live())?;
                }
                Some(Err(error)) => tracing::debug!(group = self.group, %error, "polling"),
            }
            timeout = Duration::ZERO;
        }
        Ok(batch)
    }

    /// How long it may wait for a record: until there is something else to do.
    fn rest(&self) -> Duration {
        // While a partition is being taken over, its result is as welcome as a record.
        let longest = Duration::from_millis(if self.assignment.is_taking() { 2 } else { 100 });
        let longest = self
            .held
            .until()
            .map_or(longest, |until| until.saturating_duration_since(Instant::now()).min(longest));
        let until = self.processor.next_due().map(|due| due.duration_since(Timestamp::now()));
        until.map_or(longest, |until| Duration::try_from(until).unwrap_or_default().min(longest))
    }

    /// What the processor stopped at comes once more: at once, or when its partition has rested.
    fn hold(&mut self, consumer: &Consumer, stops: &[Stop]) -> Result<(), Error> {
        if stops.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let resting: Vec<TopicPartition> =
            stops.iter().filter(|stop| stop.until > now).map(|stop| stop.partition).collect();
        consumer::pause(consumer, &resting)?;
        stops
            .iter()
            .filter(|stop| stop.until > now)
            .for_each(|stop| self.held.hold(stop.partition, stop.until));
        fail_point!("worker::held");
        self.go_back(consumer, &stops.iter().map(|stop| stop.partition).collect::<Vec<_>>())
    }

    /// Goes on with the partitions that have rested.
    fn wake(&mut self, consumer: &Consumer) -> Result<(), Error> {
        for partition in self.held.take_due(Instant::now()) {
            let Some(next) = self.assignment.next(partition) else { continue };
            if let Err(error) = consumer::resume_at(consumer, partition, next) {
                tracing::warn!(group = self.group, ?partition, %error, "seeking: taking over again");
                self.take(consumer, &[partition])?;
            }
        }
        Ok(())
    }

    /// Forgets what was revoked, and begins to take over what was assigned.
    fn follow_rebalances(&mut self, consumer: &Consumer) -> Result<(), Error> {
        for change in consumer::changes(consumer) {
            match change {
                Change::Revoked(partitions) => self.give_up(partitions),
                // The callback has paused them.
                Change::Assigned(partitions) => self.take_paused(&partitions)?,
            }
            fail_point!("worker::rebalanced");
        }
        self.show_live_partitions();
        Ok(())
    }

    /// Forgets these partitions: they are ours no more.
    fn give_up(&mut self, partitions: Vec<TopicPartition>) {
        let given_up = partitions.len();
        for partition in partitions {
            self.assignment.revoke(partition);
            self.processor.save(partition);
            self.forget(partition);
        }
        if given_up > 0 {
            let partitions = self.assignment.live().len();
            tracing::info!(group = self.group, given_up, partitions, "partitions were given up");
        }
    }

    /// Somebody has our place in the group. A twin fences our producers before it joins (rule 14), so where they are not
    /// fenced it was ourselves: a request to join that got lost on its way, when a coordinator died, and came late.
    fn was_displaced_by_an_echo(&mut self, consumer: &Consumer) -> Result<bool, Error> {
        let Some(member) = consumer.group_metadata() else { return Ok(false) };
        // It is never to be committed; should it be nevertheless, it says nothing new.
        let live = self.assignment.live().into_iter().find_map(|p| Some((p, self.assignment.next(p)?)));
        let (partition, next) = live.unwrap_or(((self.processor.inputs()[0], 0), 0));
        let offsets = consumer::list(consumer, [(partition, Some(next))]);
        self.transactions.are_ours(&offsets, &member)
    }

    fn show_live_partitions(&self) {
        self.status.0.live_partitions.store(self.assignment.live().len(), Ordering::Relaxed);
    }

    /// Gives these partitions up and takes them over from the beginning: what is in memory is not to be trusted.
    fn take(&mut self, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<(), Error> {
        consumer::pause(consumer, partitions)?;
        self.take_paused(partitions)
    }

    fn take_paused(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        if partitions.is_empty() {
            return Ok(());
        }
        partitions.iter().for_each(|partition| self.forget(*partition));
        metrics::counter!("factfold_takeovers_total", "group" => self.group.clone())
            .increment(partitions.len() as u64);
        let epoch = self.assignment.take(partitions);
        let opened =
            partitions.iter().map(|partition| (*partition, self.processor.open(*partition))).collect();
        self.takeover.spawn(opened, epoch, self.results.0.clone())
    }

    fn forget(&mut self, partition: TopicPartition) {
        self.processor.forget(partition);
        self.owed.forget(partition);
        self.held.forget(partition);
    }

    /// Begins to work on what was taken over.
    fn adopt_what_was_taken_over(&mut self, consumer: &Consumer) -> Result<(), Error> {
        while let Ok(result) = self.results.1.try_recv() {
            let Taken { partition, epoch, next, state, is_start, folded } = result?;
            if !self.assignment.taken(partition, epoch, next) {
                tracing::debug!(group = self.group, ?partition, "a takeover came late");
                continue;
            }
            if let Err(error) = consumer::resume_at(consumer, partition, next) {
                tracing::warn!(group = self.group, ?partition, %error, "seeking: taking over again");
                self.take(consumer, &[partition])?;
                continue;
            }
            self.processor.adopt(partition, state);
            self.status.0.folded_records.fetch_add(folded, Ordering::Relaxed);
            if is_start {
                self.owed.start(partition, next);
                fail_point!("worker::start-owed");
            }
            fail_point!("worker::adopted");
            if !self.assignment.is_taking() {
                tracing::info!(
                    group = self.group,
                    partitions = self.assignment.live().len(),
                    "all partitions are taken over"
                );
                if std::mem::take(&mut self.is_out_of_range) {
                    // If it was another, whose log was cut, it says so again.
                    self.go_back(consumer, &self.assignment.live())?;
                }
            }
        }
        self.show_live_partitions();
        Ok(())
    }

    /// Whether this record is ours, and not yet decided.
    fn is_due(&self, record: &Gathered<'_>) -> bool {
        self.assignment.next(record.partition()).is_some_and(|next| record.message.offset() >= next)
    }

    /// How far the partitions will have come when this batch is done. Where there is something to do without a record, that is
    /// where they are.
    fn next_offsets(&self, batch: &[Gathered<'_>], due: &[TopicPartition]) -> BTreeMap<TopicPartition, i64> {
        let due = due.iter().filter_map(|partition| Some((*partition, self.assignment.next(*partition)?)));
        let records = batch.iter().map(|record| (record.partition(), record.message.offset() + 1));
        due.chain(records).collect()
    }

    /// One transaction over all partitions of the batch: what it leads to, and how far it reaches. A batch that leads to
    /// nothing waits for the next one that does. Where the processor stopped, it reaches less far.
    fn transact(
        &mut self,
        consumer: &Consumer,
        batch: &[Gathered<'_>],
        due: &[TopicPartition],
        next: &mut BTreeMap<TopicPartition, i64>,
    ) -> Result<(Written, Vec<Stop>), Failure> {
        let Self { processor, transactions, out, owed, .. } = self;
        let burst = processor.appetite().map_or(BURST, |_| batch.len().max(1));
        let mut bursts = batch.chunks(burst);
        while out.is_empty()
            && let Some(burst) = bursts.next()
        {
            process(processor, burst, out)?;
        }
        let stops = processor.stops();
        next.extend(stops.iter().map(|stop| (stop.partition, stop.offset)));
        if out.is_empty() && due.is_empty() && !owed.is_due() {
            owed.pass(next);
            return Ok((Written::new(), stops));
        }
        fail_point!("worker::processed");
        let began = Instant::now();
        let lost = || Failure::NothingCommitted(KafkaError::ConsumerCommit(RDKafkaErrorCode::AssignmentLost));
        // The fence is the consumer's generation, read right before (rule 4).
        let group = consumer.group_metadata().filter(|_| !consumer.assignment_lost()).ok_or_else(lost)?;
        processor.act(out).map_err(Failure::Stopped)?;
        let offsets = owed.with(next).into_iter().map(|(partition, next)| (partition, Some(next)));
        fail_point!("worker::before-begin");
        let result = transactions.run(&consumer::list(consumer, offsets), &group, |transaction| {
            loop {
                out.drain(..).try_for_each(|record| transaction.send(&record))?;
                match bursts.next() {
                    Some(burst) => process(processor, burst, out)?,
                    None => return Ok(()),
                }
            }
        });
        metrics::histogram!("factfold_transaction_seconds", "group" => self.group.clone())
            .record(began.elapsed());
        result.inspect(|_| self.owed.clear()).map(|written| (written, stops))
    }

    /// It is done: now, and not before, memory follows (rule 17).
    fn move_on(&mut self, batch: &[Gathered<'_>], next: &BTreeMap<TopicPartition, i64>, written: &Written) {
        fail_point!("worker::before-memory");
        self.processor.committed(written);
        fail_point!("worker::between-memories");
        for (partition, next) in next {
            self.assignment.advance(*partition, *next);
        }
        let is_done = |record: &&Gathered<'_>| next.get(&record.partition()) > Some(&record.message.offset());
        let records = batch.iter().filter(is_done).count() as u64;
        self.status.0.records.fetch_add(records, Ordering::Relaxed);
        metrics::counter!("factfold_records_total", "group" => self.group.clone()).increment(records);
        fail_point!("worker::moved-on");
    }

    /// Fetches these partitions from where they are once more.
    fn go_back(&mut self, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<(), Error> {
        let back: Vec<(TopicPartition, i64)> =
            partitions.iter().filter_map(|p| Some((*p, self.assignment.next(*p)?))).collect();
        match consumer::seek(consumer, &back) {
            Ok(()) => Ok(()),
            Err(_) => self.take(consumer, partitions),
        }
    }

    /// The transaction was not committed, or nobody knows (rule 14).
    fn recover(
        &mut self,
        consumer: &Consumer,
        next: &BTreeMap<TopicPartition, i64>,
        failure: Failure,
    ) -> Result<(), Error> {
        fail_point!("worker::before-recovery");
        self.processor.discarded();
        self.out.clear();
        let partitions: Vec<TopicPartition> = next.keys().copied().collect();
        let result = match &failure {
            Failure::NothingCommitted(_) => "nothing-committed",
            Failure::Unknown(_) => "unknown",
            Failure::Stopped(Error::StateLost { .. }) => "state-lost",
            Failure::Fenced { .. } | Failure::Stopped(_) => "stopped",
        };
        metrics::counter!(
            "factfold_transaction_failures_total", "group" => self.group.clone(), "result" => result
        )
        .increment(1);
        match failure {
            Failure::NothingCommitted(error) => {
                // It comes to healthy members at any rebalance. The states of the partitions we keep stay good: go back
                // to where they are.
                tracing::info!(group = self.group, %error, "nothing was committed: going back");
                self.go_back(consumer, &partitions)
            }
            Failure::Unknown(error) => {
                tracing::warn!(group = self.group, %error, "nobody knows whether it was committed: taking over again");
                self.take(consumer, &partitions)
            }
            Failure::Stopped(error @ Error::StateLost { .. }) => {
                tracing::warn!(group = self.group, %error, "taking over again");
                self.take(consumer, &partitions)
            }
            Failure::Fenced { id } => Err(Error::Fenced { id }),
            Failure::Stopped(error) => Err(error),
        }
    }
}

/// What these records lead to, in the order in which they came.
fn process<P: Processor>(
    processor: &mut P,
    records: &[Gathered<'_>],
    out: &mut Vec<Produce>,
) -> Result<(), Failure> {
    records.iter().try_for_each(|record| {
        let processed = processor.process(record.topic, &kafka::incoming(&record.message), out);
        processed.map_err(|error| match error {
            // What it needed from Kafka it gets later.
            Error::Kafka { error, .. } => Failure::NothingCommitted(error),
            error => Failure::Stopped(error),
        })
    })
}

/// librdkafka's log lines, as ours. It reports at `Error` what passes by itself (a broker away), so nothing is louder than
/// a warning here: what matters comes back as an error of a call.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(target: "librdkafka", facility, message);
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::debug!(target: "librdkafka", facility, message);
        }
        _ => tracing::trace!(target: "librdkafka", facility, message),
    }
}
