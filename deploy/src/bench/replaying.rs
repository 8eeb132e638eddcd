//! Replaying: events in order, as lines of JSON, into nowhere.

use std::time::{Duration, Instant};

use anyhow::Result;
use factfold_projections::log_reader::{Bound, Filter, Log, Stop};
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
        let (mut since, mut first, mut replayed) = (None, 0, 0);
        log.lines(&mut lanes, &Filter::default(), &Stop::default(), |lines, _| -> Result<_> {
            replayed += lines.count;
            if since.is_none() {
                (since, first) = (Some(Instant::now()), replayed);
            }
            Ok(())
        })?;
        let took = since.map(|since| since.elapsed()).unwrap_or_default();
        let topic = ground.topic(events);
        let bare = floor::consume(&ground.cluster, &topic, ground.partitions, replayed)?;
        let reading = floor::consume_with_headers(&ground.cluster, &topic, ground.partitions, replayed)?;
        let per_second = |events: usize, took: Duration| events as f64 / took.as_secs_f64();
        // The first lines came when the clock began.
        let rate = per_second(replayed - first, took);
        let figure = |name, floor| {
            Figure::new(name, Unit::PerSecond("events"), rate, Some(per_second(replayed, floor)))
        };
        Ok(vec![figure("replaying", bare), figure("replaying, of reading headers", reading)])
    })
}
