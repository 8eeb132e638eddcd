//! What a caller wrote last through this gateway, so that the caller's next read includes it. A memory of convenience:
//! bounded, forgotten at a restart, and never needed for correctness; whoever needs more sends `Factfold-At-Least`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factfold_schemas::{ids::UserId, position::Position};
use quick_cache::sync::Cache;

/// How many callers are remembered.
const CALLERS_MAX: usize = 10_000;

/// The last position of each caller in each partition.
pub(crate) struct OwnWrites(Cache<UserId, Arc<Mutex<Vec<Position>>>>);

impl OwnWrites {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CALLERS_MAX))
    }

    /// The caller has stored a command here.
    pub(crate) fn remember(&self, caller: UserId, position: Position) {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(positions) = self.0.get_or_insert_with(&caller, fresh);
        let mut positions = lock(&positions);
        let place = |p: &Position| (p.topic, p.partition);
        match positions.iter_mut().find(|known| place(known) == place(&position)) {
            Some(known) => known.offset = known.offset.max(position.offset),
            // One for each partition of each service at most.
            None => positions.push(position),
        }
    }

    /// Where the caller wrote last, once in each partition.
    pub(crate) fn of(&self, caller: UserId) -> Vec<Position> {
        self.0.get(&caller).map(|positions| lock(&positions).clone()).unwrap_or_default()
    }
}

fn lock(positions: &Mutex<Vec<Position>>) -> MutexGuard<'_, Vec<Position>> {
    positions.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;

    #[test]
    fn keeps_the_last_write_in_each_partition() {
        let (writes, caller) = (OwnWrites::new(), UserId::generate());
        let position = |partition, offset| Position::new(Service::Orders.commands(), partition, offset);
        for (partition, offset) in [(0, 1), (1, 5), (0, 3), (0, 2)] {
            writes.remember(caller, position(partition, offset));
        }
        assert_eq!(writes.of(caller), [position(0, 3), position(1, 5)]);
        assert!(writes.of(UserId::generate()).is_empty());
    }
}
