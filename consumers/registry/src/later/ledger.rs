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
use jiff::Timestamp;
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
/// How many calls of one function may wait for their turn.
const WAITING_MAX: usize = 1000;
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
}

#[derive(Default)]
struct Known {
    calls: HashMap<Uuid, Standing>,
    /// In which order they were taken.
    order: VecDeque<Uuid>,
    /// How many of each function have not ended.
    waiting: HashMap<FunctionName, usize>,
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
        })
    }

    /// Stores a call.
    pub(super) async fn take(&self, taken: Taken) -> Result<(), NotTaken> {
        if self.known().waiting.get(&taken.function).is_some_and(|waiting| *waiting >= WAITING_MAX) {
            return Err(NotTaken::TooManyWait(WAITING_MAX));
        }
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
                Err(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
                        && ended.result.is_ok() =>
                {
                    let message = "its output is too long to be kept".to_owned();
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
        self.known().calls.get(&call).cloned()
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
        let value = self.lookup.read(partition, vec![offset]).await?;
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
        Self { function: taken.function, caller, taken_at: taken.time, end: None }
    }

    /// Whether it has ended.
    pub const fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}

impl Known {
    fn take(&mut self, call: Uuid, standing: Standing) {
        let hash_map::Entry::Vacant(entry) = self.calls.entry(call) else { return };
        *self.waiting.entry(standing.function).or_default() += 1;
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
        let function = standing.function;
        self.waits_no_more(function);
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|call| self.calls.remove(&call));
        if let Some(standing) = oldest.filter(|standing| !standing.has_ended()) {
            self.waits_no_more(standing.function);
        }
    }

    fn waits_no_more(&mut self, function: FunctionName) {
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
        let standing = Standing { function: add, caller: None, taken_at: Timestamp::UNIX_EPOCH, end: None };
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
    }
}
