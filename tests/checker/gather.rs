//! Reading all topics of the system into a [`Log`].

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use factfold_consumers::decider::Decider;
use factfold_schemas::{kafka::Cluster, topics::Topic};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use crate::{
    history::{Log, Records, ServiceLog},
    log,
    report::Report,
};

/// How long Kafka may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads everything. `quiet` says that nothing is on its way: then more can be checked. What cannot be read is a finding.
pub fn read(cluster: &Cluster, quiet: bool, report: &mut Report) -> Result<Log> {
    Ok(Log {
        goods: service(cluster, report)?,
        orders: service(cluster, report)?,
        users: service(cluster, report)?,
        functions: service(cluster, report)?,
        quiet,
    })
}

/// The order matters while the system runs: what the group has done with has its trace in what is read later, and a trace
/// its command.
fn service<D: Decider>(cluster: &Cluster, report: &mut Report) -> Result<ServiceLog<D>> {
    let service = D::SERVICE;
    let progress = committed(cluster, &format!("factfold.{service}"), &[service.commands()])?;
    let read = |topic: Topic| log::read(cluster, &cluster.topic(topic)).with_context(|| topic.to_string());
    let records = Records {
        outcomes: read(service.outcomes())?,
        events: read(service.events())?,
        dead_letters: read(service.dead_letters())?,
        timers: read(service.timers())?,
        commands: read(service.commands())?,
    };
    let partitions = progress.len() as i32;
    let progress = progress.into_iter().map(|((_, partition), next)| (partition, next)).collect();
    Ok(ServiceLog::new(partitions, progress, records, report))
}

/// The next offset of a group in each partition of its topics; 0 where it has none.
pub(crate) fn committed(
    cluster: &Cluster,
    group: &str,
    topics: &[Topic],
) -> Result<BTreeMap<(Topic, i32), i64>> {
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", cluster.namespace.qualify(group))
        .set("isolation.level", "read_committed")
        .create()?;
    let mut committed = BTreeMap::new();
    for topic in topics {
        let name = cluster.topic(*topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..log::partitions(&consumer, &name, TIMEOUT)? {
            list.add_partition(&name, partition);
        }
        let offsets =
            consumer.committed_offsets(list, TIMEOUT).with_context(|| format!("offsets of {group}"))?;
        for element in offsets.elements() {
            element.error()?;
            committed.insert((*topic, element.partition()), element.offset().to_raw().unwrap_or(0).max(0));
        }
    }
    Ok(committed)
}
