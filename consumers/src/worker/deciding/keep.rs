//! Storing a partition, and finding it again: what changed goes to the store in batches between transactions, what is not in
//! memory comes from there, and where the store fails the log takes its place.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use factfold_schemas::topics::Topic;

use super::{
    partition::{Partition, Trail},
    streams::Streams,
};
use crate::{
    decider::Decider,
    worker::{
        error::Error,
        store::{Fault, Meta},
    },
};

/// Until so many changes are gathered, storing them waits …
const CHANGES_MAX: usize = 2_000;
/// … for so long. What a crash takes is folded again.
const STORE_EVERY: Duration = Duration::from_secs(2);

impl<D: Decider> Partition<D> {
    /// Brings this aggregate into memory, if only the store has it.
    pub(super) fn load(&mut self, id: D::Id) -> Result<(), Error> {
        if self.has_drafted(id) || self.streams.knows(id) {
            return Ok(());
        }
        let Some((shelf, _)) = &self.shelf else { return Err(self.lost(Fault::Broken)) };
        match shelf.aggregate(&id).map_err(|fault| self.lost(fault))? {
            Some(entry) => {
                metrics::counter!("factfold_state_store_hits_total").increment(1);
                self.streams.found(id, entry);
            }
            None => metrics::counter!("factfold_state_store_misses_total").increment(1),
        }
        Ok(())
    }

    /// Begins with what is stored, if it fits; else with nothing.
    pub(super) fn start_from_store(
        &mut self,
        next: i64,
        histories: &[(Topic, Range<i64>)],
    ) -> Result<(), Error> {
        self.reset();
        match self.try_store(next, histories) {
            Ok(()) => Ok(()),
            Err(Fault::Superseded) => Err(Error::Superseded),
            Err(Fault::Broken) => {
                self.shelf = None;
                self.reset();
                Ok(())
            }
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.commands, self.limits, self.shelf.take());
    }

    fn try_store(&mut self, next: i64, histories: &[(Topic, Range<i64>)]) -> Result<(), Fault> {
        let Some((shelf, binding)) = &self.shelf else { return Ok(()) };
        let range = |topic: Topic| {
            histories.iter().find(|(history, _)| *history == topic).map_or(0..0, |(_, range)| range.clone())
        };
        let service = self.commands.0.service;
        let (events, outcomes) = (range(service.events()), range(service.outcomes()));
        let Some(meta) = shelf.meta()? else { return shelf.clear() };
        if let Some(reason) = meta.misfit(binding, next, &events, &outcomes) {
            let (topic, partition) = self.commands;
            tracing::warn!(
                kafka.topic = %topic, kafka.partition = partition, reason, "the stored state is thrown away"
            );
            return shelf.clear();
        }
        shelf.repeats(|(identity, first)| self.repeats.found(identity, first))?;
        self.is_resumed = true;
        self.streams = Streams::in_store();
        self.progress = meta.progress;
        self.events = Trail { last: meta.events, ..Trail::default() };
        self.outcomes = Trail { last: meta.outcomes, ..Trail::default() };
        Ok(())
    }

    /// What was folded does not add up. As long as everything that it stands on came from the log, the log is to blame.
    pub(super) fn doubt_store(&mut self) -> bool {
        let Some((shelf, _)) = self.shelf.as_ref().filter(|_| !self.streams.is_complete()) else {
            return false;
        };
        // A store that was begun anew, and is wrong again, is not given a third chance.
        if !self.is_resumed || shelf.clear().is_err() {
            self.shelf = None;
        }
        true
    }

    /// While folding: stores when much has changed, so that memory stays bounded.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        if self.changes() >= CHANGES_MAX {
            self.save()?;
            self.streams.evict(self.limits.live_max);
        }
        Ok(())
    }

    /// Between transactions: stores what changed, if it is time to, and drops from memory what is too much.
    pub(super) fn tidy(&mut self) -> Result<(), Error> {
        let is_broken = self.shelf.as_ref().is_some_and(|(shelf, _)| shelf.is_broken());
        let is_due = self.changes() >= CHANGES_MAX || self.stored_at.elapsed() >= STORE_EVERY;
        if is_broken || is_due {
            self.save()?;
        }
        self.streams.evict(self.limits.live_max);
        Ok(())
    }

    /// Stores what changed, all at once. A store that fails is not used any more; an error says that memory alone is not
    /// enough to go on.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        let stored = match &self.shelf {
            Some((shelf, _)) if shelf.is_broken() => Err(Fault::Broken),
            Some((shelf, binding)) if self.is_ahead && !self.events.is_unsure && !self.outcomes.is_unsure => {
                let mut writes = shelf.writes();
                self.streams.store(|id, entry| writes.aggregate(&id, entry));
                self.repeats.store(|decided, first| writes.repeat(decided, first));
                writes.meta(&Meta {
                    binding: binding.clone(),
                    progress: self.progress,
                    events: self.events.last,
                    outcomes: self.outcomes.last,
                });
                shelf.write(writes)
            }
            _ => return Ok(()),
        };
        (self.is_ahead, self.stored_at) = (false, Instant::now());
        match stored {
            Ok(()) => Ok(()),
            Err(Fault::Broken) if self.streams.is_complete() => {
                self.shelf = None;
                self.streams.keep_all();
                self.repeats.keep_all();
                Ok(())
            }
            Err(fault) => Err(self.lost(fault)),
        }
    }

    fn changes(&self) -> usize {
        self.streams.changed() + self.repeats.changed()
    }

    fn lost(&self, fault: Fault) -> Error {
        match fault {
            Fault::Superseded => Error::Superseded,
            Fault::Broken => {
                let (topic, partition) = self.commands;
                Error::StateLost { topic, partition }
            }
        }
    }
}
