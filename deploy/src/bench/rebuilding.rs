//! Rebuilding a read model from a long history, and verifying it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use factfold_projections::{Build, Catalogue, Projection, Projector, copy, migrate, verify};
use factfold_schemas::topics::Service;
use tokio::sync::{oneshot, watch};

use super::{
    Sizes, floor,
    ground::Ground,
    histories,
    report::{Figure, Unit},
};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Writes a history of orders, folds it, builds what it gives anew beside, and verifies it.
pub(super) async fn measure(ground: &Ground, sizes: &Sizes) -> Result<Vec<Figure>> {
    let url = &ground.addresses.database_url;
    let events = histories::fill(ground, sizes.events).await?;
    migrate(&ground.cluster, url).await?;
    let (cluster, own_url) = (ground.cluster.clone(), url.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let projector =
        tokio::spawn(async move { Projector::run(&cluster, &own_url, async { drop(stopped.await) }).await });
    let mut catalogue = Catalogue::open(&ground.cluster, url).await?;
    let measured = async {
        // All read models of that history, which is as it is on every start with an empty Postgres.
        for entry in catalogue.builds().await? {
            built(&mut catalogue, entry.build, || projector.is_finished()).await?;
        }
        let build = catalogue.rebuild(Projection::Orders).await?;
        let rebuilt = built(&mut catalogue, build, || projector.is_finished()).await?;
        let (_going_on, stopped) = watch::channel(());
        let begun = Instant::now();
        let verified = verify(&ground.cluster, url, Projection::Orders, stopped, |_| {}).await?;
        let verifying = begun.elapsed();
        let verified = verified.context("nobody stopped it")?;
        if verified.found.different > 0 {
            bail!("{} rows of what was rebuilt are not what happened", verified.found.different);
        }
        let copied = copy(&ground.cluster, url, Projection::Orders).await?;
        let topic = ground.topic(Service::Orders.events());
        let consume = || floor::consume(&ground.cluster, &topic, ground.partitions, events);
        let floor = copied + tokio::task::block_in_place(consume)?;
        let rate = |took: Duration| events as f64 / took.as_secs_f64();
        Ok(vec![
            Figure::new("rebuilding", Unit::PerSecond("events"), rate(rebuilt), Some(rate(floor))),
            Figure::new("verifying", Unit::PerSecond("events"), rate(verifying), Some(rate(rebuilt))),
        ])
    };
    let measured = measured.await;
    drop(stop);
    projector.await??;
    measured
}

/// Waits until a build has come to the end. Says how long it took, from when a projector was at it, until it had all its rows and
/// its indexes: what comes then, comparing it with another, is no part of the floor.
async fn built(catalogue: &mut Catalogue, build: Build, has_stopped: impl Fn() -> bool) -> Result<Duration> {
    let (mut since, mut took) = (None::<Instant>, None);
    loop {
        let entry = catalogue.builds().await?.into_iter().find(|entry| entry.build == build);
        let entry = entry.context("the build is gone")?;
        if entry.indexed {
            took = took.or(since.map(|since| since.elapsed()));
        }
        if entry.caught_up_at.is_some() {
            return Ok(took.unwrap_or_default());
        }
        if since.is_none() && !catalogue.progress(build).await?.is_empty() {
            since = Some(Instant::now());
        }
        if has_stopped() {
            bail!("the projector stopped by itself");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
