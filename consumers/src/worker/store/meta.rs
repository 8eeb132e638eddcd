//! What a shelf says about itself: whose state it is, and of which log up to where. Written in one batch with the state.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::worker::processor::Mark;

/// Rises when the keys or values of a shelf change their form. (The form of an aggregate's state is the decider's version.)
const FORMAT: u32 = 1;

/// Whose state is on a shelf. What was stored under another one is thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Binding {
    format: u32,
    /// What the cluster calls itself.
    cluster_id: String,
    /// The commands, by Kafka's name of the topic.
    topic: String,
    partition: i32,
    /// The decider's.
    version: u32,
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Progress {
    /// The highest offset that was decided.
    pub(in super::super) decided: Option<i64>,
    /// The highest offset that gave events.
    pub(in super::super) gave_events: Option<i64>,
}

/// What is stored beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Meta {
    pub(in super::super) binding: Binding,
    pub(in super::super) progress: Progress,
    /// The last event that the state contains.
    pub(in super::super) events: Option<Mark>,
    /// The last outcome that it contains.
    pub(in super::super) outcomes: Option<Mark>,
}

impl Binding {
    /// The state of this partition, by this version of its decider.
    pub(in super::super) fn new(cluster_id: &str, topic: String, partition: i32, version: u32) -> Self {
        Self { format: FORMAT, cluster_id: cluster_id.to_owned(), topic, partition, version }
    }
}

impl Meta {
    /// Why this cannot be where a takeover begins, if so: a group that is to decide `next`, in a log with these histories.
    /// Whether the last records are still the same is seen when they are read.
    pub(in super::super) fn misfit(
        &self,
        binding: &Binding,
        next: i64,
        events: &Range<i64>,
        outcomes: &Range<i64>,
    ) -> Option<&'static str> {
        let is_in = |mark: Option<Mark>, log: &Range<i64>| mark.is_none_or(|mark| log.contains(&mark.offset));
        let (stored, wanted) = (&self.binding, binding);
        let reasons = [
            (stored.format != wanted.format, "it has another format"),
            (stored.cluster_id != wanted.cluster_id, "it is of another cluster"),
            (stored.topic != wanted.topic, "it is of another topic"),
            (stored.partition != wanted.partition, "it is of another partition"),
            (stored.version != wanted.version, "it is of another version of the decider"),
            (self.progress.decided >= Some(next), "it is ahead of the group's offset"),
            (!is_in(self.events, events), "its last event is not in the log"),
            (!is_in(self.outcomes, outcomes), "its last outcome is not in the log"),
        ];
        reasons.into_iter().find_map(|(is_so, reason)| is_so.then_some(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 17: any mismatch throws it away. (Seen failing without each of the reasons of [`Meta::misfit`].)
    #[test]
    fn a_mismatch_of_any_part_is_seen() {
        let binding = Binding::new("cluster", "orders.commands".into(), 3, 7);
        let mark = |offset| Some(Mark { offset, timestamp_ms: 5 });
        let progress = Progress { decided: Some(9), gave_events: Some(8) };
        let good = Meta { binding: binding.clone(), progress, events: mark(20), outcomes: mark(30) };
        let misfit = |meta: &Meta| meta.misfit(&binding, 10, &(0..21), &(5..31));
        assert_eq!(misfit(&good), None);
        assert_eq!(misfit(&Meta { events: None, outcomes: None, ..good.clone() }), None);

        type Change = fn(&mut Meta);
        let changes: [(Change, &str); 10] = [
            (|meta| meta.binding.format += 1, "format"),
            (|meta| meta.binding.cluster_id.push('2'), "cluster"),
            (|meta| meta.binding.topic.insert_str(0, "t."), "topic"),
            (|meta| meta.binding.partition += 1, "partition"),
            (|meta| meta.binding.version -= 1, "version"),
            (|meta| meta.progress.decided = Some(10), "ahead"),
            (|meta| meta.events = Some(Mark { offset: 21, timestamp_ms: 5 }), "last event"),
            (|meta| meta.events = Some(Mark { offset: -1, timestamp_ms: 5 }), "last event"),
            (|meta| meta.outcomes = Some(Mark { offset: 31, timestamp_ms: 5 }), "last outcome"),
            (|meta| meta.outcomes = Some(Mark { offset: 4, timestamp_ms: 5 }), "last outcome"),
        ];
        for (change, reason) in changes {
            let mut meta = good.clone();
            change(&mut meta);
            let said = misfit(&meta).expect(reason);
            assert!(said.contains(reason), "{said}: {reason}");
        }
    }
}
