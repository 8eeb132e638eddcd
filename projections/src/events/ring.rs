//! The newest events of a service, for any number of readers. Each has a place of its own and takes no memory here; one that
//! is so slow that the ring has gone on past it is told so. Readers are never waited for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::place::{Place, Scope};
use crate::log_reader::Kept;

/// How many events are kept at most.
const RECORDS_MAX: usize = 4096;
/// How much memory they take at most, beside the newest one.
const BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) struct Ring {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

struct State {
    kept: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// How many were kept before the first of these.
    dropped: u64,
    /// For each partition: from where on everything is here.
    since: Vec<i64>,
    /// For each partition: what comes next.
    next: Vec<i64>,
}

/// What becomes of a reader who wants to go on from a place.
pub enum Join {
    /// Everything from there on comes.
    Live(Cursor),
    /// The ring begins later: first it must be read to here by other means.
    Behind(Place),
}

/// A reader's place in the ring.
pub struct Cursor {
    ring: Arc<Ring>,
    news: watch::Receiver<()>,
    scope: Scope,
    place: Place,
    sequence: u64,
}

/// The ring has gone on past a reader.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed;

impl Ring {
    /// An empty one: all events from these offsets on will be put here.
    pub(super) fn new(next: Vec<i64>) -> Self {
        let state = State { kept: VecDeque::new(), bytes: 0, dropped: 0, since: next.clone(), next };
        Self { state: Mutex::new(state), news: watch::Sender::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, kept: Kept) {
        let mut state = self.state();
        let at = kept.position();
        let Some(next) = state.next.get_mut(at.partition as usize) else { return };
        *next = at.offset + 1;
        state.bytes += kept.bytes();
        state.kept.push_back(Arc::new(kept));
        while state.kept.len() > 1 && (state.kept.len() > RECORDS_MAX || state.bytes > BYTES_MAX) {
            state.drop_first();
        }
        drop(state);
        self.news.send_replace(());
    }

    /// Begins anew at these offsets: what lies before cannot be had any more, and every reader is let go.
    pub(super) fn restart(&self, next: Vec<i64>) {
        let mut state = self.state();
        state.dropped += state.kept.len() as u64 + 1;
        (state.kept, state.bytes) = (VecDeque::new(), 0);
        (state.since, state.next) = (next.clone(), next);
        drop(state);
        self.news.send_replace(());
    }

    /// Whether everything before this place was seen here.
    pub(super) fn has_come_to(&self, scope: &Scope, place: &Place) -> bool {
        scope.place_in(&self.state().next).covers(place)
    }

    /// Goes on from this place; without one, from now on.
    pub(super) fn join(self: &Arc<Self>, scope: &Scope, place: Option<&Place>) -> Join {
        let state = self.state();
        let now = scope.place_in(&state.next);
        let (place, sequence) = match place {
            None => (now, state.dropped + state.kept.len() as u64),
            Some(place) if place.covers(&scope.place_in(&state.since)) => (place.clone(), state.dropped),
            Some(_) => return Join::Behind(now),
        };
        let (ring, news, scope) = (self.clone(), self.news.subscribe(), scope.clone());
        Join::Live(Cursor { ring, news, scope, place, sequence })
    }
}

impl State {
    fn drop_first(&mut self) {
        let Some(first) = self.kept.pop_front() else { return };
        let at = first.position();
        self.since[at.partition as usize] = at.offset + 1;
        self.bytes -= first.bytes();
        self.dropped += 1;
    }
}

impl Cursor {
    /// How far was read.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The next event, when it comes. May be dropped while it waits, and asked again.
    pub async fn next(&mut self) -> Result<Arc<Kept>, Passed> {
        loop {
            // What comes after this look wakes.
            self.news.borrow_and_update();
            if let Some(kept) = self.find()? {
                return Ok(kept);
            }
            // The ring is held by this cursor: it sends for as long as anybody listens.
            self.news.changed().await.map_err(|_| Passed)?;
        }
    }

    fn find(&mut self) -> Result<Option<Arc<Kept>>, Passed> {
        let state = self.ring.state();
        let mut index = self.sequence.checked_sub(state.dropped).ok_or(Passed)?;
        while let Some(kept) = state.kept.get(index as usize) {
            index += 1;
            self.sequence += 1;
            let at = kept.position();
            if self.scope.advance(&mut self.place, at.partition, at.offset) {
                return Ok(Some(kept.clone()));
            }
        }
        Ok(None)
    }
}
