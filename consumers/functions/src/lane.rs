//! Who computes for long takes turns with the others who do, so that the short calls of everybody else find a core. Must never hold
//! anybody back who computes shortly.

use std::{pin::Pin, sync::Arc, thread::available_parallelism};

use tokio::{sync::Semaphore, task::yield_now, time::sleep};

use crate::clock::TICK;

/// After so many ticks a call is a long one. The others, a fresh instance of Python among them, are over by then.
const SHORT_TICKS: u32 = 5;

/// The turns of long calls: one core fewer than there are.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))))
    }
}

/// One call, and for how long it has computed.
#[derive(Debug)]
pub(crate) struct Lane {
    /// `None` of one that has a thread to itself.
    turns: Option<Turns>,
    ticks: u32,
}

impl Lane {
    pub(crate) fn new(turns: Turns) -> Self {
        Self { turns: Some(turns), ticks: 0 }
    }

    /// The lane of a call that nobody shares a thread with: it never waits.
    pub(crate) fn alone() -> Self {
        Self { turns: None, ticks: 0 }
    }

    /// The next call begins.
    pub(crate) fn begin(&mut self) {
        self.ticks = 0;
    }

    /// At a tick: ready when it is this call's turn to go on.
    pub(crate) fn next(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.ticks += 1;
        // Unlike a plain wake-up, this lets the executor look at its timers and sockets before it comes back.
        let Some(turns) = self.turns.clone().filter(|_| self.ticks > SHORT_TICKS) else {
            return Box::pin(yield_now());
        };
        Box::pin(async move {
            yield_now().await;
            // They come in the order in which they asked, so it goes round. Never closed.
            let Ok(turn) = turns.0.acquire_owned().await else { return };
            // A turn ends by itself: a guest that waits for the host meanwhile must not keep it.
            tokio::spawn(async move {
                sleep(TICK).await;
                drop(turn);
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// What would wait for ever waits no longer than this here.
    const A_WHILE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_short_call_never_waits_and_a_long_one_does() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let taken = turns.0.clone().acquire_owned().await.expect("a turn");
        let mut call = Lane::new(turns.clone());
        for _ in 0..SHORT_TICKS {
            timeout(PATIENCE, call.next()).await.expect("no wait");
        }
        assert!(timeout(A_WHILE, call.next()).await.is_err(), "it is a long one now");
        drop(taken);
        timeout(PATIENCE, call.next()).await.expect("a turn");
        call.begin();
        let _taken = turns.0.clone().acquire_owned().await.expect("a turn");
        timeout(PATIENCE, call.next()).await.expect("the next call is a short one again");
    }

    #[tokio::test]
    async fn a_turn_ends_by_itself() {
        let mut call = Lane { turns: Some(Turns(Arc::new(Semaphore::new(1)))), ticks: SHORT_TICKS };
        let began = Instant::now();
        for _ in 0..3 {
            timeout(PATIENCE, call.next()).await.expect("a turn");
        }
        assert!(began.elapsed() >= 2 * TICK, "each lasts as long as a tick");
    }
}
