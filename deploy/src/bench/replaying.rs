//! Replaying: events in order, as lines of JSON, into nowhere.

use std::time::Instant;

use anyhow::Result;
use factfold_projections::log_reader::{Bound, Log, Stop, envelope, merge};
use factfold_schemas::topics::Service;

use super::{
    floor,
    ground::Ground,
    report::{Figure, Unit},
};
use crate::console::notice;

/// Replays all events.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>> {
    tokio::task::block_in_place(|| {
        let events = Service::Goods.events();
        let log = Log::open(&ground.cluster, notice)?;
        let mut lanes = log.lanes(&[events], None, &Bound::Beginning, &Bound::End)?;
        let (mut since, mut replayed, mut line) = (None, 0, Vec::with_capacity(4096));
        log.read(&mut lanes, &Stop::default(), |record, _| -> Result<_> {
            since.get_or_insert_with(Instant::now);
            line.clear();
            envelope::write(&record, &mut line);
            replayed += 1;
            Ok(merge::Next::Go)
        })?;
        let took = since.map(|since| since.elapsed()).unwrap_or_default();
        let topic = ground.topic(events);
        let bare = floor::consume(&ground.cluster, &topic, ground.partitions, replayed)?;
        let per_second = |took: std::time::Duration| replayed as f64 / took.as_secs_f64();
        Ok(vec![Figure::new(
            "replaying",
            Unit::PerSecond("events"),
            per_second(took),
            Some(per_second(bare)),
        )])
    })
}
