//! Which partitions are ours, by our own record of the rebalance callbacks, and how far each has come.
//!
//! The broker checks the generation of a commit, not which member owns a partition, so this record is what keeps a
//! worker's hands off other workers' partitions (rule 4).

use std::collections::BTreeMap;

use super::processor::TopicPartition;

/// Tells one taking over of a partition from the next: a hydrate that comes late belongs to an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Paused; its offset and state are being looked up.
    Taking(Epoch),
    /// Being worked on.
    Live {
        /// The next offset to decide. Whatever is below was decided.
        next: i64,
    },
}

/// The partitions of one worker.
#[derive(Debug)]
pub(super) struct Assignment {
    last: Epoch,
    partitions: BTreeMap<TopicPartition, Phase>,
}

impl Assignment {
    pub(super) const fn new() -> Self {
        Self { last: Epoch(0), partitions: BTreeMap::new() }
    }

    /// These are to be taken over (again), all under one new epoch.
    pub(super) fn take(&mut self, partitions: &[TopicPartition]) -> Epoch {
        self.last = Epoch(self.last.0 + 1);
        self.partitions.extend(partitions.iter().map(|partition| (*partition, Phase::Taking(self.last))));
        self.last
    }

    /// This one was taken over. `false` when it is no longer wanted: revoked since, or taken over again.
    pub(super) fn taken(&mut self, partition: TopicPartition, epoch: Epoch, next: i64) -> bool {
        let current = self.partitions.get_mut(&partition).filter(|phase| **phase == Phase::Taking(epoch));
        current.map(|phase| *phase = Phase::Live { next }).is_some()
    }

    /// This one is ours no more.
    pub(super) fn revoke(&mut self, partition: TopicPartition) {
        self.partitions.remove(&partition);
    }

    /// All that are ours, worked on or still being taken over.
    pub(super) fn all(&self) -> Vec<TopicPartition> {
        self.partitions.keys().copied().collect()
    }

    /// The next offset of a partition that is being worked on.
    pub(super) fn next(&self, partition: TopicPartition) -> Option<i64> {
        match self.partitions.get(&partition) {
            Some(Phase::Live { next }) => Some(*next),
            _ => None,
        }
    }

    /// Everything below `next` is decided now.
    pub(super) fn advance(&mut self, partition: TopicPartition, next: i64) {
        if let Some(Phase::Live { next: current }) = self.partitions.get_mut(&partition) {
            *current = next;
        }
    }

    /// Whether any partition is still being taken over.
    pub(super) fn is_taking(&self) -> bool {
        self.partitions.values().any(|phase| matches!(phase, Phase::Taking(_)))
    }

    /// The partitions that are being worked on.
    pub(super) fn live(&self) -> Vec<TopicPartition> {
        let live = self.partitions.iter().filter(|(_, phase)| matches!(phase, Phase::Live { .. }));
        live.map(|(partition, _)| *partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;

    /// Rule 7: a hydrate carries its assignment's number, and a late one is thrown away. (Seen failing when the
    /// number is not looked at.)
    #[test]
    fn a_late_takeover_is_thrown_away() {
        let partition = (Service::Orders.commands(), 3);
        let mut assignment = Assignment::new();
        let first = assignment.take(&[partition]);
        let second = assignment.take(&[partition]);
        assert!(!assignment.taken(partition, first, 10));
        assert_eq!(assignment.next(partition), None);
        assert!(assignment.taken(partition, second, 20));
        assert_eq!(assignment.next(partition), Some(20));

        let third = assignment.take(&[partition]);
        assignment.revoke(partition);
        assert!(!assignment.taken(partition, third, 30));
    }
}
