//! Reading all topics of the system into a [`Log`].

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result};
use factfold_consumers::decider::Decider;
use factfold_schemas::{
    kafka::Cluster,
    topics::{Service, Topic},
};
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
    let mut found = all_at_once(Service::ALL, |service| Found::of(cluster, service))?;
    Ok(Log {
        goods: log_of(&mut found, report),
        orders: log_of(&mut found, report),
        users: log_of(&mut found, report),
        functions: log_of(&mut found, report),
        quiet,
    })
}

/// What lies on the topics of a service.
struct Found {
    service: Service,
    progress: BTreeMap<(Topic, i32), i64>,
    records: Records,
}

impl Found {
    /// The order matters while the system runs: what the group has done with has its trace in what is read later, and a trace
    /// its command.
    fn of(cluster: &Cluster, service: Service) -> Result<Self> {
        let progress = committed(cluster, &format!("factfold.{service}"), &[service.commands()])?;
        let read =
            |topic: Topic| log::read(cluster, &cluster.topic(topic)).with_context(|| topic.to_string());
        let records = Records {
            outcomes: read(service.outcomes())?,
            events: read(service.events())?,
            dead_letters: read(service.dead_letters())?,
            timers: read(service.timers())?,
            commands: read(service.commands())?,
        };
        Ok(Self { service, progress, records })
    }
}

fn log_of<D: Decider>(found: &mut Vec<Found>, report: &mut Report) -> ServiceLog<D> {
    let at = found.iter().position(|found| found.service == D::SERVICE).expect("each was read");
    let Found { progress, records, .. } = found.swap_remove(at);
    let partitions = progress.len() as i32;
    let progress = progress.into_iter().map(|((_, partition), next)| (partition, next)).collect();
    ServiceLog::new(partitions, progress, records, report)
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

/// Asks for each of these at the same time: most of the time that it takes is waiting for brokers.
pub(crate) fn all_at_once<A: Send, T: Send>(
    of: impl IntoIterator<Item = A>,
    ask: impl Fn(A) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let asked: Vec<_> = of.into_iter().map(|one| scope.spawn(|| ask(one))).collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    })
}
