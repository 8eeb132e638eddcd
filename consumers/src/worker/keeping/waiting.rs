//! What waits in one partition: when each command is due, in memory; the commands themselves on disk, where there is a store
//! for them. A cache of the topic, which is folded at takeover.

use std::{collections::BTreeSet, ops::Range};

use factfold_schemas::{cloudevents::Incoming, position::Position, timer::Timer, topics::Topic};
use rustc_hash::FxHashMap;

use super::read::{Change, Held, read};
use crate::worker::{
    error::Error,
    processor::{Hydrate, TopicPartition},
    store::{Fault, Shelf},
};

/// So many bytes of commands are gathered before they are stored.
const GATHERED_MAX: usize = 1 << 20;

/// When a command is due, and the offset of the record that was put off. Most of a keeper's memory is these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    ms: i64,
    scheduled: i64,
}

impl Due {
    /// Of this timer: the first millisecond that is not too early.
    pub(super) fn of(timer: Timer) -> Self {
        let ms = timer.due.as_millisecond();
        let is_later = timer.due.as_nanosecond() > i128::from(ms) * 1_000_000;
        Self { ms: ms + i64::from(is_later), scheduled: timer.scheduled.offset }
    }

    /// In milliseconds since 1970.
    pub(super) fn ms(self) -> i64 {
        self.ms
    }
}

/// What waits in one partition.
pub struct Waiting {
    of: TopicPartition,
    due: BTreeSet<Due>,
    /// Commands that are not stored, by the offsets that were put off. Without a store all of them are here.
    gathered: FxHashMap<i64, Held>,
    gathered_bytes: usize,
    /// Those that are stored, and wait no more.
    gone: Vec<i64>,
    shelf: Option<Shelf>,
    /// What lies before this offset was folded at takeover.
    folded_to: i64,
    /// By how much the broker's clock seems to be behind ours.
    behind_ms: i64,
}

impl Waiting {
    /// A partition of which nothing is known yet.
    pub(super) fn new(of: TopicPartition, shelf: Option<Shelf>) -> Self {
        Self {
            of,
            due: BTreeSet::new(),
            gathered: FxHashMap::default(),
            gathered_bytes: 0,
            gone: Vec::new(),
            shelf,
            folded_to: 0,
            behind_ms: 0,
        }
    }

    /// How many commands wait.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// How many of them are in memory as a whole.
    #[cfg(test)]
    pub(super) fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// Whether the record at this offset was folded at takeover. A timer that it set may be gone since.
    pub(super) fn has_folded(&self, offset: i64) -> bool {
        offset < self.folded_to
    }

    /// Those that are due, in the order of their times.
    pub(super) fn due(&self, now_ms: i64) -> impl Iterator<Item = Due> {
        let until = now_ms - self.behind_ms;
        self.due.iter().copied().take_while(move |due| due.ms <= until)
    }

    /// When the first of them is due by our clock.
    pub(super) fn next_due_ms(&self) -> Option<i64> {
        self.due.first().map(|due| due.ms + self.behind_ms)
    }

    /// The command that is due.
    pub(super) fn held(&self, due: Due) -> Result<Held, Error> {
        if let Some(held) = self.gathered.get(&due.scheduled) {
            return Ok(held.clone());
        }
        let shelf = self.shelf.as_ref().ok_or_else(|| self.lost(Fault::Broken))?;
        let held = shelf.timer(due.scheduled).map_err(|fault| self.lost(fault))?;
        held.ok_or_else(|| self.lost(Fault::Broken))
    }

    /// A record of the topic says so.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Gone(timer) => self.remove(Due::of(timer)),
            Change::Set(held) => {
                let due = Due::of(held.timer);
                if self.due.insert(due) {
                    self.gathered_bytes += held.bytes();
                    self.gathered.insert(due.scheduled, held);
                }
            }
        }
    }

    /// This one waits no more.
    pub(super) fn remove(&mut self, due: Due) {
        if !self.due.remove(&due) {
            return;
        }
        match self.gathered.remove(&due.scheduled) {
            Some(held) => self.gathered_bytes -= held.bytes(),
            None => self.gone.push(due.scheduled),
        }
    }

    /// What we wrote after our clock said `at_ms` got this time from the broker.
    pub(super) fn saw_clock(&mut self, at_ms: i64, broker_ms: i64) {
        self.behind_ms = (at_ms - broker_ms).max(0);
    }

    /// Stores what was gathered, when that is much.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        let Some(shelf) = &self.shelf else { return Ok(()) };
        let gone_bytes = self.gone.len() * size_of::<Due>();
        if shelf.is_broken() {
            return Err(self.lost(Fault::Broken));
        }
        if self.gathered_bytes + gone_bytes < GATHERED_MAX {
            return Ok(());
        }
        let mut writes = shelf.writes();
        self.gone.drain(..).for_each(|scheduled| writes.timer::<Held>(scheduled, None));
        self.gathered.iter().for_each(|(scheduled, held)| writes.timer(*scheduled, Some(held)));
        shelf.write(writes).map_err(|fault| self.lost(fault))?;
        self.gathered.clear();
        self.gathered_bytes = 0;
        Ok(())
    }

    fn lost(&self, fault: Fault) -> Error {
        let (topic, partition) = self.of;
        match fault {
            Fault::Superseded => Error::Superseded,
            Fault::Broken => Error::StateLost { topic, partition },
        }
    }
}

impl Hydrate for Waiting {
    fn histories(input: Topic) -> Vec<Topic> {
        vec![input]
    }

    fn begin(&mut self, _: i64, histories: &[(Topic, Range<i64>)]) -> Result<Vec<i64>, Error> {
        let cleared = self.shelf.as_ref().map_or(Ok(()), Shelf::clear);
        if cleared == Err(Fault::Superseded) {
            return Err(Error::Superseded);
        }
        *self = Self::new(self.of, self.shelf.take().filter(|_| cleared.is_ok()));
        self.folded_to = histories.iter().map(|(_, range)| range.end).max().unwrap_or(0);
        Ok(histories.iter().map(|(_, range)| range.start).collect())
    }

    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error> {
        if let Some(change) = read(Position::new(topic, record.partition, record.offset), record) {
            self.change(change);
        }
        self.make_room()
    }

    fn finish(&mut self) -> Result<Option<i64>, Error> {
        Ok(None)
    }

    /// Only a store can be to blame.
    fn distrust(&mut self) -> bool {
        self.shelf.take().is_some()
    }
}
