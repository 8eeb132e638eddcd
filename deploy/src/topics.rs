//! The topics as DESIGN has them: made, and compared with what is there.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use factfold_consumers::worker::groups::{self, Group};
use factfold_schemas::{
    functions::{
        BLOBS, BLOBS_CONFIGURATION, CALLS, CALLS_CONFIGURATION, EMITTED, LOGS, LOGS_CONFIGURATION,
        REDELIVERIES, REDELIVERIES_CONFIGURATION, STATE,
    },
    kafka::Cluster,
    topics::{REPLIES, REPLIES_CONFIGURATION, SUBJECT_KEYS, SUBJECT_KEYS_CONFIGURATION, Topic, TopicKind},
};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// How a topic is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in Kafka.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// What else Kafka must know.
    pub configuration: &'static [(&'static str, &'static str)],
}

/// All topics, with so many partitions for each service.
pub fn wanted(cluster: &Cluster, partitions: i32) -> Vec<Wanted> {
    let of_services = Topic::all().map(|topic| Wanted {
        name: cluster.topic(topic),
        partitions: if topic.kind == TopicKind::DeadLetters { 1 } else { partitions },
        configuration: topic.configuration(),
    });
    let with = |name, partitions, configuration| Wanted {
        name: cluster.namespace.qualify(name),
        partitions,
        configuration,
    };
    let others = [
        with(REPLIES, partitions, REPLIES_CONFIGURATION),
        with(SUBJECT_KEYS, 1, SUBJECT_KEYS_CONFIGURATION),
        with(BLOBS, 1, BLOBS_CONFIGURATION),
        with(LOGS, 1, LOGS_CONFIGURATION),
        with(CALLS, partitions, CALLS_CONFIGURATION),
        with(REDELIVERIES, 1, REDELIVERIES_CONFIGURATION),
    ];
    of_services.chain(others).collect()
}

/// Makes the topics that are missing, and returns their names. Where the inputs of a reactor or keeper are new, its start is
/// committed at once: from then on it can be started at any time, and never asks from where.
pub async fn create(cluster: &Cluster, partitions: i32, replication: i32) -> Result<Vec<String>> {
    let admin: AdminClient<DefaultClientContext> = cluster.client().create()?;
    let wanted = wanted(cluster, partitions);
    let new: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|topic| {
            let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(replication));
            topic.configuration.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let mut created = Vec::new();
    for result in admin.create_topics(&new, &options).await.context("creating topics")? {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, error)) => bail!("creating the topic {name}: {error}"),
        }
    }
    let cluster = cluster.clone();
    let fresh = created.clone();
    tokio::task::spawn_blocking(move || {
        groups::of_followers().iter().try_for_each(|group| commit_starts(group, &cluster, partitions, &fresh))
    })
    .await??;
    Ok(created)
}

fn commit_starts(group: &Group, cluster: &Cluster, partitions: i32, created: &[String]) -> Result<()> {
    let names = group.inputs.iter().map(|topic| cluster.topic(*topic)).filter(|name| created.contains(name));
    let mut starts = TopicPartitionList::new();
    for name in names {
        for partition in 0..partitions {
            starts.add_partition_offset(&name, partition, Offset::Offset(0))?;
        }
    }
    if starts.count() == 0 {
        return Ok(());
    }
    let group = cluster.namespace.qualify(&group.name);
    let consumer: BaseConsumer = cluster.client().set("group.id", &group).create()?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match consumer.commit(&starts, CommitMode::Sync) {
            Err(error) if passes(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            committed => return committed.with_context(|| format!("committing the start of {group}")),
        }
    }
}

/// A broker may hear of a new topic later than the one that made it, and of a group that is its own now, too.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
        )
    )
}

/// What is wrong with the topics that are there, a sentence each.
pub async fn check(cluster: &Cluster) -> Result<Vec<String>> {
    let client: BaseConsumer = cluster.client().create()?;
    let metadata = client.fetch_metadata(None, TIMEOUT).context("asking for the topics")?;
    let there: BTreeMap<&str, i32> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len() as i32)).collect();
    let partitions_of = |topic: Topic| there.get(cluster.topic(topic).as_str()).copied();
    let admin: AdminClient<DefaultClientContext> = cluster.client().create()?;
    let mut findings = Vec::new();
    for topic in wanted(cluster, 0) {
        if !there.contains_key(topic.name.as_str()) {
            findings.push(format!("the topic {} does not exist: factfold topics create", topic.name));
            continue;
        }
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let resource = ResourceSpecifier::Topic(&topic.name);
        for described in admin.describe_configs(&[resource], &options).await? {
            let described =
                described.map_err(|error| anyhow::anyhow!("asking for {}: {error}", topic.name))?;
            for (key, expected) in topic.configuration {
                let actual = described.get(key).and_then(|entry| entry.value.as_deref()).unwrap_or("");
                if actual != *expected {
                    findings.push(format!("{}: {key} is {actual}, but must be {expected}", topic.name));
                }
            }
        }
    }
    for service in factfold_schemas::topics::Service::ALL {
        let of_functions = [EMITTED, STATE].into_iter().filter(|topic| topic.service == service);
        let counts: Vec<_> = [service.commands(), service.events(), service.outcomes(), service.timers()]
            .into_iter()
            .chain(of_functions)
            .map(partitions_of)
            .collect();
        if counts.iter().any(|count| *count != counts[0]) {
            findings.push(format!("the topics of {service} differ in their partitions: {counts:?}"));
        }
    }
    Ok(findings)
}
