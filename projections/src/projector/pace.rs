//! Who goes first: what is shown keeps up, and whoever catches up with a long log takes what is left.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How often those who catch up look whether they may go on.
const LOOK_REST: Duration = Duration::from_millis(10);
/// How much longer than it works one that catches up steps aside at most: it comes to its end, however much is written.
const ASIDE_MAX: u32 = 9;

/// What the sessions of a process know of each other.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Each batch of one that catches up takes tens of megabytes.
    turns: Semaphore,
    /// How many of those who follow do not keep up.
    behind: AtomicUsize,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { turns: Semaphore::new(lanes()), behind: AtomicUsize::new(0) }
    }

    /// For one that has caught up.
    pub(super) fn following(&self) -> Following<'_> {
        Following { pace: self, is_behind: false }
    }

    /// Waits for a turn, after one that took so long.
    pub(super) async fn turn(&self, last: Duration) -> SemaphorePermit<'_> {
        let mut aside = Duration::ZERO;
        while self.behind.load(Ordering::Relaxed) > 0 && aside < last * ASIDE_MAX {
            tokio::time::sleep(LOOK_REST).await;
            aside += LOOK_REST;
        }
        self.turns.acquire().await.expect("it is never closed")
    }
}

/// In how many lanes at once a log is folded: while one waits for Postgres, the next decodes.
pub(super) fn lanes() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

/// One that follows the end of the log.
pub(super) struct Following<'p> {
    pace: &'p Pace,
    is_behind: bool,
}

impl Following<'_> {
    /// Says whether there is more than it can take at once.
    pub(super) fn is_behind(&mut self, is_behind: bool) {
        match (self.is_behind, is_behind) {
            (false, true) => drop(self.pace.behind.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.pace.behind.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        self.is_behind = is_behind;
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.is_behind(false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// (How soon it comes when nobody is behind is not looked at: machines can be busy.)
    #[tokio::test]
    async fn who_catches_up_steps_aside_and_not_for_ever() {
        let pace = Pace::new();
        let last = LOOK_REST * 2;
        let waited = async |last| {
            let begun = Instant::now();
            drop(pace.turn(last).await);
            begun.elapsed()
        };
        let mut following = pace.following();
        following.is_behind(true);
        assert!(waited(last).await >= last * ASIDE_MAX);
        let for_ever = Duration::from_secs(3600);
        following.is_behind(false);
        assert!(waited(for_ever).await < for_ever);
        following.is_behind(true);
        drop(following);
        assert!(waited(for_ever).await < for_ever);
    }
}
