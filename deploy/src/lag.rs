//! How far the workers' groups are behind, by asking Kafka from time to time: it counts whatever the workers do, also when
//! they do nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use factfold_consumers::worker::groups;
use factfold_schemas::{kafka::Cluster, topics::Topic};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

/// How often is asked.
pub const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for one consumer group.
pub struct Lag {
    group: String,
    client: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Lag {
    /// One for each group of the system.
    pub fn of_all_groups(cluster: &Cluster) -> Result<Vec<Self>> {
        groups::all().into_iter().map(|group| Self::new(cluster, group.name, &group.inputs)).collect()
    }

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

    /// Asks, and sets `factfold_lag_records`. Blocks.
    pub fn measure(&self) -> Result<()> {
        let committed = self.client.committed_offsets(self.partitions.clone(), TIMEOUT)?;
        for element in committed.elements() {
            let (_, end) = self.client.fetch_watermarks(element.topic(), element.partition(), TIMEOUT)?;
            let at = match element.offset() {
                Offset::Offset(at) => at,
                _ => 0,
            };
            // A transaction's marker is an offset too: what is behind by markers only is not behind, but the difference is
            // too small to matter at night.
            metrics::gauge!(
                "factfold_lag_records",
                "group" => self.group.clone(),
                "topic" => element.topic().to_owned(),
                "partition" => element.partition().to_string()
            )
            .set((end - at).max(0) as f64);
        }
        Ok(())
    }
}
