//! Kafka: brokers, the topics' copies, and the way there.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};

use super::Finding;
use crate::{
    system::{System, is_loopback},
    topics,
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Kafka's largest number of minutes: a group's offsets are never forgotten.
const FOR_EVER: i64 = 2_147_483_647;
/// What one open transaction may hold back, at most.
const TRANSACTION_MAX_MS: i64 = 60_000;

/// What is wrong with the brokers, the topics' copies, or the way there.
pub(super) async fn examine(system: &System, cluster: &Cluster) -> Result<Vec<Finding>> {
    let admin: AdminClient<DefaultClientContext> =
        cluster.client().create().context("making a Kafka client")?;
    let (brokers, copies) = {
        let cluster = cluster.clone();
        tokio::task::spawn_blocking(move || metadata(&cluster)).await??
    };
    let mut findings = Vec::new();
    let private = system.is_private();
    if brokers.len() < 3 {
        let count = brokers.len();
        let what = format!("there are {count} broker(s): with less than 3 nothing may fail");
        findings.push(Finding::new("kafka", what, "run 3 brokers or more").normal_if(private));
    }
    let wanted: Vec<String> = topics::wanted(cluster, 0).into_iter().map(|topic| topic.name).collect();
    let ours = wanted.iter().map(String::as_str).chain(["__consumer_offsets", "__transaction_state"]);
    let ours: Vec<&str> = ours.filter(|name| copies.contains_key(*name)).collect();
    let few = ours.iter().filter(|name| copies.get(**name).is_some_and(|copies| *copies < 3)).copied();
    findings.extend(listed(few.collect(), "less than 3 copies").map(|what| {
        Finding::new("topics", what, "raise their replication factor to 3 (kafka-reassign-partitions.sh)")
            .normal_if(private)
    }));
    findings.extend(topic_settings(&admin, &ours, private).await?);
    let mut of_brokers: Vec<Finding> = Vec::new();
    for broker in brokers {
        let settings = describe(&admin, ResourceSpecifier::Broker(broker)).await?;
        of_brokers.extend(broker_settings(&settings, system));
    }
    // What all brokers share is said once.
    of_brokers.dedup_by(|a, b| a == b);
    of_brokers.sort_by(|a, b| a.what.cmp(&b.what));
    of_brokers.dedup();
    findings.extend(of_brokers);
    findings.extend(the_way(system, cluster));
    Ok(findings)
}

/// The brokers, and how many copies each topic has at least.
fn metadata(cluster: &Cluster) -> Result<(Vec<i32>, BTreeMap<String, usize>)> {
    let client: BaseConsumer = cluster.client().create().context("making a Kafka client")?;
    let metadata = client.fetch_metadata(None, PATIENCE).context("asking for the brokers")?;
    let copies = metadata.topics().iter().map(|topic| {
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        (topic.name().to_owned(), copies.unwrap_or(0))
    });
    Ok((metadata.brokers().iter().map(|broker| broker.id()).collect(), copies.collect()))
}

async fn describe(
    admin: &AdminClient<DefaultClientContext>,
    resource: ResourceSpecifier<'_>,
) -> Result<BTreeMap<String, String>> {
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = admin.describe_configs(&[resource], &options).await.context("asking for settings")?;
    let resources: Vec<ConfigResource> = described
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|code| anyhow::anyhow!("asking for settings: {code}"))?;
    let entries = resources.into_iter().flat_map(|resource| resource.entries);
    Ok(entries.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
}

async fn topic_settings(
    admin: &AdminClient<DefaultClientContext>,
    names: &[&str],
    private: bool,
) -> Result<Vec<Finding>> {
    let (mut lonely, mut unclean) = (Vec::new(), Vec::new());
    for name in names {
        let settings = describe(admin, ResourceSpecifier::Topic(name)).await?;
        if number(&settings, "min.insync.replicas").is_some_and(|min| min < 2) {
            lonely.push(*name);
        }
        if settings.get("unclean.leader.election.enable").is_some_and(|value| value == "true") {
            unclean.push(*name);
        }
    }
    let lonely = listed(lonely, "min.insync.replicas below 2").map(|what| {
        Finding::new("topics", what, "set it to 2, or one broker's disk can lose what was acknowledged")
            .normal_if(private)
    });
    let unclean = listed(unclean, "unclean leader election").map(|what| {
        Finding::new("topics", what, "set unclean.leader.election.enable=false, or history can be cut short")
    });
    Ok(lonely.into_iter().chain(unclean).collect())
}

/// What one broker's settings say.
fn broker_settings(settings: &BTreeMap<String, String>, system: &System) -> Vec<Finding> {
    let (private, ours) = (system.is_private(), system.settings().transaction_timeout_ms as i64);
    let mut findings = Vec::new();
    let mut limit = |key: &str, is_fine: &dyn Fn(i64) -> bool, harm: &str, fix: &str| {
        if let Some(value) = number(settings, key).filter(|value| !is_fine(*value)) {
            findings.push(Finding::new("kafka", format!("{key} is {value}: {harm}"), fix));
        }
    };
    limit(
        "offsets.retention.minutes",
        &|minutes| minutes >= FOR_EVER,
        "a worker that was off for longer loses its place and refuses to start",
        "set it to 2147483647",
    );
    limit(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        &|ms| ms <= 1000,
        "so long a dead worker's transaction holds everybody back, after it has timed out",
        "set it to 1000",
    );
    limit(
        "transaction.max.timeout.ms",
        &|ms| ms <= TRANSACTION_MAX_MS,
        "so long one open transaction of anyone can hold back a partition",
        "set it to 60000",
    );
    limit(
        "transaction.max.timeout.ms",
        &|ms| ms >= ours,
        &format!("workers ask for {ours} (transaction_timeout_ms), and cannot start"),
        "raise it, or lower transaction_timeout_ms",
    );
    if settings.get("auto.create.topics.enable").is_some_and(|value| value == "true") {
        findings.push(Finding::new(
            "kafka",
            "auto.create.topics.enable is true: a misspelt topic becomes a new one",
            "set it to false",
        ));
    }
    if settings.get("unclean.leader.election.enable").is_some_and(|value| value == "true") {
        findings.push(Finding::new(
            "kafka",
            "unclean.leader.election.enable is true: history can be cut short",
            "set it to false",
        ));
    }
    if settings.get("authorizer.class.name").is_some_and(String::is_empty) {
        let what =
            "there is no authorizer: whoever reaches Kafka can write commands and events in anyone's name";
        let fix = "set authorizer.class.name, and give only the roles the right to write";
        findings.push(Finding::new("kafka", what, fix).normal_if(private));
    }
    findings
}

fn the_way(system: &System, cluster: &Cluster) -> Option<Finding> {
    let protocol =
        cluster.properties.get("security.protocol").map_or("PLAINTEXT", String::as_str).to_uppercase();
    let is_open = !protocol.ends_with("SSL") && !is_loopback(&cluster.brokers) && !system.is_private();
    is_open.then(|| {
        let what =
            format!("security.protocol is {protocol}: passwords and data cross the network as they are");
        Finding::new("settings", what, "set kafka.\"security.protocol\" to SASL_SSL or SSL")
    })
}

fn number(settings: &BTreeMap<String, String>, key: &str) -> Option<i64> {
    settings.get(key)?.parse().ok()
}

/// `a, b and 7 more: <what>`.
fn listed(names: Vec<&str>, what: &str) -> Option<String> {
    let first = names.iter().take(2).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        1 | 2 => Some(format!("{first}: {what}")),
        count => Some(format!("{first} and {} more: {what}", count - 2)),
    }
}
