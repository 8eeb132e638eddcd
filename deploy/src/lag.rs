//! How far the workers' groups are behind, by asking Kafka from time to time: it counts whatever the workers do, also when
//! they do nothing.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use factfold_schemas::{kafka::Cluster, topics::Topic};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

/// How often is asked.
pub const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Groups that are asked for, each by its name without the namespace, and what it reads.
pub type Groups = BTreeMap<String, Vec<Topic>>;

/// Asks for groups, some of which come and go.
pub struct Lags {
    cluster: Cluster,
    of: BTreeMap<String, Lag>,
}

impl Lags {
    /// Asks nothing yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, of: BTreeMap::new() }
    }

    /// Asks, and sets `factfold_lag_records`; of groups that are gone it becomes 0. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer. The next time a new client asks.
    pub fn measure(&mut self, groups: Groups) -> Result<()> {
        self.of.retain(|group, lag| {
            let is_there = groups.contains_key(group);
            if !is_there {
                lag.say_nothing_is_left();
            }
            is_there
        });
        for (group, inputs) in groups {
            let measured = match self.of.remove(&group) {
                Some(lag) => lag,
                None => Lag::new(&self.cluster, group.clone(), &inputs)?,
            };
            measured.measure()?;
            self.of.insert(group, measured);
        }
        Ok(())
    }
}

/// Asks for one consumer group.
struct Lag {
    group: String,
    client: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Lag {
    fn new(cluster: &Cluster, group: String, inputs: &[Topic]) -> Result<Self> {
        let client: BaseConsumer = cluster
            .client()
            .set("group.id", cluster.namespace.qualify(&group))
            .create()
            .context("making a client")?;
        let mut partitions = TopicPartitionList::new();
        for topic in inputs {
            let name = cluster.topic(*topic);
            let metadata = client.fetch_metadata(Some(&name), TIMEOUT)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                partitions.add_partition(&name, partition.id());
            }
        }
        Ok(Self { group, client, partitions })
    }

    fn measure(&self) -> Result<()> {
        let committed = self.client.committed_offsets(self.partitions.clone(), TIMEOUT)?;
        for element in committed.elements() {
            let (start, end) = self.client.fetch_watermarks(element.topic(), element.partition(), TIMEOUT)?;
            let at = match element.offset() {
                Offset::Offset(at) => at,
                _ => start,
            };
            // A transaction's marker is an offset too: what is behind by markers only is not behind, but the difference is
            // too small to matter at night.
            self.say(element.topic(), element.partition(), (end - at).max(0));
        }
        Ok(())
    }

    fn say_nothing_is_left(&self) {
        for element in self.partitions.elements() {
            self.say(element.topic(), element.partition(), 0);
        }
    }

    fn say(&self, topic: &str, partition: i32, records: i64) {
        metrics::gauge!(
            "factfold_lag_records",
            "group" => self.group.clone(),
            "topic" => topic.to_owned(),
            "partition" => partition.to_string()
        )
        .set(records as f64);
    }
}
