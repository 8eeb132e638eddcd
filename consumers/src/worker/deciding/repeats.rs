//! Which commands were decided lately, so that a repeat gets the first one's answer (rule 10). Bounded by time and by count.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use factfold_schemas::{
    command::{Digest, Header},
    record::Answer,
    rejection::Rejection,
};
use jiff::Timestamp;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Stream, source and id of a command, in 128 bits of SHA-256: whoever sends commands chooses these texts, and must not
/// be able to make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity([u8; 16]);

impl Identity {
    /// The identity of the command with this source and id, for this stream.
    pub(super) fn new(stream: &str, source: &str, id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [stream, source, id] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut identity = [0; 16];
        identity.copy_from_slice(&hash.finalize()[..16]);
        Self(identity)
    }

    /// The identity of the command with this header.
    pub(super) fn of(stream: &str, header: &Header) -> Self {
        Self::new(stream, &header.source, &header.id)
    }
}

/// The first command under an identity, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct First {
    /// What it said.
    pub(super) digest: Digest,
    /// Where it was decided.
    pub(super) decided: i64,
    /// When, in milliseconds of the broker's time.
    pub(super) at_ms: i64,
    /// What became of it.
    pub(super) outcome: FirstOutcome,
}

/// What became of the first, small: most were accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FirstOutcome {
    /// The version of its last event.
    Accepted(u64),
    /// Nothing to do.
    NoChange,
    /// A rule was broken.
    Rejected(#[serde(with = "as_json")] Arc<Rejection>),
}

impl From<FirstOutcome> for Answer {
    fn from(outcome: FirstOutcome) -> Self {
        match outcome {
            FirstOutcome::Accepted(version) => Self::Accepted { version },
            FirstOutcome::NoChange => Self::NoChange,
            FirstOutcome::Rejected(rejection) => {
                Self::Rejected { rejection: Arc::unwrap_or_clone(rejection) }
            }
        }
    }
}

/// The window of one partition: the commands decided last. It is the same in whatever order they are inserted, since a
/// takeover reads events and outcomes side by side.
#[derive(Debug)]
pub(super) struct Repeats {
    first: HashMap<Identity, First, FxBuildHasher>,
    /// Where they were decided, oldest first.
    order: BTreeMap<i64, Identity>,
    max: usize,
    age_ms: i64,
    /// Where those were decided that came or went since the last time they were stored; `None` without a store.
    changes: Option<Vec<i64>>,
}

impl Repeats {
    /// An empty window of at most `max` commands, none older than `age`, whose changes are written down for a store, or not.
    pub(super) fn new(max: usize, age: Duration, is_stored: bool) -> Self {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let changes = is_stored.then(Vec::new);
        Self { first: HashMap::default(), order: BTreeMap::new(), max, age_ms, changes }
    }

    /// From here on there is no store.
    pub(super) fn keep_all(&mut self) {
        self.changes = None;
    }

    /// The first command under this identity, if it came less than the window's age before `now_ms`. (Or after it: at
    /// takeover the outcomes may be folded before the events.)
    pub(super) fn get(&self, identity: Identity, now_ms: i64) -> Option<&First> {
        self.first.get(&identity).filter(|first| (now_ms - first.at_ms).abs() < self.age_ms)
    }

    /// Whether this one was still in the window when the command at `offset` was decided, however many came in between.
    pub(super) fn had(&self, first: &First, offset: i64) -> bool {
        usize::try_from(offset.abs_diff(first.decided)).is_ok_and(|between| between <= self.max)
    }

    /// Remembers a first command, and forgets what is too old or too much.
    pub(super) fn insert(&mut self, identity: Identity, first: First) {
        let (now_ms, decided) = (first.at_ms, first.decided);
        let before = self.first.get(&identity).map(|before| before.decided);
        if before.is_some_and(|before| before > decided) {
            return;
        }
        // It came again after its time. (Or it is a further event of the same command.)
        before.into_iter().for_each(|before| self.forget(before));
        self.first.insert(identity, first);
        self.order.insert(decided, identity);
        self.changes.iter_mut().for_each(|changes| changes.push(decided));
        while let Some((&oldest, identity)) = self.order.first_key_value() {
            let too_many = self.order.len() > self.max;
            let too_old = self.first.get(identity).is_none_or(|first| now_ms - first.at_ms >= self.age_ms);
            if !too_many && !too_old {
                break;
            }
            if too_many {
                metrics::counter!("factfold_repeats_evicted_total").increment(1);
            }
            self.forget(oldest);
        }
    }

    fn forget(&mut self, decided: i64) {
        self.order.remove(&decided).and_then(|identity| self.first.remove(&identity));
        self.changes.iter_mut().for_each(|changes| changes.push(decided));
    }

    /// Takes over one that was stored.
    pub(super) fn found(&mut self, identity: Identity, first: First) {
        self.order.insert(first.decided, identity);
        self.first.insert(identity, first);
    }

    /// How much changed since it was stored.
    pub(super) fn changed(&self) -> usize {
        self.changes.as_ref().map_or(0, Vec::len)
    }

    /// Hands out what changed since the last time, to be stored under where it was decided: what came, and `None` for what
    /// went.
    pub(super) fn store(&mut self, mut each: impl FnMut(i64, Option<(Identity, &First)>)) {
        let Some(changes) = &mut self.changes else { return };
        changes.sort_unstable();
        changes.dedup();
        for decided in changes.drain(..) {
            let known =
                self.order.get(&decided).and_then(|identity| Some((*identity, self.first.get(identity)?)));
            each(decided, known);
        }
    }
}

/// A rejection has a form that only JSON can hold.
mod as_json {
    use std::sync::Arc;

    use factfold_schemas::rejection::Rejection;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(
        rejection: &Arc<Rejection>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&**rejection).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Rejection>, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Arc::new).map_err(D::Error::custom)
    }
}

/// The time of a record, as a timestamp.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    // Kafka's "no timestamp" is -1; whatever no calendar has is taken for the beginning.
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(at_ms: i64) -> First {
        First { digest: Digest::of("X", b"{}"), decided: at_ms, at_ms, outcome: FirstOutcome::NoChange }
    }

    fn identity(n: usize) -> Identity {
        Identity::new("order-1", "/clients/u", &n.to_string())
    }

    #[test]
    fn an_identity_is_its_three_parts() {
        assert_ne!(Identity::new("a", "bc", "d"), Identity::new("ab", "c", "d"));
        assert_eq!(identity(1), identity(1));
    }

    #[test]
    fn a_repeat_is_known_until_its_time_is_over() {
        let mut repeats = Repeats::new(100, Duration::from_millis(10), false);
        repeats.insert(identity(1), first(0));
        assert!(repeats.get(identity(1), 9).is_some());
        assert!(repeats.get(identity(1), 10).is_none());
        repeats.insert(identity(2), first(10));
        assert_eq!(repeats.first.len(), 1, "what is too old is forgotten");
    }

    #[test]
    fn the_window_never_grows_past_its_bound() {
        let mut repeats = Repeats::new(3, Duration::from_secs(60), false);
        // Also when those that gave events are read before those that did not.
        for n in [0, 2, 4, 6, 8, 1, 3, 5, 7, 9] {
            repeats.insert(identity(n), first(n as i64));
        }
        assert_eq!((repeats.first.len(), repeats.order.len()), (3, 3));
        assert!((7..10).all(|n| repeats.get(identity(n), 9).is_some()));
        assert!(repeats.get(identity(6), 9).is_none());
    }

    #[test]
    fn an_identity_that_came_again_after_its_time_stays() {
        let mut repeats = Repeats::new(100, Duration::from_millis(10), false);
        repeats.insert(identity(1), first(0));
        repeats.insert(identity(1), first(20));
        assert!(repeats.get(identity(1), 21).is_some());
    }
}
