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
use rdkafka::error::KafkaError;
use tokio::task::spawn_blocking;

use crate::{
    checks::timers::waiting,
    gather::{all_at_once, committed},
    log,
};

const EVERY: Duration = Duration::from_millis(50);
/// Longer than a check takes.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// Waits until nothing is on its way, at most so long. Says what still is, when time runs out.
pub async fn wait(cluster: &Cluster, reads: &ReadSide, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let is_late = Instant::now() >= deadline;
        match underway(cluster, reads).await {
            Ok(None) => return Ok(()),
            Ok(Some(underway)) if is_late => {
                bail!("it does not become quiet within {patience:?}: {underway}");
            }
            // A broker that is busy, or has just come back, may not answer in time.
            Err(error) if is_late || error.downcast_ref::<KafkaError>().is_none() => return Err(error),
            Ok(Some(_)) | Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// What is on its way, if anything is.
async fn underway(cluster: &Cluster, reads: &ReadSide) -> Result<Option<String>> {
    let asked = cluster.clone();
    match spawn_blocking(move || undecided(&asked)).await?? {
        Some(undecided) => Ok(Some(undecided)),
        None => unfolded(cluster, reads).await,
    }
}

/// What deciders and reactors still have to do. All offsets are asked for before the first topic is read: what lies behind
/// them then has no effect that is not below them, so nothing can come from anywhere else.
fn undecided(cluster: &Cluster) -> Result<Option<String>> {
    let offsets = all_at_once(groups::all(), |Group { name, inputs, .. }| {
        Ok((committed(cluster, &name, &inputs)?, name))
    })?;
    let left = all_at_once(offsets, |(offsets, group)| {
        Ok(beyond(cluster, &offsets)?.map(|left| format!("{group} has {left} left")))
    })?;
    match left.into_iter().flatten().next() {
        Some(left) => Ok(Some(left)),
        None => due_soon(cluster),
    }
}

/// Commands that would come while all is thought to be quiet.
fn due_soon(cluster: &Cluster) -> Result<Option<String>> {
    let soon = Timestamp::now() + SOON;
    let due = all_at_once(Service::ALL, |service| {
        let timers = log::read(cluster, &cluster.topic(service.timers()))?;
        let due = waiting(&timers).into_values().filter(|timer| timer.due < soon).count();
        Ok((due > 0).then(|| format!("{due} timers of {service} are due")))
    })?;
    Ok(due.into_iter().flatten().next())
}

/// What read models still have to fold.
async fn unfolded(cluster: &Cluster, reads: &ReadSide) -> Result<Option<String>> {
    let mut all = Vec::new();
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
        all.push((progress.projection, offsets));
    }
    let asked = cluster.clone();
    let look = move || {
        all_at_once(all, |(projection, offsets)| {
            Ok(beyond(&asked, &offsets)?.map(|left| format!("{projection} has {left} left")))
        })
    };
    Ok(spawn_blocking(look).await??.into_iter().flatten().next())
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
