//! Events as they are, for those who watch from outside: live ones for many readers at once, and past ones on demand.
//!
//! One consumer for each service reads what is new into a [`ring`], from which all readers read, each from its own place:
//! memory does not depend on how many they are, nor on how slow. Whoever begins further back first reads what lies between
//! with a consumer of its own, until the ring has the rest. A [`place`] says how far somebody has read.
//!
//! Only what was committed is shown, in order within each partition.

mod place;
mod ring;

use std::{collections::BTreeMap, future, panic::resume_unwind, sync::Arc, thread, time::Duration};

use factfold_schemas::{
    ids::StreamId,
    kafka::Cluster,
    partitioner::partition_of,
    position::Position,
    topics::{Service, Topic},
};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::OnceCell, task::spawn_blocking};

use self::ring::Ring;
pub use self::{
    place::{InvalidPlace, Place, Scope},
    ring::{Cursor, Join, Passed},
};
use crate::log_reader::{
    Bound, Filter, Kept, Lane, Log, LogError, Record, Stop, WantedOnDrop, follow::Live, merge::Next,
};

/// How long to rest when the newest events cannot be read.
const REST: Duration = Duration::from_secs(1);
/// How far the clocks of brokers may be apart: one stamps the command, another its events.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The events of all services. Cheap to clone; connects when it is first asked.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    log: OnceCell<Arc<Log>>,
    rings: BTreeMap<Service, OnceCell<Arc<Ring>>>,
    stop: Stop,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.want();
    }
}

/// What is looked for in the history of a stream.
#[derive(Debug, Clone)]
pub struct History {
    /// The stream, and which of its events.
    pub filter: Filter,
    /// The version of the last event that is looked for.
    pub version: u64,
    /// What lies before is read, and not looked for.
    pub after: Place,
}

/// A part of a stream's history.
#[derive(Debug)]
pub struct Found<T> {
    /// The records, and what somebody saw in each.
    pub records: Vec<(Kept, T)>,
    /// Where to go on; `None` when that is all.
    pub next: Option<Place>,
}

impl Events {
    /// Of this cluster.
    pub fn new(cluster: &Cluster) -> Self {
        let rings = Service::ALL.into_iter().map(|service| (service, OnceCell::new())).collect();
        Self(Arc::new(Inner { cluster: cluster.clone(), log: OnceCell::new(), rings, stop: Stop::default() }))
    }

    /// All partitions of a topic, or the one where this stream is at home.
    pub async fn scope(&self, topic: Topic, stream: Option<&StreamId>) -> Result<Scope, LogError> {
        let name = self.0.cluster.topic(topic);
        let count = self.blocking(move |log, _| log.partitions(&name)).await?;
        let home = stream.map(|stream| partition_of(stream.as_str().as_bytes(), count));
        Ok(Scope { topic, beside: None, partitions: home.map_or(0..count, |home| home..home + 1) })
    }

    /// Goes on from this place with what is new; without one, from now on.
    pub async fn join(&self, scope: &Scope, place: Option<&Place>) -> Result<Join, LogError> {
        let ring = self.0.rings.get(&scope.topic.service).expect("every service has a ring");
        let ring = ring.get_or_try_init(|| self.start(scope.topic)).await?;
        if let Some(place) = place.filter(|place| !ring.has_come_to(scope, place)) {
            // Another gateway can have seen more than this one so far; nobody can have seen what is not there.
            let positions = scope.positions(place);
            self.blocking(move |log, _| log.lanes_from(&positions)).await?;
        }
        Ok(ring.join(scope, place))
    }

    /// Reads what lies between two places, in order within each partition, until `each` has enough or all was read; then
    /// says how far it came. It blocks while `each` does.
    pub async fn read_between(
        &self,
        scope: &Scope,
        from: &Place,
        to: &Place,
        mut each: impl FnMut(Record<'_>, Place) -> Next + Send + 'static,
    ) -> Result<Place, LogError> {
        let (positions, ends) = (scope.positions(from), scope.positions(to));
        let scope = scope.clone();
        self.blocking(move |log, stop| {
            let mut lanes = log.lanes_from(&positions)?;
            for (lane, end) in lanes.iter_mut().zip(ends) {
                lane.end = end.offset;
            }
            log.read(&mut lanes, stop, |record, lanes| {
                Ok::<_, LogError>(each(record, scope.place_of(lanes)))
            })?;
            Ok(scope.place_of(&lanes))
        })
        .await
    }

    /// Where a replay begins and ends.
    pub async fn range(&self, topic: Topic, from: Bound, to: Bound) -> Result<Vec<Lane>, LogError> {
        self.blocking(move |log, _| log.lanes(&[topic], None, &from, &to)).await
    }

    /// Reads a range to its end, merged by the broker's time, or until `each` has enough. It blocks while `each` does.
    pub async fn replay<S: Send + 'static>(
        &self,
        mut lanes: Vec<Lane>,
        mut state: S,
        mut each: impl FnMut(&mut S, Record<'_>) -> Next + Send + 'static,
    ) -> Result<S, LogError> {
        self.blocking(move |log, stop| {
            log.read(&mut lanes, stop, |record, _| Ok::<_, LogError>(each(&mut state, record)))?;
            Ok(state)
        })
        .await
    }

    /// The place before the first event of a stream whose first command was decided then.
    pub async fn beginning(&self, scope: &Scope, since: Timestamp) -> Result<Place, LogError> {
        let (scope, since) = (scope.clone(), since.saturating_sub(SKEW).unwrap_or(Timestamp::MIN));
        self.blocking(move |log, _| {
            let (topics, only) = (scope.topics().collect::<Vec<_>>(), Some(scope.partitions.start));
            let lanes = log.lanes(&topics, only, &Bound::Time(since), &Bound::End)?;
            Ok(scope.place_of(&lanes))
        })
        .await
    }

    /// Looks for so many records of a stream, from a place on, for so long at most. What lies between them is read too: so a
    /// page can have fewer than were asked for, and still not be the last. All of the stream that is read is shown to `see`.
    pub async fn history<T: Send + 'static>(
        &self,
        scope: &Scope,
        history: History,
        from: &Place,
        (limit, patience): (usize, Duration),
        mut see: impl FnMut(&Record<'_>) -> T + Send + 'static,
    ) -> Result<Found<T>, LogError> {
        let (scope, positions) = (scope.clone(), scope.positions(from));
        let History { filter, version, after } = history;
        let after = scope.positions(&after);
        let stop = Stop::default();
        let stopped = stop.clone();
        let find = self.blocking(move |log, abandoned| {
            let mut lanes = log.lanes_from(&positions)?;
            let (mut records, mut is_all) = (Vec::new(), false);
            let ended = log.read(&mut lanes, &stopped, |record, _| {
                if filter.is_of_stream(&record) {
                    let seen = see(&record);
                    let reached = record.header("ce_streamversion").and_then(|version| version.parse().ok());
                    // What lies beside the events goes on after the last of them.
                    is_all = scope.beside.is_none() && reached >= Some(version);
                    if filter.lets_through(&record) && !is_before(&record, &after) {
                        records.push((record.keep(), seen));
                    }
                }
                let is_enough = is_all || records.len() >= limit || abandoned.is_wanted();
                Ok::<_, LogError>(if is_enough { Next::Enough } else { Next::Go })
            })?;
            let next = (!ended && !is_all).then(|| scope.place_of(&lanes));
            Ok(Found { records, next })
        });
        let mut find = std::pin::pin!(find);
        tokio::select! {
            found = &mut find => found,
            () = tokio::time::sleep(patience) => {
                stop.want();
                find.await
            }
        }
    }

    /// Runs on a thread where it may block. It is told when nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log, &Stop) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let log = self.log().await?;
        let abandoned = WantedOnDrop::default();
        let stop = abandoned.0.clone();
        joined(spawn_blocking(move || work(&log, &stop))).await
    }

    async fn log(&self) -> Result<Arc<Log>, LogError> {
        let open = || async {
            let cluster = self.0.cluster.clone();
            joined(spawn_blocking(move || Log::open_for_many(&cluster, notice))).await.map(Arc::new)
        };
        self.0.log.get_or_try_init(open).await.cloned()
    }

    /// Begins to read what is new, on a thread of its own.
    async fn start(&self, topic: Topic) -> Result<Arc<Ring>, LogError> {
        let lanes = self.range(topic, Bound::End, Bound::End).await?;
        let ring = Arc::new(Ring::new(next_of(&lanes)));
        let tail = Tail { log: self.log().await?, topic, ring: ring.clone(), stop: self.0.stop.clone() };
        thread::Builder::new()
            .name(format!("live-{topic}"))
            .spawn(move || tail.run(lanes))
            .map_err(|error| LogError::Thread(error.to_string()))?;
        Ok(ring)
    }
}

/// Whoever reads the newest events of a topic.
struct Tail {
    log: Arc<Log>,
    topic: Topic,
    ring: Arc<Ring>,
    stop: Stop,
}

impl Tail {
    fn run(&self, mut lanes: Vec<Lane>) {
        while !self.stop.is_wanted() {
            let followed = self.log.follow(&lanes, &self.stop, |live| {
                if let Live::Record(record) = live {
                    self.ring.push(record.keep());
                }
                Ok::<_, LogError>(Next::Go)
            });
            // The partition was cut or made anew below us: whoever reads must look again where that leaves it.
            let Err(error) = followed else { return };
            tracing::warn!(%error, kafka.topic = %self.topic, "the newest events are read from the end again");
            thread::sleep(REST);
            match self.log.lanes(&[self.topic], None, &Bound::End, &Bound::End) {
                Ok(ends) => {
                    self.ring.restart(next_of(&ends));
                    lanes = ends;
                }
                Err(error) => tracing::warn!(%error, "the end of the events is not known yet"),
            }
        }
    }
}

fn next_of(lanes: &[Lane]) -> Vec<i64> {
    lanes.iter().map(|lane| lane.next).collect()
}

fn is_before(record: &Record<'_>, place: &[Position]) -> bool {
    let at = record.position();
    place
        .iter()
        .any(|next| (next.topic, next.partition) == (at.topic, at.partition) && at.offset < next.offset)
}

fn notice(message: &str) {
    tracing::warn!("events are read slowly: {message}");
}

/// The result of work on another thread. It is cancelled only when the whole runtime ends.
async fn joined<T>(work: tokio::task::JoinHandle<T>) -> T {
    match work.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_cancelled)) => future::pending().await,
    }
}
