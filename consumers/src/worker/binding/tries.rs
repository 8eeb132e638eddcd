//! When a function that failed is tried again with the same event. By partition: what comes behind the event waits with it,
//! and other partitions go on.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// How long to wait after each failure before the next try. After one more it is given up.
const WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];
/// How long to wait, at most, where it is not the function's fault.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Tries(FxHashMap<i32, Try>);

/// The event at which a partition stands, and how often it failed.
#[derive(Debug)]
struct Try {
    offset: i64,
    failures: usize,
    outages: u32,
    until: Instant,
}

impl Tries {
    /// When this event can be tried; `None` when it has not failed yet.
    pub(super) fn until(&self, partition: i32, offset: i64) -> Option<Instant> {
        self.0.get(&partition).filter(|tried| tried.offset == offset).map(|tried| tried.until)
    }

    /// The function failed with this event. Returns when to try again; `None` when that was the last time.
    pub(super) fn failed(&mut self, partition: i32, offset: i64, now: Instant) -> Option<Instant> {
        let tried = self.tried(partition, offset, now);
        let wait = WAITS.get(tried.failures);
        tried.failures += 1;
        tried.until = now + *wait?;
        Some(tried.until)
    }

    /// The function could not be tried. Returns when to try again.
    pub(super) fn unavailable(&mut self, partition: i32, offset: i64, now: Instant) -> Instant {
        let tried = self.tried(partition, offset, now);
        let wait = WAITS[0].saturating_mul(4_u32.saturating_pow(tried.outages)).min(WAIT_MAX);
        tried.outages += 1;
        tried.until = now + wait;
        tried.until
    }

    /// The partition is ours no more.
    pub(super) fn forget(&mut self, partition: i32) {
        self.0.remove(&partition);
    }

    /// As if the time had come.
    #[cfg(test)]
    pub(super) fn hurry(&mut self, now: Instant) {
        self.0.values_mut().for_each(|tried| tried.until = now);
    }

    fn tried(&mut self, partition: i32, offset: i64, now: Instant) -> &mut Try {
        let fresh = || Try { offset, failures: 0, outages: 0, until: now };
        let tried = self.0.entry(partition).or_insert_with(fresh);
        if tried.offset != offset {
            *tried = fresh();
        }
        tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_is_tried_four_times_and_then_given_up() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        assert_eq!(tries.until(0, 7), None);
        for wait in [100, 400, 1600] {
            assert_eq!(tries.failed(0, 7, now), Some(now + ms(wait)));
            assert_eq!(tries.until(0, 7), Some(now + ms(wait)));
        }
        assert_eq!(tries.failed(0, 7, now), None);
        assert_eq!(tries.failed(0, 7, now), None, "also when that was not committed");
        assert_eq!((tries.until(0, 8), tries.until(1, 7)), (None, None), "it is about this event");
        assert_eq!(tries.failed(0, 8, now), Some(now + ms(100)));
    }

    #[test]
    fn what_is_not_its_fault_does_not_count() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        tries.failed(0, 7, now);
        let waits: Vec<_> = (0..6).map(|_| tries.unavailable(0, 7, now)).collect();
        let expected = [100, 400, 1600, 5000, 5000, 5000].map(|wait| now + ms(wait));
        assert_eq!(waits, expected);
        assert_eq!(tries.failed(0, 7, now), Some(now + ms(400)));
        let many = (0..100).map(|_| tries.unavailable(1, 7, now)).last();
        assert_eq!(many, Some(now + ms(5000)));
        tries.forget(0);
        assert_eq!(tries.failed(0, 7, now), Some(now + ms(100)));
    }
}
