//! Code, in chunks on a topic of its own, found by its digest. What is read is compared with that, so nobody can slip in
//! other code under a name that was deployed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factfold_schemas::{
    functions::{BLOBS, CHUNK_BYTES, CODE_BYTES_MAX, Code},
    kafka::Cluster,
};
use quick_cache::{Weighter, sync::Cache};
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
};
use tokio::sync::watch;

use crate::lookup::Lookup;

/// How much code is kept in memory: what was deployed or read last.
const MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// How long Kafka may take to store a chunk.
const STORE_TIME: Duration = Duration::from_secs(20);
/// How long code may take to come, that an event has named already.
const READ_TIME: Duration = Duration::from_secs(5);

/// Why code is not stored, or not there.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Kafka did not take it.
    #[error("the code could not be stored: {0}")]
    NotStored(KafkaError),
    /// Kafka did not give it.
    #[error("the code could not be read: {0}")]
    NotRead(KafkaError),
    /// There is none of this digest.
    #[error("the code {sha256} is not on the topic {BLOBS}: deploy it again")]
    Missing {
        /// The digest.
        sha256: String,
    },
    /// What lies there is not what it is called.
    #[error("what lies under {sha256} on the topic {BLOBS} has another digest: deploy it again")]
    Altered {
        /// The digest that it should have.
        sha256: String,
    },
}

/// Where code is, and how it gets there.
pub(crate) struct CodeStore {
    lookup: Lookup,
    topic: String,
    producer: FutureProducer,
    /// The offsets of the chunks, by digest.
    places: Mutex<HashMap<String, Vec<Option<i64>>>>,
    /// Counts the chunks that were seen.
    news: watch::Sender<u64>,
    recent: Cache<String, Arc<[u8]>, Bytes>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<String, Arc<[u8]>> for Bytes {
    fn weight(&self, _: &String, code: &Arc<[u8]>) -> u64 {
        code.len().max(1) as u64
    }
}

impl CodeStore {
    pub(crate) fn open(cluster: &Cluster) -> Result<Self, KafkaError> {
        let producer = cluster
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", STORE_TIME.as_millis().to_string())
            .create()?;
        Ok(Self {
            lookup: Lookup::open(cluster, BLOBS)?,
            topic: cluster.namespace.qualify(BLOBS),
            producer,
            places: Mutex::default(),
            news: watch::Sender::new(0),
            recent: Cache::with_weighter(1000, MEMORY_BYTES, Bytes),
        })
    }

    pub(crate) async fn store(&self, bytes: Arc<[u8]>) -> Result<Code, CodeError> {
        let code = Code::of(&bytes);
        if !self.is_whole(&code) {
            for (number, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
                let key = format!("{}/{number}", code.sha256);
                let record = FutureRecord::to(&self.topic).partition(0).key(&key).payload(chunk);
                let stored = self.producer.send(record, STORE_TIME).await;
                stored.map_err(|(error, _)| CodeError::NotStored(error))?;
            }
        }
        self.recent.insert(code.sha256.clone(), bytes);
        Ok(code)
    }

    pub(crate) async fn read(&self, code: &Code) -> Result<Arc<[u8]>, CodeError> {
        if let Some(bytes) = self.recent.get(&code.sha256) {
            return Ok(bytes);
        }
        let missing = || CodeError::Missing { sha256: code.sha256.clone() };
        let mut news = self.news.subscribe();
        let come = async {
            while !self.is_whole(code) {
                let _ = news.changed().await;
            }
        };
        // It was stored before any event named it, but this process may not have seen it yet.
        tokio::time::timeout(READ_TIME, come).await.map_err(|_| missing())?;
        let offsets = self.offsets(code).ok_or_else(missing)?;
        let bytes = self.lookup.read(0, offsets).await.map_err(CodeError::NotRead)?.ok_or_else(missing)?;
        if Code::of(&bytes) != *code {
            return Err(CodeError::Altered { sha256: code.sha256.clone() });
        }
        let bytes: Arc<[u8]> = bytes.into();
        self.recent.insert(code.sha256.clone(), bytes.clone());
        Ok(bytes)
    }

    /// A chunk lies here.
    pub(crate) fn saw(&self, key: &[u8], offset: i64) {
        let parsed = || {
            let (sha256, number) = str::from_utf8(key).ok()?.split_once('/')?;
            Some((sha256.to_owned(), number.parse::<usize>().ok()?))
        };
        let Some((sha256, number)) = parsed().filter(|(_, number)| *number < chunks(CODE_BYTES_MAX)) else {
            tracing::warn!(kafka.offset = offset, "what lies on {BLOBS} has no key of a chunk");
            return;
        };
        let mut places = self.places();
        let chunks = places.entry(sha256).or_default();
        if chunks.len() <= number {
            chunks.resize(number + 1, None);
        }
        chunks[number] = Some(offset);
        drop(places);
        self.news.send_modify(|count| *count += 1);
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Vec<Option<i64>>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_whole(&self, code: &Code) -> bool {
        self.offsets(code).is_some()
    }

    /// Where its chunks lie; `None` while one of them was not seen.
    fn offsets(&self, code: &Code) -> Option<Vec<i64>> {
        let places = self.places();
        let seen = places.get(&code.sha256).filter(|seen| seen.len() >= chunks(code.bytes))?;
        seen.iter().take(chunks(code.bytes)).copied().collect()
    }
}

/// How many chunks so many bytes have.
fn chunks(bytes: u64) -> usize {
    bytes.div_ceil(CHUNK_BYTES as u64) as usize
}
