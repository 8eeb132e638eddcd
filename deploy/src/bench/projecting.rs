//! Projecting: events that lie there become rows of every read model that they feed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use factfold_projections::{Floor, Projection, Projector, ReadSide, migrate};
use tokio::sync::oneshot;

use super::{
    Sizes,
    ground::Ground,
    report::{Figure, Unit},
};

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// More than this is not kept in memory for the floor.
const FLOOR_RECORDS_MAX: usize = 200_000;

/// Projects all events, with all read models at once.
pub(super) async fn measure(ground: &Ground, sizes: &Sizes) -> Result<Vec<Figure>> {
    let url = &ground.addresses.database_url;
    let floor = Floor::read(&ground.cluster, FLOOR_RECORDS_MAX.min(sizes.commands)).await?;
    migrate(&ground.cluster, url).await?;
    let rate = project(ground, sizes.commands as u64).await?;
    factfold_projections::discard(&ground.cluster, url).await?;
    migrate(&ground.cluster, url).await?;
    let written = floor.write(&ground.cluster, url).await?;
    Ok(vec![Figure::new(
        "projecting",
        Unit::PerSecond("events"),
        rate,
        Some(written.records as f64 / written.took.as_secs_f64()),
    )])
}

/// Runs a projector until it has come to the end, and says how many events went in a second into all read models together.
async fn project(ground: &Ground, events: u64) -> Result<f64> {
    let (cluster, url) = (ground.cluster.clone(), ground.addresses.database_url.clone());
    let reads = ReadSide::connect(&cluster, &url, 1).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let projector =
        tokio::spawn(async move { Projector::run(&cluster, &url, async { drop(stopped.await) }).await });
    let mut first = None;
    let rate = loop {
        if projector.is_finished() {
            projector.await??;
            bail!("the projector stopped by itself");
        }
        let done = folded(&reads).await?;
        let least =
            [Projection::Goods, Projection::CommandOutcomes].map(|name| done[&name]).into_iter().min();
        let least = least.unwrap_or_default();
        match first {
            None if least > 0 => first = Some((Instant::now(), least)),
            Some((since, before)) if least >= events => {
                break (least - before) as f64 / since.elapsed().as_secs_f64();
            }
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    drop(stop);
    projector.await??;
    Ok(rate)
}

/// How many commands each read model shows.
async fn folded(reads: &ReadSide) -> Result<BTreeMap<Projection, u64>> {
    let of_partition = |decided: i64| decided.unsigned_abs() + 1;
    let progress = reads.progress().await?.into_iter();
    Ok(progress
        .map(|of| {
            let decided = of.partitions.iter().filter_map(|p| p.decided);
            (of.projection, decided.map(|position| of_partition(position.offset)).sum())
        })
        .collect())
}
