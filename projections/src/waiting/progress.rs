//! How far each read model has come, in this process's memory: one number for each partition that somebody asked about
//! or that has moved, and everybody who waits for it is woken when it moves.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use factfold_schemas::topics::Topic;
use tokio::sync::watch;

use crate::{Build, Projection};

/// A partition of an events or outcomes topic, as a read model sees it.
pub(crate) type Place = (Projection, Topic, i32);

/// What is reached before anything is folded.
const NOTHING: i64 = -1;

/// The decided positions that are folded.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    places: Mutex<HashMap<Place, watch::Sender<i64>>>,
    /// The builds that are shown.
    shown: Mutex<HashSet<Build>>,
}

impl Progress {
    /// The highest decided offset that is folded there; it changes as it rises.
    pub(crate) fn watch(&self, place: Place) -> watch::Receiver<i64> {
        self.with(place, watch::Sender::subscribe)
    }

    /// These builds are shown, and no others.
    pub(crate) fn show(&self, builds: HashSet<Build>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = builds;
    }

    /// Whether this build is shown.
    pub(crate) fn shows(&self, build: Build) -> bool {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).contains(&build)
    }

    /// It has come at least this far.
    pub(crate) fn raise(&self, place: Place, decided: i64) {
        self.with(place, |reached| {
            reached.send_if_modified(|reached| {
                let rises = decided > *reached;
                *reached = decided.max(*reached);
                rises
            })
        });
    }

    /// It stands exactly here, and nowhere else: what was known before may be of a database that is gone.
    pub(crate) fn replace(&self, all: impl Iterator<Item = (Place, i64)>) {
        let all: HashMap<_, _> = all.collect();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for place in all.keys() {
            places.entry(*place).or_insert_with(|| watch::Sender::new(NOTHING));
        }
        for (place, reached) in places.iter() {
            let now = all.get(place).copied().unwrap_or(NOTHING);
            reached.send_if_modified(|reached| std::mem::replace(reached, now) != now);
        }
    }

    fn with<T>(&self, place: Place, act: impl FnOnce(&watch::Sender<i64>) -> T) -> T {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        act(places.entry(place).or_insert_with(|| watch::Sender::new(NOTHING)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factfold_schemas::topics::Service;

    #[test]
    fn progress_rises_until_it_is_read_anew() {
        let (progress, place) = (Progress::default(), (Projection::Goods, Service::Goods.events(), 0));
        let mut watched = progress.watch(place);
        progress.raise(place, 7);
        progress.raise(place, 5);
        assert!(watched.has_changed().expect("it lives"));
        assert_eq!(*watched.borrow_and_update(), 7);
        progress.raise(place, 7);
        assert!(!watched.has_changed().expect("it lives"), "nobody is woken for nothing");
        progress.replace([(place, 3)].into_iter());
        assert_eq!(*watched.borrow_and_update(), 3);
        progress.replace(std::iter::empty());
        assert_eq!(*watched.borrow(), NOTHING);
    }
}
