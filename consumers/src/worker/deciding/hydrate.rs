//! Folding a partition from its histories, on top of what is stored if that fits. Each fold checks for itself that the
//! history is whole (section 4); one that does not add up on top of a store is done again without.

use std::{ops::Range, sync::Arc};

use factfold_schemas::{
    cloudevents::Incoming,
    ids::StreamId,
    position::Position,
    record::{Cause, Outcome, Recorded, RecordedOutcome, Unreadable},
    topics::{Topic, TopicKind},
};

use super::{
    COMMAND_ID_REUSED,
    partition::{Draft, Partition},
    repeats::{First, FirstOutcome, Identity},
};
use crate::{
    decider::{Decider, Entry},
    worker::{
        error::Error,
        processor::{Hydrate, Mark},
    },
};

impl<D: Decider> Hydrate for Partition<D> {
    fn histories(input: Topic) -> Vec<Topic> {
        vec![input.service.events(), input.service.outcomes()]
    }

    fn begin(&mut self, next: i64, histories: &[(Topic, Range<i64>)]) -> Result<Vec<i64>, Error> {
        self.start_from_store(next, histories)?;
        let from = |(topic, range): &(Topic, Range<i64>)| {
            let trail = self.trail(*topic)?;
            // Once more, to see that it is still the same.
            trail.awaited = trail.last;
            trail.last.map(|mark| mark.offset).or(Some(range.start))
        };
        Ok(histories.iter().filter_map(from).collect())
    }

    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error> {
        let position = Position::new(topic, record.partition, record.offset);
        let inconsistent = |what| Error::Inconsistent { position, what };
        let unreadable = |error: Unreadable| inconsistent(error.to_string());
        let mark = Mark { offset: record.offset, timestamp_ms: record.timestamp_ms };
        if let Some(trail) = self.trail(topic) {
            if let Some(stored) = trail.awaited.take() {
                let replaced =
                    || inconsistent(format!("the stored state ends with another record: {stored:?}"));
                return if stored == mark { Ok(()) } else { Err(replaced()) };
            }
            trail.reached(Some(mark));
        }
        let decided = if topic.kind == TopicKind::Events {
            let event = Recorded::<D::Event>::read(record).map_err(unreadable)?;
            let decided = event.cause.decided.offset;
            let id = D::aggregate(event.stream.as_str())
                .ok_or_else(|| inconsistent(format!("`{}` is no stream of this service", event.stream)))?;
            self.load(id)?;
            self.fold_event(id, event).map_err(inconsistent)?;
            decided
        } else {
            let outcome = RecordedOutcome::read(record).map_err(unreadable)?;
            let decided = outcome.cause.decided.offset;
            self.fold_outcome(outcome);
            decided
        };
        self.progress.decided = self.progress.decided.max(Some(decided));
        self.is_ahead = true;
        self.make_room()
    }

    fn finish(&mut self) -> Result<Option<i64>, Error> {
        let (topic, partition) = self.commands;
        for (topic, trail) in
            [(topic.service.events(), self.events), (topic.service.outcomes(), self.outcomes)]
        {
            if let Some(Mark { offset, .. }) = trail.awaited {
                let position = Position::new(topic, partition, offset);
                return Err(Error::Inconsistent {
                    position,
                    what: "the last stored record is gone".to_owned(),
                });
            }
        }
        self.draft = Draft::new(self.progress);
        self.save()?;
        Ok(self.progress.decided)
    }

    fn distrust(&mut self) -> bool {
        self.doubt_store()
    }
}

impl<D: Decider> Partition<D> {
    fn fold_event(&mut self, id: D::Id, event: Recorded<D::Event>) -> Result<(), String> {
        let Recorded { stream, version, cause, data } = event;
        let at = cause.time;
        let before = self.streams.take(id);
        let expected = before.as_ref().map_or(0, |entry| entry.version) + 1;
        if version != expected {
            return Err(format!("version {version} of {stream} follows version {}", expected - 1));
        }
        self.rises(&stream, version, &cause)?;
        let (created_at, state) = match before {
            Some(entry) => (entry.created_at, Some(entry.state)),
            None => (at, None),
        };
        let state = D::evolve(state, &data);
        self.streams.set(id, state.map(|state| Entry { version, created_at, updated_at: at, state }));
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
        // What waited for its time had no effect yet.
        match first.filter(|first| !first.waits()) {
            Some(first) if first.decided != offset && self.repeats.had(first, offset) => Err(format!(
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
            Outcome::Rejected(rejected) if rejected.rejection.name == COMMAND_ID_REUSED => None,
            Outcome::Rejected(rejected) => Some(FirstOutcome::Rejected(Arc::new(rejected.rejection))),
            Outcome::NoChange(_) => Some(FirstOutcome::NoChange),
            Outcome::Scheduled(scheduled) => Some(FirstOutcome::scheduled(scheduled.due)),
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
