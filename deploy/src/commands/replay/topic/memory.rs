//! What a topic knows of the copy that it is: what it is made of, and how far. It lies in the offsets of a consumer group that
//! is named after the topic: they are committed with the records, and vanish with the topic.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context as _, Result};
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
};
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(30);

/// The memory of one topic.
pub(super) struct Memory {
    name: String,
    client: BaseConsumer,
}

/// What a copy is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Kafka's id of the cluster.
    pub(super) cluster: Option<String>,
    pub(super) topic: String,
    pub(super) types: Vec<String>,
    pub(super) stream: Option<String>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the cluster {}", self.topic, self.cluster.as_deref().unwrap_or("?"))?;
        let only = self.types.iter().chain(&self.stream);
        only.enumerate()
            .try_for_each(|(n, only)| write!(f, "{}{only}", if n == 0 { ", only " } else { ", " }))
    }
}

/// How far the copy of a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) origin: Origin,
    /// What is to be read next.
    pub(super) next: i64,
    /// Where the copy ends.
    pub(super) end: i64,
}

/// What is said beside the offset.
#[derive(Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    origin: Origin,
    end: i64,
}

impl Memory {
    /// Of the topic with this name.
    pub(super) fn of(cluster: &Cluster, name: &str) -> Result<Self> {
        let group = format!("{name}.replay");
        let client = cluster.client().set("group.id", group).create().context("making a Kafka client")?;
        Ok(Self { name: name.to_owned(), client })
    }

    /// The topic's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The places of all partitions that have one.
    pub(super) fn recall(&self, partitions: i32) -> Result<BTreeMap<i32, Place>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.name, 0, partitions - 1);
        let asking = || format!("asking how far the copy in {} is", self.name);
        let told = self.client.committed_offsets(asked, PATIENCE).with_context(asking)?;
        let mut places = BTreeMap::new();
        for element in told.elements() {
            element.error().with_context(asking)?;
            let Offset::Offset(next) = element.offset() else { continue };
            let Note { origin, end } = serde_json::from_str(element.metadata()).with_context(asking)?;
            places.insert(element.partition(), Place { origin, next, end });
        }
        Ok(places)
    }

    /// Where a partition begins and ends.
    pub(super) fn bounds(&self, partition: i32) -> Result<(i64, i64)> {
        let asking = || format!("asking where {}/{partition} ends", self.name);
        self.client.fetch_watermarks(&self.name, partition, PATIENCE).with_context(asking)
    }

    /// These places, as they are committed.
    pub(super) fn offsets(&self, places: &BTreeMap<i32, Place>) -> Result<TopicPartitionList> {
        let mut offsets = TopicPartitionList::with_capacity(places.len());
        for (partition, Place { origin, next, end }) in places {
            let note = Note { origin: origin.clone(), end: *end };
            let mut element = offsets.add_partition(&self.name, *partition);
            element.set_offset(Offset::Offset(*next)).context("naming a place")?;
            element.set_metadata(serde_json::to_string(&note)?);
        }
        Ok(offsets)
    }

    /// The group, of which nobody is a member.
    pub(super) fn group(&self) -> Result<ConsumerGroupMetadata> {
        self.client.group_metadata().context("the client has no group")
    }
}
