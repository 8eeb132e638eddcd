//! What a decider's worker keeps of one partition: the states of its aggregates, the commands decided lately, and how far
//! it has come. A cache of the log: folded from it at takeover, and changed only after a commit (rule 17).
//!
//! [`super::hydrate`] folds it from the log, [`super::keep`] stores it.

use std::{collections::HashMap, time::Duration, time::Instant};

use factfold_schemas::topics::Topic;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{
    repeats::{First, Identity, Repeats},
    streams::Streams,
};
use crate::{
    decider::{Decider, Entry},
    worker::{
        processor::Mark,
        settings::Settings,
        store::{Binding, Progress, Shelf},
    },
};

/// One partition of a service.
pub struct Partition<D: Decider> {
    pub(super) commands: (Topic, i32),
    pub(super) streams: Streams<D>,
    pub(super) repeats: Repeats,
    pub(super) progress: Progress,
    pub(super) events: Trail,
    pub(super) outcomes: Trail,
    pub(super) draft: Draft<D>,
    pub(super) limits: Limits,
    /// Where it is stored, if it is.
    pub(super) shelf: Option<(Shelf, Binding)>,
    /// Whether it was begun with what is stored there.
    pub(super) is_resumed: bool,
    /// Whether something changed that is not stored.
    pub(super) is_ahead: bool,
    pub(super) stored_at: Instant,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) repeats_max: usize,
    pub(super) repeats_age: Duration,
    pub(super) live_max: usize,
}

/// How far one of the partition's histories is folded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trail {
    /// The last record that is contained in the state.
    pub(super) last: Option<Mark>,
    /// More is contained, but it is not known up to where.
    pub(super) is_unsure: bool,
    /// The record that has to come first, since the stored state contains it.
    pub(super) awaited: Option<Mark>,
}

/// What the open transaction would change.
pub(super) struct Draft<D: Decider> {
    streams: FxHashMap<D::Id, Entry<D::State>>,
    repeats: Vec<(Identity, First)>,
    /// Where in `repeats` an identity is.
    index: HashMap<Identity, usize, FxBuildHasher>,
    progress: Progress,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        let Settings { repeats_max, repeats_age, live_max, .. } = *settings;
        Self { repeats_max, repeats_age, live_max }
    }
}

impl<D: Decider> Partition<D> {
    /// A partition of which nothing is known yet.
    pub(super) fn new(commands: (Topic, i32), limits: Limits, shelf: Option<(Shelf, Binding)>) -> Self {
        Self {
            commands,
            streams: Streams::new(shelf.is_some()),
            repeats: Repeats::new(limits.repeats_max, limits.repeats_age, shelf.is_some()),
            progress: Progress::default(),
            events: Trail::default(),
            outcomes: Trail::default(),
            draft: Draft::new(Progress::default()),
            limits,
            shelf,
            is_resumed: false,
            is_ahead: false,
            stored_at: Instant::now(),
        }
    }

    /// Whether the record at this offset has left its trace (rule 10, the exact guard).
    pub(super) fn has_decided(&self, offset: i64) -> bool {
        self.draft.progress.decided.is_some_and(|decided| offset <= decided)
    }

    /// The offset of the last command that gave events.
    pub(super) fn gave_events(&self) -> Option<i64> {
        self.draft.progress.gave_events
    }

    /// Whether the open transaction has this aggregate, whatever else is known of it.
    pub(super) fn has_drafted(&self, id: D::Id) -> bool {
        self.draft.streams.contains_key(&id)
    }

    /// The aggregate, as the open transaction would leave it. It must have been [loaded](Self::load).
    pub(super) fn entry(&self, id: D::Id) -> Option<&Entry<D::State>> {
        self.draft.streams.get(&id).or_else(|| self.streams.get(id))
    }

    /// The first command under this identity.
    pub(super) fn first(&self, identity: Identity, now_ms: i64) -> Option<&First> {
        let drafted = self.draft.index.get(&identity).map(|index| &self.draft.repeats[*index].1);
        drafted.or_else(|| self.repeats.get(identity, now_ms))
    }

    /// This aggregate changed.
    pub(super) fn change(&mut self, id: D::Id, entry: Entry<D::State>) {
        self.draft.streams.insert(id, entry);
    }

    /// This command was decided, and its repeats get the same answer.
    pub(super) fn remember(&mut self, identity: Identity, first: First) {
        self.draft.index.insert(identity, self.draft.repeats.len());
        self.draft.repeats.push((identity, first));
    }

    /// The command at this offset left its trace.
    pub(super) fn decided(&mut self, offset: i64, gave_events: bool) {
        self.draft.progress.decided = Some(offset);
        if gave_events {
            self.draft.progress.gave_events = Some(offset);
        }
    }

    /// What the transaction changed is true.
    pub(super) fn commit(&mut self) {
        self.progress = self.draft.progress;
        let draft = std::mem::replace(&mut self.draft, Draft::new(self.progress));
        draft.streams.into_iter().for_each(|(id, entry)| self.streams.set(id, Some(entry)));
        draft.repeats.into_iter().for_each(|(identity, first)| self.repeats.insert(identity, first));
        self.is_ahead = true;
    }

    /// What the transaction would have changed never was.
    pub(super) fn discard(&mut self) {
        self.draft = Draft::new(self.progress);
    }

    /// The history whose topic this is.
    pub(super) fn trail(&mut self, topic: Topic) -> Option<&mut Trail> {
        let service = self.commands.0.service;
        if topic == service.events() {
            Some(&mut self.events)
        } else if topic == service.outcomes() {
            Some(&mut self.outcomes)
        } else {
            None
        }
    }
}

impl Trail {
    /// The state contains everything up to this record; `None` when nobody knows which it is.
    pub(super) fn reached(&mut self, mark: Option<Mark>) {
        self.is_unsure = mark.is_none();
        self.last = mark.or(self.last);
    }
}

impl<D: Decider> Draft<D> {
    pub(super) fn new(progress: Progress) -> Self {
        Self { streams: FxHashMap::default(), repeats: Vec::new(), index: HashMap::default(), progress }
    }
}
