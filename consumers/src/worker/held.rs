//! Partitions that rest, since their processor stopped at a record for a while. They are ours as before, and paused.

use std::{collections::BTreeMap, time::Instant};

use super::processor::TopicPartition;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<TopicPartition, Instant>);

impl Held {
    /// This one rests until then.
    pub(super) fn hold(&mut self, partition: TopicPartition, until: Instant) {
        self.0.insert(partition, until);
    }

    /// This one is ours no more, or is taken over anew, at the end of which it is fetched again.
    pub(super) fn forget(&mut self, partition: TopicPartition) {
        self.0.remove(&partition);
    }

    /// When the first of them has rested.
    pub(super) fn until(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Those that have rested, which are held no more.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<TopicPartition> {
        self.0.extract_if(.., |_, until| *until <= now).map(|(partition, _)| partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use factfold_schemas::topics::Service;

    use super::*;

    #[test]
    fn each_rests_for_its_own_time() {
        let [first, second, third] = [0, 1, 2].map(|number| (Service::Goods.events(), number));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut held = Held::default();
        assert_eq!(held.until(), None);
        held.hold(first, later);
        held.hold(second, now);
        held.hold(third, now);
        held.forget(third);
        assert_eq!(held.until(), Some(now));
        assert_eq!(held.take_due(now), [second]);
        assert_eq!((held.take_due(now), held.until()), (vec![], Some(later)));
    }
}
