//! How far each partition is done. Calls end in any order; what is committed is the place before which all have ended.

use std::collections::{BTreeMap, HashMap};

/// What was begun in each partition and has not been committed, by offset: whether it has ended.
#[derive(Default)]
pub(super) struct Places(HashMap<i32, BTreeMap<i64, bool>>);

impl Places {
    /// This one begins. How many of its partition have not ended, with it.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) -> usize {
        let begun = self.0.entry(partition).or_default();
        begun.insert(offset, false);
        running(begun)
    }

    /// This one has ended. The place to commit, if it moved; and how many of its partition have not ended. Nothing where it was
    /// begun by whoever had the partition before.
    pub(super) fn end(&mut self, partition: i32, offset: i64) -> Option<(Option<i64>, usize)> {
        let begun = self.0.get_mut(&partition)?;
        *begun.get_mut(&offset)? = true;
        let mut place = None;
        while let Some(first) = begun.first_entry().filter(|first| *first.get()) {
            place = Some(first.remove_entry().0 + 1);
        }
        Some((place, running(begun)))
    }
}

fn running(begun: &BTreeMap<i64, bool>) -> usize {
    begun.values().filter(|has_ended| !**has_ended).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_committed_before_all_below_it_have_ended() {
        let mut places = Places::default();
        assert_eq!([3, 4, 5].map(|offset| places.begin(0, offset)), [1, 2, 3]);
        assert_eq!(places.begin(1, 9), 1);
        assert_eq!(places.end(0, 5), Some((None, 2)));
        assert_eq!(places.end(0, 3), Some((Some(4), 1)));
        assert_eq!(places.end(0, 4), Some((Some(6), 0)));
        assert_eq!(places.end(0, 4), None);
        assert_eq!(places.end(7, 1), None);
        assert_eq!(places.end(1, 9), Some((Some(10), 0)));
    }
}
