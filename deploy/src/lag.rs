//! How far the workers' groups are behind, by asking Kafka from time to time: it counts whatever the workers do, also when
//! they do nothing.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

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

/// Of which group and which partition something was said.
type Label = (String, String, i32);

/// From where to where each partition has records.
type Extents = BTreeMap<(String, i32), (i64, i64)>;

/// Asks for groups, some of which come and go.
pub struct Lags {
    cluster: Cluster,
    groups: BTreeMap<String, Group>,
    /// What has a value that somebody may see.
    said: BTreeSet<Label>,
}

impl Lags {
    /// Asks nothing yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, groups: BTreeMap::new(), said: BTreeSet::new() }
    }

    /// Asks, and sets `factfold_lag_records`; of groups that are gone it becomes 0. Blocks.
    ///
    /// # Errors
    /// The first where Kafka does not answer. The others are asked all the same.
    pub fn measure(&mut self, groups: Groups) -> Result<()> {
        let names: BTreeSet<_> = groups.keys().map(|name| self.cluster.namespace.qualify(name)).collect();
        for gone in self.said.extract_if(.., |(group, ..)| !names.contains(group)) {
            say(&gone, 0);
        }
        self.groups.retain(|name, _| groups.contains_key(name));
        let (mut extents, mut first) = (Extents::new(), Ok(()));
        for (name, inputs) in groups {
            let measured = self.measure_one(&name, &inputs, &mut extents);
            if measured.is_err() {
                // The next time a new client asks.
                self.groups.remove(&name);
            }
            first = first.and(measured);
        }
        first
    }

    fn measure_one(&mut self, name: &str, inputs: &[Topic], extents: &mut Extents) -> Result<()> {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.to_owned(), Group::new(&self.cluster, name, inputs)?);
        }
        let behind = self.groups[name].behind(extents)?;
        for (label, records) in behind {
            say(&label, records);
            self.said.insert(label);
        }
        Ok(())
    }
}

/// Labels a group as the workers' own metrics do: with its namespace.
fn say((group, topic, partition): &Label, records: i64) {
    metrics::gauge!(
        "factfold_lag_records",
        "group" => group.clone(),
        "topic" => topic.clone(),
        "partition" => partition.to_string()
    )
    .set(records as f64);
}

/// Asks for one consumer group: a client can ask for the offsets of its own only.
struct Group {
    name: String,
    client: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Group {
    fn new(cluster: &Cluster, name: &str, inputs: &[Topic]) -> Result<Self> {
        let name = cluster.namespace.qualify(name);
        let client: BaseConsumer =
            cluster.client().set("group.id", &name).create().context("making a client")?;
        let mut partitions = TopicPartitionList::new();
        for topic in inputs {
            let name = cluster.topic(*topic);
            let metadata = client.fetch_metadata(Some(&name), TIMEOUT)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                partitions.add_partition(&name, partition.id());
            }
        }
        Ok(Self { name, client, partitions })
    }

    /// How many records of each partition are behind what it has committed. How far a partition reaches is asked once for all
    /// groups.
    fn behind(&self, extents: &mut Extents) -> Result<Vec<(Label, i64)>> {
        let committed = self.client.committed_offsets(self.partitions.clone(), TIMEOUT)?;
        let behind = committed.elements().into_iter().map(|element| {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let (start, end) = match extents.entry((topic.clone(), partition)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    *place.insert(self.client.fetch_watermarks(&topic, partition, TIMEOUT)?)
                }
            };
            let at = match element.offset() {
                Offset::Offset(at) => at,
                _ => start,
            };
            // A transaction's marker is an offset too: what is behind by markers only is not behind, but the difference is
            // too small to matter at night.
            Ok(((self.name.clone(), topic, partition), (end - at).max(0)))
        });
        behind.collect()
    }
}
