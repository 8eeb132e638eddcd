//! Taking a partition over: how quickly its history is folded, and how quickly a worker with a store of its own is back.

use std::time::{Duration, Instant};

use anyhow::Result;
use factfold_consumers::worker;
use factfold_schemas::topics::Service;

use super::{
    Sizes,
    deciding::Worker,
    floor,
    ground::Ground,
    report::{Figure, Unit},
};

/// Takes all partitions over: without a store, with one that is empty, and with one that is full.
pub(super) async fn measure(ground: &Ground, sizes: &Sizes) -> Result<Vec<Figure>> {
    let events = sizes.commands;
    tokio::task::block_in_place(|| {
        let settings = ground.settings.worker("bench");
        let stored = worker::Settings { state_dir: Some(ground.folder.join("state")), ..settings.clone() };
        let (without, folded) = take_over(ground, settings)?;
        take_over(ground, stored.clone())?;
        let (with, _) = take_over(ground, stored)?;
        let topic = ground.topic(Service::Goods.events());
        let bare = floor::consume(&ground.cluster, &topic, ground.partitions, events)?;
        Ok(vec![
            Figure::new(
                "taking over, from the log",
                Unit::PerSecond("events"),
                folded as f64 / without.as_secs_f64(),
                Some(events as f64 / bare.as_secs_f64()),
            ),
            Figure::new("taking over, with a store", Unit::Milliseconds, with.as_secs_f64() * 1e3, None),
        ])
    })
}

/// How long it takes until a new worker works on all partitions, and how many records it folded for that.
fn take_over(ground: &Ground, settings: worker::Settings) -> Result<(Duration, u64)> {
    let begun = Instant::now();
    let worker = Worker::start(ground, settings)?;
    let all = ground.partitions.unsigned_abs() as usize;
    let live = worker.wait(|status| status.live_partitions() == all)?;
    let folded = worker.status.folded_records();
    worker.stop()?;
    Ok((live - begun, folded))
}
