//! What is known of calls that nobody waits for: which were taken, and where the end of each lies. Ends are read again when
//! somebody asks for one.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factfold_schemas::{
    functions::{CALLS, FunctionName},
    ids::UserId,
    kafka::Cluster,
};
use jiff::{SignedDuration, Timestamp};
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
    types::RDKafkaErrorCode,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Ended, NotTaken, Record, Taken};
use crate::{CallError, Reason, lookup::Lookup};

/// How many calls are known, of all functions: the last ones.
const KNOWN_MAX: usize = 100_000;
/// For how long.
const KNOWN_TIME: SignedDuration = SignedDuration::from_hours(24);
/// How many calls of one function may wait for their turn.
const WAITING_MAX: usize = 1000;
/// How many bytes of input may wait, of all functions: far less than Kafka keeps of a partition.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// How long Kafka may take to store a record.
const STORE_TIME: Duration = Duration::from_secs(20);
/// How soon an end that was not stored is tried again.
const REST: Duration = Duration::from_millis(500);

/// How a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What was called.
    pub function: FunctionName,
    /// Who called; nobody that is known, where the function is for everybody.
    pub caller: Option<UserId>,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How long its input is.
    bytes: usize,
    /// The partition and offset of its end, once it has one.
    end: Option<(i32, i64)>,
}

/// All of it.
pub(crate) struct Ledger {
    topic: String,
    producer: FutureProducer,
    lookup: Lookup,
    known: Mutex<Known>,
    /// Counts the ends that were seen.
    ends: watch::Sender<u64>,
    /// Whether all was read that was there at the start.
    complete: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    calls: HashMap<Uuid, Standing>,
    /// In which order they were taken.
    order: VecDeque<Uuid>,
    /// How many of each function have not ended.
    waiting: HashMap<FunctionName, usize>,
    /// How long their inputs are together.
    waiting_bytes: usize,
}

impl Ledger {
    pub(crate) fn open(cluster: &Cluster) -> Result<Self, KafkaError> {
        let producer = cluster
            .client()
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", STORE_TIME.as_millis().to_string())
            .set("message.max.bytes", "2097164")
            .create()?;
        Ok(Self {
            topic: cluster.namespace.qualify(CALLS),
            producer,
            lookup: Lookup::open(cluster, CALLS)?,
            known: Mutex::default(),
            ends: watch::Sender::new(0),
            complete: watch::Sender::new(false),
        })
    }

    /// Stores a call.
    pub(super) async fn take(&self, taken: Taken) -> Result<(), NotTaken> {
        self.known().has_room_for(taken.function)?;
        let (call, standing) = (taken.call, Standing::of(&taken));
        self.store(taken.function, &Record::Taken(taken)).await.map_err(NotTaken::NotStored)?;
        // Whoever has taken it knows it at once.
        self.known().take(call, standing);
        Ok(())
    }

    /// Stores what came of a call, however long that takes.
    pub(super) async fn end(&self, mut ended: Ended) {
        loop {
            let record = Record::Ended(ended.clone());
            match self.store(ended.function, &record).await {
                Ok(()) => return,
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let message = "what came of it is too long to be kept".to_owned();
                    ended.result = Err(CallError::Failed(Reason::Stopped(message)));
                }
                Err(error) => {
                    tracing::warn!(%error, call = %ended.call, "the end of a call is not stored: trying again");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn store(&self, function: FunctionName, record: &Record) -> Result<(), KafkaError> {
        let value = serde_json::to_vec(record).expect("it is plain data");
        let record = FutureRecord::to(&self.topic).key(function.as_str()).payload(&value);
        self.producer.send(record, STORE_TIME).await.map(drop).map_err(|(error, _)| error)
    }

    pub(super) fn standing(&self, call: Uuid) -> Option<Standing> {
        let mut known = self.known();
        known.forget_older_than(Timestamp::now() - KNOWN_TIME);
        known.calls.get(&call).cloned()
    }

    pub(crate) fn set_complete(&self) {
        self.complete.send_replace(true);
    }

    pub(super) fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Ready once all was read that was there at the start: before, what has ended may still look as if it waited.
    pub(super) async fn complete(&self) {
        // It is ours: as long as somebody waits, it is there.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Ready once the call has ended.
    pub(super) async fn has_ended(&self, call: Uuid) {
        let mut ends = self.ends.subscribe();
        while self.standing(call).is_none_or(|standing| !standing.has_ended()) {
            // It is ours: as long as somebody waits, it is there.
            let _ = ends.changed().await;
        }
    }

    pub(super) async fn ended(&self, call: Uuid) -> Result<Option<Ended>, KafkaError> {
        let end = self.standing(call).and_then(|standing| standing.end);
        let Some((partition, offset)) = end else { return Ok(None) };
        let Some(value) = self.lookup.read(partition, vec![offset]).await? else { return Ok(None) };
        match serde_json::from_slice(&value) {
            Ok(Record::Ended(ended)) if ended.call == call => Ok(Some(ended)),
            _ => Err(KafkaError::Canceled),
        }
    }

    /// A record came.
    pub(crate) fn note(&self, partition: i32, offset: i64, value: &[u8]) {
        match serde_json::from_slice(value) {
            Ok(Record::Taken(taken)) => self.known().take(taken.call, Standing::of(&taken)),
            Ok(Record::Ended(ended)) => {
                self.known().end(ended.call, (partition, offset));
                self.ends.send_modify(|count| *count += 1);
            }
            Err(error) => {
                tracing::warn!(%error, kafka.partition = partition, kafka.offset = offset, "what lies on {CALLS} is no call");
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn of(taken: &Taken) -> Self {
        let caller = taken.caller.as_ref().map(|caller| caller.user);
        let bytes = taken.input.get().len();
        Self { function: taken.function, caller, taken_at: taken.time, bytes, end: None }
    }

    /// Whether it has ended.
    pub const fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}

impl Known {
    fn has_room_for(&mut self, function: FunctionName) -> Result<(), NotTaken> {
        self.forget_older_than(Timestamp::now() - KNOWN_TIME);
        if self.waiting.get(&function).is_some_and(|waiting| *waiting >= WAITING_MAX) {
            return Err(NotTaken::TooManyWait(WAITING_MAX));
        }
        if self.waiting_bytes >= WAITING_BYTES_MAX {
            Err(NotTaken::TooMuchWaits(WAITING_BYTES_MAX))
        } else {
            Ok(())
        }
    }

    fn take(&mut self, call: Uuid, standing: Standing) {
        let hash_map::Entry::Vacant(entry) = self.calls.entry(call) else { return };
        *self.waiting.entry(standing.function).or_default() += 1;
        self.waiting_bytes += standing.bytes;
        metrics::gauge!("factfold_function_calls_pending").increment(1);
        entry.insert(standing);
        self.order.push_back(call);
        if self.order.len() > KNOWN_MAX {
            self.forget_oldest();
        }
    }

    /// The first end counts.
    fn end(&mut self, call: Uuid, place: (i32, i64)) {
        let Some(standing) = self.calls.get_mut(&call).filter(|standing| !standing.has_ended()) else {
            return;
        };
        standing.end = Some(place);
        let (function, bytes) = (standing.function, standing.bytes);
        self.waits_no_more(function, bytes);
    }

    fn forget_older_than(&mut self, time: Timestamp) {
        let is_older = |call: &&Uuid| self.calls.get(call).is_none_or(|standing| standing.taken_at < time);
        let older = self.order.iter().take_while(is_older).count();
        (0..older).for_each(|_| self.forget_oldest());
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|call| self.calls.remove(&call));
        if let Some(standing) = oldest.filter(|standing| !standing.has_ended()) {
            self.waits_no_more(standing.function, standing.bytes);
        }
    }

    fn waits_no_more(&mut self, function: FunctionName, bytes: usize) {
        self.waiting_bytes -= bytes;
        if let hash_map::Entry::Occupied(mut waiting) = self.waiting.entry(function) {
            *waiting.get_mut() -= 1;
            metrics::gauge!("factfold_function_calls_pending").decrement(1);
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_counts_and_what_is_known_is_bounded() {
        let mut known = Known::default();
        let add: FunctionName = "add".parse().expect("a name");
        let standing =
            Standing { function: add, caller: None, taken_at: Timestamp::UNIX_EPOCH, bytes: 3, end: None };
        let ids: Vec<Uuid> = (0..KNOWN_MAX as u128 + 2).map(Uuid::from_u128).collect();
        known.end(ids[0], (0, 1));
        assert!(known.calls.is_empty(), "what nobody took has no end");
        known.take(ids[0], standing.clone());
        known.take(ids[0], standing.clone());
        assert_eq!(known.waiting[&add], 1);
        known.end(ids[0], (0, 7));
        known.end(ids[0], (0, 9));
        assert_eq!((known.calls[&ids[0]].end, known.waiting.get(&add)), (Some((0, 7)), None));
        known.take(ids[0], standing.clone());
        assert!(known.calls[&ids[0]].has_ended(), "read once more, it stays ended");
        ids.iter().for_each(|id| known.take(*id, standing.clone()));
        assert_eq!(
            (known.calls.len(), known.order.len(), known.waiting[&add]),
            (KNOWN_MAX, KNOWN_MAX, KNOWN_MAX)
        );
        assert!(!known.calls.contains_key(&ids[1]), "the oldest go first");
        assert_eq!(known.waiting_bytes, 3 * KNOWN_MAX);
        assert!(known.has_room_for(add).is_ok(), "what is a day old is forgotten, whether it ended or not");
        assert!(known.calls.is_empty() && known.waiting.is_empty() && known.waiting_bytes == 0);
        let now = Standing { taken_at: Timestamp::now(), bytes: WAITING_BYTES_MAX, ..standing };
        known.take(ids[0], now.clone());
        assert!(matches!(known.has_room_for(add), Err(NotTaken::TooMuchWaits(_))));
        known.end(ids[0], (0, 7));
        ids[1..]
            .iter()
            .take(WAITING_MAX)
            .for_each(|id| known.take(*id, Standing { bytes: 0, ..now.clone() }));
        assert!(matches!(known.has_room_for(add), Err(NotTaken::TooManyWait(_))));
        assert!(known.has_room_for("other".parse().expect("a name")).is_ok());
    }
}
