//! Waiting until nothing is on its way any more: every command is decided or waits for its time, every fact is reacted to, every
//! read model has folded all of it. It only means something while no client writes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use factfold_consumers::worker::groups::{self, Group};
use factfold_projections::ReadSide;
use factfold_schemas::{
    kafka::Cluster,
    topics::{Service, Topic},
};
use jiff::{SignedDuration, Timestamp};
use tokio::task::spawn_blocking;

use crate::{checks::timers::waiting, gather::committed, log};

const EVERY: Duration = Duration::from_millis(50);
/// Longer than a check takes.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// Waits until nothing is on its way, at most so long. Says what still is, when time runs out.
pub async fn wait(cluster: &Cluster, reads: &ReadSide, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let asked = cluster.clone();
        let underway = match spawn_blocking(move || undecided(&asked)).await?? {
            Some(underway) => Some(underway),
            None => unfolded(cluster, reads).await?,
        };
        let Some(underway) = underway else { return Ok(()) };
        if Instant::now() >= deadline {
            bail!("it does not become quiet within {patience:?}: {underway}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What deciders and reactors still have to do. All offsets are asked for before the first topic is read: what lies behind
/// them then has no effect that is not below them, so nothing can come from anywhere else.
fn undecided(cluster: &Cluster) -> Result<Option<String>> {
    let mut offsets = Vec::new();
    for Group { name, inputs, .. } in groups::all() {
        offsets.push((committed(cluster, &name, &inputs)?, name));
    }
    for (offsets, group) in offsets {
        if let Some(left) = beyond(cluster, &offsets)? {
            return Ok(Some(format!("{group} has {left} left")));
        }
    }
    due_soon(cluster)
}

/// Commands that would come while all is thought to be quiet.
fn due_soon(cluster: &Cluster) -> Result<Option<String>> {
    let soon = Timestamp::now() + SOON;
    for service in Service::ALL {
        let timers = log::read(cluster, &cluster.topic(service.timers()))?;
        let due = waiting(&timers).into_values().filter(|timer| timer.due < soon).count();
        if due > 0 {
            return Ok(Some(format!("{due} timers of {service} are due")));
        }
    }
    Ok(None)
}

/// What read models still have to fold.
async fn unfolded(cluster: &Cluster, reads: &ReadSide) -> Result<Option<String>> {
    for progress in reads.progress().await? {
        if let Some(failure) = progress.failure {
            bail!("{} has stopped: {failure}", progress.projection);
        }
        let mut offsets = BTreeMap::new();
        for topic in progress.projection.topics() {
            // A partition of which nothing is folded has no checkpoint.
            offsets.insert((topic, 0), 0);
        }
        let known = progress.partitions.iter().map(|of| ((of.topic, of.partition), of.next_offset));
        offsets.extend(known);
        let asked = cluster.clone();
        if let Some(left) = spawn_blocking(move || beyond(&asked, &offsets)).await?? {
            return Ok(Some(format!("{} has {left} left", progress.projection)));
        }
    }
    Ok(None)
}

/// Records from these offsets on; a partition without one is read from its beginning.
fn beyond(cluster: &Cluster, offsets: &BTreeMap<(Topic, i32), i64>) -> Result<Option<String>> {
    let mut topics: Vec<Topic> = offsets.keys().map(|(topic, _)| *topic).collect();
    topics.dedup();
    for topic in topics {
        let start = |partition| offsets.get(&(topic, partition)).copied().unwrap_or(0);
        let left = log::read_from(cluster, &cluster.topic(topic), start)?;
        if !left.is_empty() {
            return Ok(Some(format!("{} records of {topic}", left.len())));
        }
    }
    Ok(None)
}
