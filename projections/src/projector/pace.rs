//! Who goes first: what is shown keeps up, and whoever catches up with a long log takes what is left.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How often those who catch up look whether they may go on.
const LOOK_REST: Duration = Duration::from_millis(10);
/// How much longer than it works one that catches up steps aside at most: it comes to its end, however much is written.
const ASIDE_MAX: u32 = 9;

/// How much all lanes together fetch ahead, as librdkafka counts: keys and values. With headers and all else it is six times that.
const AHEAD_KBYTES: u32 = 16 * 1024;
/// How much a lane may have of it, however many there are.
const AHEAD_KBYTES_MIN: u32 = 1024;

/// What the sessions of a process know of each other.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What is left of what may be fetched ahead.
    ahead_kbytes: Mutex<u32>,
    /// Each batch of one that catches up takes tens of megabytes.
    turns: Semaphore,
    /// How many of those who follow do not keep up.
    behind: AtomicUsize,
    /// How many catch up.
    catching_up: AtomicUsize,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            ahead_kbytes: Mutex::new(AHEAD_KBYTES),
            turns: Semaphore::new(lanes()),
            behind: AtomicUsize::new(0),
            catching_up: AtomicUsize::new(0),
        }
    }

    /// For one that catches up with a long log.
    pub(super) fn catching_up(&self) -> CatchingUp<'_> {
        self.catching_up.fetch_add(1, Ordering::Relaxed);
        CatchingUp(self)
    }

    /// What one more lane may fetch ahead: half of what the others have left.
    pub(super) fn ahead(&self) -> Ahead<'_> {
        let mut left = self.ahead_kbytes.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = *left / 2;
        *left -= taken;
        Ahead { pace: self, taken }
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
fn lanes() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

/// One that catches up with a long log.
pub(super) struct CatchingUp<'p>(&'p Pace);

impl CatchingUp<'_> {
    /// Its part of the lanes of a process. Each has memory of its own; two for each turn keep Postgres busy while records are decoded.
    pub(super) fn lanes(&self) -> usize {
        (2 * lanes() / self.0.catching_up.load(Ordering::Relaxed)).clamp(1, lanes())
    }
}

impl Drop for CatchingUp<'_> {
    fn drop(&mut self) {
        self.0.catching_up.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a lane may fetch ahead, until it is dropped.
pub(super) struct Ahead<'p> {
    pace: &'p Pace,
    taken: u32,
}

impl Ahead<'_> {
    pub(super) fn kbytes(&self) -> u32 {
        self.taken.max(AHEAD_KBYTES_MIN)
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        *self.pace.ahead_kbytes.lock().unwrap_or_else(PoisonError::into_inner) += self.taken;
    }
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

    #[test]
    fn many_that_catch_up_have_fewer_lanes_each() {
        let pace = Pace::new();
        let one = pace.catching_up();
        assert_eq!(one.lanes(), lanes());
        let others: Vec<_> = (0..lanes()).map(|_| pace.catching_up()).collect();
        assert_eq!(one.lanes(), 1);
        drop(others);
        assert_eq!(one.lanes(), lanes());
    }

    #[test]
    fn many_lanes_fetch_little_more_ahead_than_one() {
        let pace = Pace::new();
        let all: Vec<_> = (0..16).map(|_| pace.ahead()).collect();
        assert_eq!(all[0].kbytes(), AHEAD_KBYTES / 2);
        let kbytes: u32 = all.iter().map(Ahead::kbytes).sum();
        assert!(kbytes <= AHEAD_KBYTES + 16 * AHEAD_KBYTES_MIN, "{kbytes}");
        drop(all);
        assert_eq!(pace.ahead().kbytes(), AHEAD_KBYTES / 2);
    }

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
