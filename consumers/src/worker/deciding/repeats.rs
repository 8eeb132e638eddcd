//! Which commands were decided lately, so that a repeat gets the first one's answer (rule 10). Bounded by time and by count.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use factfold_schemas::{
    command::{Digest, Header},
    record::Answer,
    rejection::Rejection,
};
use hashbrown::HashTable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Stream, source and id of a command, in 128 bits of SHA-256: whoever sends commands chooses these texts, and must not
/// be able to make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// Of what is a hash already, any part is one.
    fn hash(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
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
    /// It waits for its time.
    Scheduled {
        /// In microseconds since 1970.
        due_us: i64,
    },
}

impl FirstOutcome {
    pub(super) fn scheduled(due: Timestamp) -> Self {
        Self::Scheduled { due_us: due.as_microsecond() }
    }
}

impl First {
    /// Whether it waits for its time: then a copy of it comes, which is no repeat.
    pub(super) fn waits(&self) -> bool {
        matches!(self.outcome, FirstOutcome::Scheduled { .. })
    }
}

impl From<FirstOutcome> for Answer {
    fn from(outcome: FirstOutcome) -> Self {
        match outcome {
            FirstOutcome::Accepted(version) => Self::Accepted { version },
            FirstOutcome::NoChange => Self::NoChange,
            FirstOutcome::Rejected(rejection) => {
                Self::Rejected { rejection: Arc::unwrap_or_clone(rejection) }
            }
            FirstOutcome::Scheduled { due_us } => {
                // It was made of a timestamp.
                Self::Scheduled { due: Timestamp::from_microsecond(due_us).unwrap_or_default() }
            }
        }
    }
}

/// The window of one partition: the commands decided last. It is the same in whatever order they are inserted, since a
/// takeover reads events and outcomes side by side.
///
/// Most of a worker's memory can be windows, so a command takes no more than it must: a place of 64 bytes, with 21 to find it
/// by what it is and by when it was decided.
#[derive(Debug)]
pub(super) struct Repeats {
    places: Vec<Option<(Identity, First)>>,
    /// The places that are free.
    free: Vec<u32>,
    /// In which place an identity is.
    index: HashTable<u32>,
    /// Where they were decided, and their places, oldest first. It may name some that are gone.
    order: BinaryHeap<Reverse<(i64, u32)>>,
    max: usize,
    age_ms: i64,
    /// Those that came or went since the last time they were stored, and where they were decided; `None` without a store.
    changes: Option<Vec<(i64, Identity)>>,
}

impl Repeats {
    /// An empty window of at most `max` commands, none older than `age`, whose changes are written down for a store, or not.
    pub(super) fn new(max: usize, age: Duration, is_stored: bool) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            order: BinaryHeap::new(),
            max,
            age_ms: i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
            changes: is_stored.then(Vec::new),
        }
    }

    /// From here on there is no store.
    pub(super) fn keep_all(&mut self) {
        self.changes = None;
    }

    /// The first command under this identity, if it came less than the window's age before `now_ms`. (Or after it: at
    /// takeover the outcomes may be folded before the events.)
    pub(super) fn get(&self, identity: Identity, now_ms: i64) -> Option<&First> {
        self.find(identity).filter(|first| (now_ms - first.at_ms).abs() < self.age_ms)
    }

    fn find(&self, identity: Identity) -> Option<&First> {
        self.places[self.place(identity)?].as_ref().map(|(_, first)| first)
    }

    fn place(&self, identity: Identity) -> Option<usize> {
        self.index
            .find(identity.hash(), |place| holds(&self.places, *place, identity))
            .map(|place| *place as usize)
    }

    /// Whether this one was still in the window when the command at `offset` was decided, however many came in between.
    pub(super) fn had(&self, first: &First, offset: i64) -> bool {
        usize::try_from(offset.abs_diff(first.decided)).is_ok_and(|between| between <= self.max)
    }

    /// Remembers a first command, and forgets what is too old or too much.
    pub(super) fn insert(&mut self, identity: Identity, first: First) {
        let (now_ms, decided) = (first.at_ms, first.decided);
        match self.place(identity).and_then(|place| self.places[place].as_mut()) {
            Some((_, before)) if before.decided > decided => return,
            // A further event of the same command.
            Some((_, before)) if before.decided == decided => *before = first,
            // It came again after its time.
            Some(_) => {
                self.forget(identity);
                self.found(identity, first);
            }
            None => self.found(identity, first),
        }
        self.note(decided, identity);
        while let Some((identity, at_ms)) = self.oldest() {
            let too_many = self.index.len() > self.max;
            if !too_many && now_ms - at_ms < self.age_ms {
                break;
            }
            if too_many {
                metrics::counter!("factfold_repeats_evicted_total").increment(1);
            }
            self.forget(identity);
        }
    }

    /// Takes over one that was stored.
    pub(super) fn found(&mut self, identity: Identity, first: First) {
        let decided = first.decided;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // A window has millions of commands at the most.
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = Some((identity, first));
        let places = &self.places;
        self.index.insert_unique(identity.hash(), place, |place| {
            places[*place as usize].as_ref().map_or(0, |(identity, _)| identity.hash())
        });
        self.order.push(Reverse((decided, place)));
    }

    /// The one that was decided first of all, and when that was.
    fn oldest(&mut self) -> Option<(Identity, i64)> {
        loop {
            let Reverse((decided, place)) = self.order.peek()?;
            match &self.places[*place as usize] {
                Some((identity, first)) if first.decided == *decided => {
                    return Some((*identity, first.at_ms));
                }
                _ => self.order.pop(),
            };
        }
    }

    fn forget(&mut self, identity: Identity) {
        let places = &self.places;
        let there = self.index.find_entry(identity.hash(), |place| holds(places, *place, identity));
        let Ok(there) = there else { return };
        let (place, _) = there.remove();
        if let Some((_, first)) = self.places[place as usize].take() {
            self.note(first.decided, identity);
        }
        self.free.push(place);
    }

    fn note(&mut self, decided: i64, identity: Identity) {
        self.changes.iter_mut().for_each(|changes| changes.push((decided, identity)));
    }

    /// How much changed since it was stored.
    pub(super) fn changed(&self) -> usize {
        self.changes.as_ref().map_or(0, Vec::len)
    }

    /// Hands out what changed since the last time, to be stored under where it was decided: what came, and `None` for what
    /// went.
    pub(super) fn store(&mut self, mut each: impl FnMut(i64, Option<(Identity, &First)>)) {
        let Some(mut changes) = self.changes.take() else { return };
        changes.sort_unstable();
        changes.dedup();
        for (decided, identity) in changes.drain(..) {
            let known = self.find(identity).filter(|first| first.decided == decided);
            each(decided, known.map(|first| (identity, first)));
        }
        self.changes = Some(changes);
    }
}

/// Whether this place is that identity's.
fn holds(places: &[Option<(Identity, First)>], place: u32, identity: Identity) -> bool {
    places[place as usize].as_ref().is_some_and(|(other, _)| *other == identity)
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
        assert_eq!(repeats.index.len(), 1, "what is too old is forgotten");
    }

    #[test]
    fn the_window_never_grows_past_its_bound() {
        let mut repeats = Repeats::new(3, Duration::from_secs(60), false);
        // Also when those that gave events are read before those that did not.
        for n in [0, 2, 4, 6, 8, 1, 3, 5, 7, 9] {
            repeats.insert(identity(n), first(n as i64));
        }
        // Room for one that comes before the oldest goes.
        assert_eq!((repeats.index.len(), repeats.places.len(), repeats.order.len()), (3, 4, 3));
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

    #[test]
    fn what_changed_is_stored_once() {
        let stored = |repeats: &mut Repeats| {
            let mut stored = Vec::new();
            repeats.store(|decided, first| stored.push((decided, first.map(|(identity, _)| identity))));
            stored
        };
        let mut repeats = Repeats::new(2, Duration::from_secs(60), true);
        (0..3).for_each(|n| repeats.insert(identity(n), first(n as i64)));
        let known = [(0, None), (1, Some(identity(1))), (2, Some(identity(2)))];
        assert_eq!(stored(&mut repeats), known);
        assert_eq!((repeats.changed(), stored(&mut repeats)), (0, vec![]));
        // The same command again, decided later.
        repeats.insert(identity(1), first(7));
        assert_eq!(stored(&mut repeats), [(1, None), (7, Some(identity(1)))]);
    }

    #[test]
    fn a_remembered_command_is_small() {
        assert_eq!(size_of::<Option<(Identity, First)>>(), 64);
    }
}
