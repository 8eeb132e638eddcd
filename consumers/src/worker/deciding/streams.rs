//! The aggregates of one partition in memory: all of them, or those that were used lately when there is a store for the
//! others. What the store has not yet is never dropped.

use std::collections::hash_map::Entry as Place;

use rustc_hash::FxHashMap;

use crate::decider::{Decider, Entry};

/// The aggregates of one partition.
pub(super) struct Streams<D: Decider> {
    live: FxHashMap<D::Id, Slot<D::State>>,
    /// Whether changes are written down for a store.
    is_stored: bool,
    /// Those that changed since the last time they were stored.
    changed: Vec<D::Id>,
    /// Rises each time they are stored: tells what was used and changed when.
    now: u32,
    /// Whether every aggregate is in memory, so that one that is not there does not exist.
    is_complete: bool,
}

struct Slot<S> {
    /// `None` when it existed once.
    entry: Option<Entry<S>>,
    used: u32,
    changed: u32,
}

impl<D: Decider> Streams<D> {
    /// None yet, and there are no others.
    pub(super) fn new(is_stored: bool) -> Self {
        Self { live: FxHashMap::default(), is_stored, changed: Vec::new(), now: 1, is_complete: true }
    }

    /// None in memory yet; a store has them.
    pub(super) fn in_store() -> Self {
        Self { is_complete: false, ..Self::new(true) }
    }

    /// From here on there is no store.
    pub(super) fn keep_all(&mut self) {
        (self.is_stored, self.changed) = (false, Vec::new());
    }

    /// Whether every aggregate is in memory.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// This aggregate, if it is in memory.
    pub(super) fn get(&self, id: D::Id) -> Option<&Entry<D::State>> {
        self.live.get(&id)?.entry.as_ref()
    }

    /// Whether it is known without a store what this aggregate is. It counts as used.
    pub(super) fn knows(&mut self, id: D::Id) -> bool {
        match self.live.get_mut(&id) {
            Some(slot) => slot.used = self.now,
            None => return self.is_complete,
        }
        true
    }

    /// The store has this one.
    pub(super) fn found(&mut self, id: D::Id, entry: Entry<D::State>) {
        self.live.insert(id, Slot { entry: Some(entry), used: self.now, changed: 0 });
    }

    /// Takes this aggregate out, to change it and [put](Self::set) it back.
    pub(super) fn take(&mut self, id: D::Id) -> Option<Entry<D::State>> {
        self.live.get_mut(&id)?.entry.take()
    }

    /// This aggregate is now so, or no more.
    pub(super) fn set(&mut self, id: D::Id, entry: Option<Entry<D::State>>) {
        let now = self.now;
        let slot = Slot { entry, used: now, changed: now };
        let changed_before = match self.live.entry(id) {
            Place::Occupied(mut place) => place.insert(slot).changed,
            Place::Vacant(place) => {
                place.insert(slot);
                0
            }
        };
        if self.is_stored && changed_before != now {
            self.changed.push(id);
        }
    }

    /// How many changed since they were stored.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Hands out what changed since the last time, to be stored.
    pub(super) fn store(&mut self, mut each: impl FnMut(D::Id, Option<&Entry<D::State>>)) {
        for id in self.changed.drain(..) {
            each(id, self.live.get(&id).and_then(|slot| slot.entry.as_ref()));
        }
        self.now += 1;
    }

    /// Drops the aggregates that were not used for longest, if there are many more than so many. Those that the store has
    /// not yet stay.
    pub(super) fn evict(&mut self, live_max: usize) {
        // Going through all of them costs, so it is done for an eighth of them at once.
        if !self.is_stored || self.live.len() <= live_max + live_max / 8 {
            return;
        }
        let now = self.now;
        let mut used: Vec<u32> =
            self.live.values().filter(|slot| slot.changed < now).map(|slot| slot.used).collect();
        let wanted = (self.live.len() - live_max).min(used.len());
        let Some(last) = wanted.checked_sub(1) else { return };
        let (before, &mut threshold, _) = used.select_nth_unstable(last);
        let mut of_threshold = wanted - before.iter().filter(|used| **used < threshold).count();
        self.live.retain(|_, slot| {
            let goes =
                slot.changed < now && (slot.used < threshold || (slot.used == threshold && of_threshold > 0));
            if goes && slot.used == threshold {
                of_threshold -= 1;
            }
            !goes
        });
        self.is_complete = false;
    }
}
