//! What a decider's worker keeps of one partition: the states of its aggregates, the commands decided lately, and how far
//! it has come. A cache of the log: folded from it at takeover, and changed only after a commit (rule 17).

use std::{collections::HashMap, sync::Arc, time::Duration};

use factfold_schemas::{
    cloudevents::Incoming,
    ids::StreamId,
    position::Position,
    record::{Cause, Outcome, Recorded, RecordedOutcome},
    topics::{Topic, TopicKind},
};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::repeats::{First, FirstOutcome, Identity, Repeats};
use crate::{
    decider::{Decider, Entry},
    worker::{error::Error, processor::Hydrate},
};

/// One partition of a service.
pub struct Partition<D: Decider> {
    streams: FxHashMap<D::Id, Entry<D::State>>,
    repeats: Repeats,
    progress: Progress,
    draft: Draft<D>,
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The highest offset that was decided.
    decided: Option<i64>,
    /// The highest offset that gave events.
    gave_events: Option<i64>,
}

/// What the open transaction would change.
struct Draft<D: Decider> {
    streams: FxHashMap<D::Id, Entry<D::State>>,
    repeats: Vec<(Identity, First)>,
    /// Where in `repeats` an identity is.
    index: HashMap<Identity, usize, FxBuildHasher>,
    progress: Progress,
}

impl<D: Decider> Partition<D> {
    /// A partition of which nothing is known yet.
    pub(super) fn new(repeats_max: usize, repeats_age: Duration) -> Self {
        Self {
            streams: FxHashMap::default(),
            repeats: Repeats::new(repeats_max, repeats_age),
            progress: Progress::default(),
            draft: Draft::new(Progress::default()),
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

    /// The aggregate, as the open transaction would leave it.
    pub(super) fn entry(&self, id: D::Id) -> Option<&Entry<D::State>> {
        self.draft.streams.get(&id).or_else(|| self.streams.get(&id))
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
        self.streams.extend(draft.streams);
        draft.repeats.into_iter().for_each(|(identity, first)| self.repeats.insert(identity, first));
    }

    /// What the transaction would have changed never was.
    pub(super) fn discard(&mut self) {
        self.draft = Draft::new(self.progress);
    }

    fn fold_event(&mut self, event: Recorded<D::Event>) -> Result<(), String> {
        let Recorded { stream, version, cause, data } = event;
        let id = D::aggregate(stream.as_str())
            .ok_or_else(|| format!("`{stream}` is no stream of this service"))?;
        let at = cause.time;
        let before = self.streams.remove(&id);
        let expected = before.as_ref().map_or(0, |entry| entry.version) + 1;
        if version != expected {
            return Err(format!("version {version} of {stream} follows version {}", expected - 1));
        }
        self.rises(&stream, version, &cause)?;
        let (created_at, state) = match before {
            Some(entry) => (entry.created_at, Some(entry.state)),
            None => (at, None),
        };
        if let Some(state) = D::evolve(state, &data) {
            self.streams.insert(id, Entry { version, created_at, updated_at: at, state });
        }
        self.progress.gave_events = Some(cause.decided.offset);
        self.keep(&stream, &cause, FirstOutcome::Accepted(version));
        Ok(())
    }

    /// Decided positions rise, and no command takes effect twice: several events of one command follow each other in one
    /// stream, under one position.
    fn rises(&self, stream: &StreamId, version: u64, cause: &Cause) -> Result<(), String> {
        let offset = cause.decided.offset;
        let last = self.progress.gave_events.unwrap_or(-1);
        let identity = Identity::new(stream.as_str(), &cause.source, &cause.command_id);
        let first = self.repeats.get(identity, cause.time.as_millisecond());
        match first {
            Some(first) if first.decided != offset => Err(format!(
                "command {} took effect twice, decided at offsets {} and {offset}",
                cause.command_id, first.decided
            )),
            // A further event of the same command.
            Some(first) if matches!(first.outcome, FirstOutcome::Accepted(v) if v + 1 == version) => Ok(()),
            _ if offset > last => Ok(()),
            _ => Err(format!("decided position {} follows {last}", cause.decided)),
        }
    }

    fn fold_outcome(&mut self, outcome: RecordedOutcome) {
        let RecordedOutcome { stream, cause, outcome, .. } = outcome;
        let first = match outcome {
            // This id belongs to another command, which came before.
            Outcome::Rejected(rejected) if rejected.rejection.name == super::COMMAND_ID_REUSED => None,
            Outcome::Rejected(rejected) => Some(FirstOutcome::Rejected(Arc::new(rejected.rejection))),
            Outcome::NoChange(_) => Some(FirstOutcome::NoChange),
            Outcome::Repeated(_) | Outcome::Forwarded(_) | Outcome::DeadLettered(_) => None,
        };
        if let Some((first, stream)) = first.zip(stream) {
            self.keep(&stream, &cause, first);
        }
    }

    fn keep(&mut self, stream: &StreamId, cause: &Cause, outcome: FirstOutcome) {
        let identity = Identity::new(stream.as_str(), &cause.source, &cause.command_id);
        let at_ms = cause.time.as_millisecond();
        let first = First { digest: cause.digest, decided: cause.decided.offset, at_ms, outcome };
        self.repeats.insert(identity, first);
    }
}

impl<D: Decider> Hydrate for Partition<D> {
    const FOLDS: bool = true;

    fn histories(input: Topic) -> Vec<Topic> {
        vec![input.service.events(), input.service.outcomes()]
    }

    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error> {
        let position = Position::new(topic, record.partition, record.offset);
        let inconsistent = |what| Error::Inconsistent { position, what };
        let unreadable = |error: factfold_schemas::record::Unreadable| inconsistent(error.to_string());
        let decided = if topic.kind == TopicKind::Events {
            let event = Recorded::read(record).map_err(unreadable)?;
            let decided = event.cause.decided.offset;
            self.fold_event(event).map_err(inconsistent)?;
            decided
        } else {
            let outcome = RecordedOutcome::read(record).map_err(unreadable)?;
            let decided = outcome.cause.decided.offset;
            self.fold_outcome(outcome);
            decided
        };
        self.progress.decided = self.progress.decided.max(Some(decided));
        Ok(())
    }

    fn finish(&mut self) -> Option<i64> {
        self.repeats.sort();
        self.draft = Draft::new(self.progress);
        self.progress.decided
    }
}

impl<D: Decider> Draft<D> {
    fn new(progress: Progress) -> Self {
        Self { streams: FxHashMap::default(), repeats: Vec::new(), index: HashMap::default(), progress }
    }
}

impl<D: Decider> Clone for Partition<D> {
    fn clone(&self) -> Self {
        Self {
            streams: self.streams.clone(),
            repeats: self.repeats.clone(),
            progress: self.progress,
            draft: Draft::new(self.progress),
        }
    }
}
