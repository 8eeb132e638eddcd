//! What is folded at once: whole commands, from as many partitions as have some. Half a command is never folded, so a
//! reader never sees half of one, and progress means what it says.

use std::collections::BTreeMap;

use factfold_schemas::{
    functions, goods, orders, position::Position, record::Recorded, topics::Topic, users,
};

use super::{
    history,
    record::{Entry, Record},
};
use crate::error::Violation;

/// A partition of a topic. Its order is the order in which checkpoints are locked.
pub(crate) type Place = (Topic, i32);

/// How far a partition is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Everything below this offset is folded.
    pub(crate) next: i64,
    /// The highest decided position among that.
    pub(super) decided: Option<i64>,
}

/// What is folded at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The records, in order within each partition.
    pub(super) entries: Vec<Entry>,
    /// Where the checkpoints are, and where they will be.
    pub(super) moves: BTreeMap<Place, (Checkpoint, Checkpoint)>,
}

impl Batch {
    /// Adds what was read of a partition that is folded up to `from`. `position` is how far the consumer has come there:
    /// beyond the last record when it has passed what follows it. What is not yet known to be whole stays in `read`.
    pub(super) fn add(
        &mut self,
        place: Place,
        from: Checkpoint,
        read: &mut Vec<Entry>,
        position: i64,
    ) -> Result<(), Violation> {
        let (whole, next) = whole_commands(read, position);
        self.take(place, from, read, whole, next)
    }

    /// The same, up to a checkpoint that another build has: what lies before it is whole.
    pub(super) fn add_until(
        &mut self,
        place: Place,
        from: Checkpoint,
        read: &mut Vec<Entry>,
        next: i64,
    ) -> Result<(), Violation> {
        let whole = read.partition_point(|entry| entry.at.offset < next);
        self.take(place, from, read, whole, next)
    }

    fn take(
        &mut self,
        place: Place,
        from: Checkpoint,
        read: &mut Vec<Entry>,
        whole: usize,
        next: i64,
    ) -> Result<(), Violation> {
        if next <= from.next {
            return Ok(());
        }
        let entries = &read[..whole];
        let decided = history::check(entries, from.decided)?;
        self.moves.insert(place, (from, Checkpoint { next, decided }));
        self.entries.extend(read.drain(..whole));
        Ok(())
    }

    /// Which records these are, for people: ranges of offsets in each partition.
    pub(super) fn records(&self) -> String {
        let mut ranges = BTreeMap::<Place, (i64, i64)>::new();
        for Position { topic, partition, offset } in self.entries.iter().map(|entry| entry.at) {
            let range = ranges.entry((topic, partition)).or_insert((offset, offset));
            range.1 = offset;
        }
        let shown = ranges.iter().map(|((topic, partition), (first, last))| match first == last {
            true => format!("{topic}/{partition}@{first}"),
            false => format!("{topic}/{partition}@{first} to {last}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Events of the functions service.
    pub(super) fn functions(&self) -> impl Iterator<Item = (Position, &Recorded<functions::Event>)> + Clone {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Functions(event) => Some((entry.at, event)),
            _ => None,
        })
    }

    /// Events of the goods service.
    pub(super) fn goods(&self) -> impl Iterator<Item = (Position, &Recorded<goods::Event>)> + Clone {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Goods(event) => Some((entry.at, event)),
            _ => None,
        })
    }

    /// Events of the orders service.
    pub(super) fn orders(&self) -> impl Iterator<Item = (Position, &Recorded<orders::Event>)> + Clone {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Orders(event) => Some((entry.at, event)),
            _ => None,
        })
    }

    /// Events of the users service.
    pub(super) fn users(&self) -> impl Iterator<Item = (Position, &Recorded<users::Event>)> + Clone {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Users(event) => Some((entry.at, event)),
            _ => None,
        })
    }
}

/// How many of these records are whole commands, and the offset after them.
///
/// Events of a command lie in one transaction, and its marker comes after them. So the last command is whole when the
/// consumer has moved beyond the record itself, or when a record of another command follows. (An event that somebody
/// wrote outside of a transaction waits for the next record: deciders never do that.)
fn whole_commands(read: &[Entry], position: i64) -> (usize, i64) {
    let Some(last) = read.last() else { return (0, position) };
    if position > last.at.offset + 1 {
        return (read.len(), position);
    }
    let whole = read.iter().rposition(|entry| !entry.is_of_same_command(last)).map_or(0, |index| index + 1);
    match read.get(whole) {
        // An outcome is a whole trace by itself.
        None => (read.len(), position),
        Some(open) => (whole, open.at.offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::record::fixtures::event;
    use factfold_schemas::topics::Service;

    const FROM: Checkpoint = Checkpoint { next: 10, decided: None };

    fn batch_of(read: &mut Vec<Entry>, position: i64) -> Batch {
        let mut batch = Batch::default();
        batch.add((Service::Orders.events(), 0), FROM, read, position).expect("a sound history");
        batch
    }

    fn reached(batch: &Batch) -> Option<Checkpoint> {
        batch.moves.values().next().map(|(_, to)| *to)
    }

    /// A reader never sees half a command: events whose transaction has not been passed wait for the rest. (Seen
    /// failing when whatever was read is folded.)
    #[test]
    fn half_a_command_waits() {
        let mut read = vec![event(10, "c1", 5, 1), event(12, "c2", 6, 2), event(13, "c2", 6, 3)];
        let batch = batch_of(&mut read, 14);
        assert_eq!(batch.entries, [event(10, "c1", 5, 1)]);
        assert_eq!(reached(&batch), Some(Checkpoint { next: 12, decided: Some(5) }));
        assert_eq!(read.len(), 2, "the rest is kept");

        let batch = batch_of(&mut read, 15);
        assert_eq!(reached(&batch), Some(Checkpoint { next: 15, decided: Some(6) }));
        assert!(read.is_empty());
    }

    /// DESIGN, section 6, rule 1: offsets have gaps, and what lies in them counts as done. (Seen failing when
    /// only records move it.)
    #[test]
    fn markers_alone_move_the_checkpoint() {
        let batch = batch_of(&mut Vec::new(), 17);
        assert_eq!(reached(&batch), Some(Checkpoint { next: 17, decided: None }));
        assert_eq!(reached(&batch_of(&mut Vec::new(), 10)), None);
        assert_eq!(reached(&batch_of(&mut vec![event(10, "c1", 5, 1)], 11)), None);
    }
}
