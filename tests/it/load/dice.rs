//! Chance that can be had again: the seed of a run is printed, and `FACTFOLD_SEED` gives it back.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use uuid::Uuid;

const SEED: &str = "FACTFOLD_SEED";

/// What all dice of a run come from.
pub(crate) struct Seed {
    seed: u64,
    given: AtomicU64,
}

impl Seed {
    /// A new one, or the one of the run that is to be had again. What happens when is still up to the machine.
    pub(crate) fn new() -> Self {
        let given = env::var(SEED).ok().map(|seed| seed.parse().expect("FACTFOLD_SEED is a number"));
        let seed = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
        eprintln!("dice: {SEED}={seed}");
        Self { seed, given: AtomicU64::new(0) }
    }

    /// Dice of one's own: the first, the second … to ask for them.
    pub(crate) fn dice(&self) -> Dice {
        let nth = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        // SplitMix64's step: neighbours must not look alike. Zero is the one state that xorshift never leaves.
        let mixed = self.seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Dice((mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }
}

/// Chance. (xorshift64*, Vigna 2016: no more is asked of it than to be different every time.)
pub(crate) struct Dice(u64);

impl Dice {
    /// 0 to below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }

    /// Whether it is one of so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// Waits for any moment within so many milliseconds. There is nothing to wait for: that something dies there is what is tried.
    pub(crate) async fn any_moment(&mut self, within_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(within_ms))).await;
    }

    pub(crate) fn any<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let place = (!of.is_empty()).then(|| self.roll(of.len() as u64))?;
        of.get(place as usize).copied()
    }
}
