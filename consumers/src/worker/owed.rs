//! Offsets that are still to be committed although nothing is to be written with them.
//!
//! Where records led to nothing (most facts that a reactor reads), a transaction would cost the brokers as much as any
//! other, and say only how far they were read. So that waits for the next transaction, if it comes soon. A crash before it
//! makes somebody read these records once more, and they lead to nothing once more: reactors are pure (rule 11), and what a
//! decider skips is decided (rule 10). A start (rule 6) does not wait.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::processor::TopicPartition;

/// How long an offset may wait for a transaction that has something to write.
const WITHIN: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Owed {
    next: BTreeMap<TopicPartition, i64>,
    due: Option<Instant>,
}

impl Owed {
    /// A partition's start, which is to be committed at once (rule 6).
    pub(super) fn start(&mut self, partition: TopicPartition, next: i64) {
        self.next.insert(partition, next);
        self.due = Some(Instant::now());
    }

    /// What came before these offsets led to nothing.
    pub(super) fn pass(&mut self, next: &BTreeMap<TopicPartition, i64>) {
        self.next.extend(next);
        self.due.get_or_insert_with(|| Instant::now() + WITHIN);
    }

    /// This partition is ours no more, or is taken over anew.
    pub(super) fn forget(&mut self, partition: TopicPartition) {
        self.next.remove(&partition);
        if self.next.is_empty() {
            self.due = None;
        }
    }

    /// Whether there is anything that must not wait any longer.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Everything that is owed, and on top of it how far a batch reaches.
    pub(super) fn with(&self, next: &BTreeMap<TopicPartition, i64>) -> BTreeMap<TopicPartition, i64> {
        let mut all = self.next.clone();
        all.extend(next);
        all
    }

    /// It was committed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;

    fn partition(number: i32) -> TopicPartition {
        (Service::Goods.events(), number)
    }

    #[test]
    fn what_was_passed_waits_and_a_start_does_not() {
        let mut owed = Owed::default();
        assert!(!owed.is_due());
        owed.pass(&BTreeMap::from([(partition(0), 7)]));
        assert!(!owed.is_due(), "it may wait for a transaction that writes something");
        owed.start(partition(1), 0);
        assert!(owed.is_due());
        assert_eq!(
            owed.with(&BTreeMap::from([(partition(0), 9)])),
            BTreeMap::from([(partition(0), 9), (partition(1), 0)])
        );
        owed.clear();
        assert!(!owed.is_due());
    }

    /// Rule 4: what is not ours is not committed. (Seen failing when nothing is forgotten.)
    #[test]
    fn what_was_given_up_is_not_owed() {
        let mut owed = Owed::default();
        owed.start(partition(0), 3);
        owed.forget(partition(0));
        assert!(!owed.is_due());
        owed.pass(&BTreeMap::from([(partition(1), 7)]));
        assert!(!owed.is_due(), "nor does it make others hurry");
        owed.forget(partition(1));
        assert_eq!(owed.with(&BTreeMap::new()), BTreeMap::new());
    }
}
