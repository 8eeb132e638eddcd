//! Which commands were decided lately, so that a repeat gets the first one's answer (rule 10). Bounded by time and by count.

use std::{
    collections::{HashMap, VecDeque},
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
use sha2::{Digest as _, Sha256};

/// Stream, source and id of a command, in 128 bits of SHA-256: whoever sends commands chooses these texts, and must not
/// be able to make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub(super) enum FirstOutcome {
    /// The version of its last event.
    Accepted(u64),
    /// Nothing to do.
    NoChange,
    /// A rule was broken.
    Rejected(Arc<Rejection>),
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

/// The window of one partition.
#[derive(Debug, Clone)]
pub(super) struct Repeats {
    first: HashMap<Identity, First, FxBuildHasher>,
    /// Oldest first.
    order: VecDeque<(i64, Identity)>,
    max: usize,
    age_ms: i64,
}

impl Repeats {
    /// An empty window of at most `max` commands, none older than `age`.
    pub(super) fn new(max: usize, age: Duration) -> Self {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Self { first: HashMap::default(), order: VecDeque::new(), max, age_ms }
    }

    /// The first command under this identity, if it came less than the window's age before `now_ms`. (Or after it: at
    /// takeover the outcomes may be folded before the events.)
    pub(super) fn get(&self, identity: Identity, now_ms: i64) -> Option<&First> {
        self.first.get(&identity).filter(|first| (now_ms - first.at_ms).abs() < self.age_ms)
    }

    /// Remembers a first command, and forgets what is too old or too much.
    pub(super) fn insert(&mut self, identity: Identity, first: First) {
        let now_ms = first.at_ms;
        self.order.push_back((now_ms, identity));
        self.first.insert(identity, first);
        while let Some(&(at_ms, oldest)) = self.order.front() {
            let too_many = self.order.len() > self.max;
            if !too_many && now_ms - at_ms < self.age_ms {
                break;
            }
            if too_many {
                metrics::counter!("factfold_repeats_evicted_total").increment(1);
            }
            self.order.pop_front();
            // It may have been inserted anew since, after its time.
            if self.first.get(&oldest).is_some_and(|first| first.at_ms == at_ms) {
                self.first.remove(&oldest);
            }
        }
    }

    /// Puts what was rebuilt from two topics, one after the other, in the order of time.
    pub(super) fn sort(&mut self) {
        self.order.make_contiguous().sort_by_key(|(at_ms, _)| *at_ms);
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
        let mut repeats = Repeats::new(100, Duration::from_millis(10));
        repeats.insert(identity(1), first(0));
        assert!(repeats.get(identity(1), 9).is_some());
        assert!(repeats.get(identity(1), 10).is_none());
        repeats.insert(identity(2), first(10));
        assert_eq!(repeats.first.len(), 1, "what is too old is forgotten");
    }

    #[test]
    fn the_window_never_grows_past_its_bound() {
        let mut repeats = Repeats::new(3, Duration::from_secs(60));
        (0..10).for_each(|n| repeats.insert(identity(n), first(n as i64)));
        assert_eq!((repeats.first.len(), repeats.order.len()), (3, 3));
        assert!(repeats.get(identity(9), 9).is_some());
        assert!(repeats.get(identity(6), 9).is_none());
    }

    #[test]
    fn an_identity_that_came_again_after_its_time_stays() {
        let mut repeats = Repeats::new(100, Duration::from_millis(10));
        repeats.insert(identity(1), first(0));
        repeats.insert(identity(1), first(20));
        assert!(repeats.get(identity(1), 21).is_some());
    }
}
