//! Runs the calls that nobody waits for. All who do share the topic's partitions; a call is done once its end is stored, so one
//! whose process dies runs again elsewhere.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use factfold_schemas::{functions::CALLS, kafka::Cluster};
use jiff::Timestamp;
use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use serde_json::{Value, value::RawValue};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use uuid::Uuid;

use super::{Ended, Record, Taken, places::Places};
use crate::{CallError, Reason, Registry};

/// The group of those who run calls.
const GROUP: &str = "factfold.calls";
/// How many calls of one partition run at once. A function whose calls are many, or take long, keeps only those waiting that share
/// its partition.
const RUNNING_MAX: usize = 8;
/// How long a call that may not run yet, or not here, is tried again.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long its function may be unknown: it was known to whoever took the call.
const UNKNOWN_TIME: Duration = Duration::from_secs(5);
/// How long to rest before it is tried again: first, and at most.
const RESTS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long to rest when Kafka gives an error instead of a record.
const ERROR_REST: Duration = Duration::from_millis(100);

/// Runs calls that nobody waits for, until told to stop. What runs then is left to others, or to the next start.
///
/// # Errors
/// When no consumer can be made.
pub async fn serve(
    registry: Registry,
    cluster: &Cluster,
    stop: impl Future<Output = ()>,
) -> Result<(), KafkaError> {
    tokio::pin!(stop);
    tokio::select! {
        // Before, a function may not be known that is there, nor an end that was stored.
        ((), ()) = async { tokio::join!(registry.catalogue().complete(), registry.0.ledger.complete()) } => {}
        () = &mut stop => return Ok(()),
    }
    let mut serving = Serving::begin(registry, cluster)?;
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            received = serving.consumer.recv() => match received {
                Ok(message) => {
                    let place = serving.place(&message);
                    let value = message.payload().unwrap_or_default().to_vec();
                    drop(message);
                    serving.take_up(place, &value);
                }
                Err(error) => {
                    tracing::warn!(%error, "reading the calls that nobody waits for");
                    sleep(ERROR_REST).await;
                }
            },
            Some(Ok(call)) = serving.running.join_next() => serving.has_run(call),
        }
    }
}

struct Serving {
    registry: Registry,
    topic: String,
    consumer: StreamConsumer<Rebalances>,
    places: Places,
    /// Of which assignment these are the places.
    assignment: u64,
    running: JoinSet<Uuid>,
    /// Where the calls that run lie: one that comes once more, after a rebalance, is not begun again.
    calls: HashMap<Uuid, Vec<Place>>,
    /// Who waits for calls has half of what may run at once for themselves.
    turns: Arc<Semaphore>,
}

/// Where a call lies, and in which assignment it was begun.
#[derive(Clone, Copy)]
struct Place {
    assignment: u64,
    partition: i32,
    offset: i64,
}

/// Counts how often partitions came or went.
#[derive(Default)]
struct Rebalances(AtomicU64);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::AcqRel);
        // A partition that was paused when it went is paused when it comes back (librdkafka keeps that).
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(error) = consumer.resume(partitions)
        {
            tracing::warn!(%error, "resuming the calls that nobody waits for");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "how far the calls are is not committed: some may run again");
        }
    }
}

impl Serving {
    fn begin(registry: Registry, cluster: &Cluster) -> Result<Self, KafkaError> {
        let consumer: StreamConsumer<Rebalances> = cluster
            .client()
            .set("group.id", cluster.namespace.qualify(GROUP))
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "1000")
            // What is not run within a day is gone; what is left is run.
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            .set("fetch.error.backoff.ms", "50")
            .create_with_context(Rebalances::default())?;
        let topic = cluster.namespace.qualify(CALLS);
        consumer.subscribe(&[&topic])?;
        let turns = Arc::new(Semaphore::new(registry.0.calls.later_max()));
        let (places, running, calls) = (Places::default(), JoinSet::new(), HashMap::new());
        Ok(Self { registry, topic, consumer, places, assignment: 0, running, calls, turns })
    }

    fn place(&self, message: &BorrowedMessage<'_>) -> Place {
        let assignment = self.consumer.context().0.load(Ordering::Acquire);
        Place { assignment, partition: message.partition(), offset: message.offset() }
    }

    fn take_up(&mut self, place: Place, value: &[u8]) {
        if place.assignment != self.assignment {
            // What was begun before may be begun by others now.
            (self.places, self.assignment) = (Places::default(), place.assignment);
        }
        let running = self.places.begin(place.partition, place.offset);
        let ledger = &self.registry.0.ledger;
        match serde_json::from_slice(value) {
            Ok(Record::Taken(taken)) if !ledger.standing(taken.call).is_some_and(|s| s.has_ended()) => {
                let call = taken.call;
                let places = self.calls.entry(call).or_default();
                places.push(place);
                if places.len() == 1 {
                    let (registry, turns) = (self.registry.clone(), self.turns.clone());
                    self.running.spawn(async move {
                        run(registry, turns, taken).await;
                        call
                    });
                }
                if running >= RUNNING_MAX {
                    self.tell(place.partition, StreamConsumer::pause);
                }
            }
            Ok(_) => self.has_ended(place),
            Err(error) => {
                tracing::warn!(
                    %error, kafka.partition = place.partition, kafka.offset = place.offset,
                    "what lies on {CALLS} is no call: it is passed over"
                );
                self.has_ended(place);
            }
        }
    }

    fn has_run(&mut self, call: Uuid) {
        for place in self.calls.remove(&call).unwrap_or_default() {
            self.has_ended(place);
        }
    }

    fn has_ended(&mut self, place: Place) {
        if place.assignment != self.assignment {
            return;
        }
        let Some((committed, running)) = self.places.end(place.partition, place.offset) else { return };
        if running + 1 == RUNNING_MAX {
            self.tell(place.partition, StreamConsumer::resume);
        }
        let Some(next) = committed else { return };
        let mut places = TopicPartitionList::new();
        let stored = places
            .add_partition_offset(&self.topic, place.partition, Offset::Offset(next))
            .and_then(|()| self.consumer.store_offsets(&places));
        if let Err(error) = stored {
            // It is somebody else's by now, who runs them again.
            tracing::debug!(%error, "the place of the calls");
        }
    }

    /// Tells the consumer to do this with the partition.
    fn tell(
        &self,
        partition: i32,
        what: fn(&StreamConsumer<Rebalances>, &TopicPartitionList) -> KafkaResult<()>,
    ) {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(&self.topic, partition);
        if let Err(error) = what(&self.consumer, &partitions) {
            tracing::debug!(%error, kafka.partition = partition, "pausing or resuming the calls");
        }
    }
}

/// Runs this call, and stores what came of it.
async fn run(registry: Registry, turns: Arc<Semaphore>, taken: Taken) {
    let (call, function) = (taken.call, taken.function);
    let running = tokio::spawn({
        let registry = registry.clone();
        async move { run_until_it_counts(&registry, &turns, &taken).await }
    });
    // A call that breaks us must not be the one with which every start begins.
    let result = running.await.unwrap_or_else(|error| {
        tracing::error!(%error, %call, function.name = %function, "running a call broke off");
        Err(CallError::Failed(Reason::Ours("it broke off".to_owned())))
    });
    registry.0.ledger.end(Ended { call, function, time: Timestamp::now(), result }).await;
}

/// What came of this call. Where it is not its fault that it failed, it is tried again for a while.
async fn run_until_it_counts(
    registry: &Registry,
    turns: &Semaphore,
    taken: &Taken,
) -> Result<Box<RawValue>, CallError> {
    let input: Value = serde_json::from_str(taken.input.get())
        .map_err(|error| CallError::Unfit(format!("its input cannot be read: {error}")))?;
    let (began, mut rest) = (Instant::now(), RESTS.0);
    loop {
        let turn = turns.acquire().await;
        let result = registry.call(taken.function, taken.call, taken.caller.as_ref(), &input).await;
        drop(turn);
        let patience = match &result {
            Err(CallError::NotFound(_)) => UNKNOWN_TIME,
            Err(error) if !error.is_lasting() => PATIENCE,
            _ => return result,
        };
        if began.elapsed() > patience {
            return result;
        }
        sleep(rest).await;
        rest = (rest * 2).min(RESTS.1);
    }
}
