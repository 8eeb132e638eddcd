//! How long to wait before trying again: longer each time, up to a bound.

use std::time::Duration;

/// Grows with every failure in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(5);

    pub(super) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(Self::LAST);
        now
    }

    /// It worked.
    pub(super) const fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}
