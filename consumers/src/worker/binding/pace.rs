//! How many events are given before a transaction is made of them: as many as take half a second. So heartbeats and
//! rebalances need not wait for long, and what is done is soon committed.

use std::time::Duration;

/// How long a batch is to take at most. An event that was begun is not broken off.
const BATCH: Duration = Duration::from_millis(500);
/// How many are given at first, before it is known how long one takes.
const FIRST: usize = 8;
/// How many are given at most, however quick it is.
const MOST: usize = 5_000;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    appetite: usize,
    /// Of the present batch: how many records were looked at, and how long the function took for them.
    records: u32,
    took: Duration,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { appetite: FIRST, records: 0, took: Duration::ZERO }
    }

    /// How many records are wanted at once.
    pub(super) const fn appetite(&self) -> usize {
        self.appetite
    }

    /// Another record was looked at.
    pub(super) const fn saw(&mut self) {
        self.records += 1;
    }

    /// The function took so long for one of them.
    pub(super) fn took(&mut self, time: Duration) {
        self.took += time;
    }

    /// Whether the batch has had its time.
    pub(super) fn is_over(&self) -> bool {
        self.took >= BATCH
    }

    /// The batch is done: the next one is as large as would have taken this long, and at most twice as large, since one that
    /// was quick may have had luck. Returns whether anything was given.
    pub(super) fn batch_done(&mut self) -> bool {
        let (records, took) = (std::mem::take(&mut self.records), std::mem::take(&mut self.took));
        if records > 0 {
            let each = took / records;
            let fit = BATCH.as_nanos().checked_div(each.as_nanos()).unwrap_or(u128::MAX);
            let fit = usize::try_from(fit).unwrap_or(usize::MAX);
            self.appetite = fit.clamp(1, (self.appetite * 2).min(MOST));
        }
        took > Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(pace: &mut Pace, each: Duration) {
        for _ in 0..pace.appetite() {
            if !pace.is_over() {
                pace.saw();
                pace.took(each);
            }
        }
        pace.batch_done();
    }

    #[test]
    fn a_batch_is_as_large_as_fits_into_its_time() {
        let mut pace = Pace::new();
        for _ in 0..10 {
            batch(&mut pace, Duration::from_micros(50));
        }
        assert_eq!(pace.appetite(), MOST);
        batch(&mut pace, Duration::from_millis(50));
        assert_eq!(pace.appetite(), 10);
        batch(&mut pace, Duration::from_secs(2));
        assert_eq!(pace.appetite(), 1, "one is always given");
        batch(&mut pace, Duration::from_micros(50));
        assert_eq!(pace.appetite(), 2);
        pace.batch_done();
        assert_eq!(pace.appetite(), 2, "nothing was learned");
    }

    #[test]
    fn a_batch_that_takes_too_long_is_over() {
        let mut pace = Pace::new();
        pace.took(Duration::from_millis(499));
        assert!(!pace.is_over());
        pace.took(Duration::from_millis(1));
        assert!(pace.is_over());
        assert!(pace.batch_done() && !pace.is_over());
    }
}
