//! What a bound function keeps, by key, of one partition of its events: a cache of its topic, folded from it at takeover and
//! changed only after a commit (rule 17).
//!
//! All bindings share the topic; each folds what is its own of the partition with the same number.

use std::ops::Range;

use factfold_schemas::{
    cloudevents::Incoming, functions::STATE, letter::POSITION, position::Position, topics::Topic,
};
use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::value::RawValue;

use crate::worker::{
    error::Error,
    processor::{Hydrate, Start, TopicPartition},
};

/// What follows the group in the key of the word that it has begun.
const BEGUN: &str = "!begun";

/// The key of a state on its topic.
pub(super) fn key(group: &str, stream: &str) -> String {
    format!("{group}/{stream}")
}

/// The key of the word that the event of this letter was given once more. (A group has no `!`.)
pub(super) fn key_of_letter(group: &str, letter: Position) -> String {
    format!("{group}!{letter}")
}

/// The key of the word that the function has begun in the partition.
pub(super) fn key_of_begin(group: &str) -> String {
    format!("{group}{BEGUN}")
}

/// The states of one partition.
#[derive(Debug)]
pub struct States {
    of: TopicPartition,
    group: String,
    /// From which time on the function is given events; from the first one on where none is named.
    from: Option<Timestamp>,
    states: FxHashMap<Box<str>, Box<RawValue>>,
    /// What the open transaction would change.
    draft: FxHashMap<Box<str>, Option<Box<RawValue>>>,
    /// Whether it is written that the function has begun here: where that is so, and its offset is gone, nobody knows what it was
    /// given.
    has_begun: bool,
    /// Whether the open transaction writes it.
    draft_begun: bool,
    /// The letters whose events were given once more.
    letters: FxHashSet<Position>,
    /// Of these, the one of the open transaction.
    draft_letter: Option<Position>,
    /// The highest offset that a state comes from.
    decided: Option<i64>,
}

impl States {
    /// A partition of which nothing is known yet.
    pub(super) fn new(of: TopicPartition, group: String, from: Option<Timestamp>) -> Self {
        let (states, draft, letters) = (FxHashMap::default(), FxHashMap::default(), FxHashSet::default());
        Self {
            of,
            group,
            from,
            states,
            draft,
            has_begun: false,
            draft_begun: false,
            letters,
            draft_letter: None,
            decided: None,
        }
    }

    /// The state of this key, as the open transaction would leave it.
    pub(super) fn get(&self, stream: &str) -> Option<&RawValue> {
        match self.draft.get(stream) {
            Some(drafted) => drafted.as_deref(),
            None => self.states.get(stream).map(Box::as_ref),
        }
    }

    /// This state changed.
    pub(super) fn set(&mut self, stream: &str, state: Option<Box<RawValue>>) {
        self.draft.insert(stream.into(), state);
    }

    /// Whether it is written that the function has begun.
    pub(super) fn is_said_to_have_begun(&self) -> bool {
        self.has_begun
    }

    /// The open transaction writes that the function has begun.
    pub(super) fn began(&mut self) {
        self.draft_begun = true;
    }

    /// Whether the event of this letter was given once more.
    pub(super) fn has_given(&self, letter: Position) -> bool {
        self.letters.contains(&letter)
    }

    /// The event of this letter was given once more.
    pub(super) fn gave(&mut self, letter: Position) {
        self.draft_letter = Some(letter);
    }

    /// What the transaction changed is true. Returns the letter whose event was given once more in it.
    pub(super) fn commit(&mut self) -> Option<Position> {
        self.has_begun |= std::mem::take(&mut self.draft_begun);
        let letter = self.draft_letter.take();
        self.letters.extend(letter);
        for (stream, state) in std::mem::take(&mut self.draft) {
            keep(&mut self.states, stream, state);
        }
        letter
    }

    /// What the transaction would have changed never was.
    pub(super) fn discard(&mut self) {
        self.draft_begun = false;
        self.draft_letter = None;
        self.draft.clear();
    }
}

fn keep(states: &mut FxHashMap<Box<str>, Box<RawValue>>, stream: Box<str>, state: Option<Box<RawValue>>) {
    match state {
        Some(state) => states.insert(stream, state),
        None => states.remove(&stream),
    };
}

impl Hydrate for States {
    fn histories(_: Topic) -> Vec<Topic> {
        vec![STATE]
    }

    fn start(&self) -> Start {
        self.from.map_or(Start::Beginning, Start::At)
    }

    fn begin(&mut self, _: i64, histories: &[(Topic, Range<i64>)]) -> Result<Vec<i64>, Error> {
        *self = Self::new(self.of, std::mem::take(&mut self.group), self.from);
        Ok(histories.iter().map(|(_, range)| range.start).collect())
    }

    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error> {
        let key = record.key.and_then(|key| std::str::from_utf8(key).ok()?.strip_prefix(self.group.as_str()));
        let Some(key) = key else { return Ok(()) };
        if key == BEGUN {
            self.has_begun = true;
            return Ok(());
        }
        let Some(stream) = key.strip_prefix('/') else {
            self.letters.extend(key.strip_prefix('!').and_then(|letter| letter.parse::<Position>().ok()));
            return Ok(());
        };
        let state = record.value.map(serde_json::from_slice::<Box<RawValue>>).transpose();
        match state {
            Ok(state) => keep(&mut self.states, stream.into(), state),
            Err(error) => {
                let at = Position::new(topic, record.partition, record.offset);
                tracing::error!(kafka.position = %at, %error, "this is no state: it is passed over");
                return Ok(());
            }
        }
        let header = record.headers.iter().find(|(name, _)| *name == POSITION);
        let text = header.and_then(|(_, value)| std::str::from_utf8(value).ok());
        let position = text.and_then(|text| text.parse::<Position>().ok());
        let ours = position.filter(|position| (position.topic, position.partition) == self.of);
        self.decided = self.decided.max(ours.map(|position| position.offset));
        Ok(())
    }

    fn has_begun(&self) -> bool {
        // What has a state has begun, also where an earlier version did not say so.
        self.has_begun || self.decided.is_some()
    }

    fn finish(&mut self) -> Result<Option<i64>, Error> {
        Ok(self.decided)
    }

    /// Nothing is stored that could be to blame.
    fn distrust(&mut self) -> bool {
        false
    }
}
