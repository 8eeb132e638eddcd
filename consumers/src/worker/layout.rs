//! Which cluster it is, and how many partitions the topics have. Read once: P is fixed at creation.

use std::{collections::HashMap, time::Duration};

use factfold_schemas::{
    functions::{EMITTED, STATE},
    kafka::Cluster,
    topics::{REPLIES, Service, Topic},
};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::Error;

/// The cluster, and the partitions of every topic.
#[derive(Debug, Clone)]
pub struct Layout {
    cluster_id: Option<String>,
    partitions: HashMap<Topic, i32>,
    replies: i32,
}

impl Layout {
    /// Asks the cluster, and refuses what breaks rule 1.
    pub fn read(cluster: &Cluster) -> Result<Self, Error> {
        let client: BaseConsumer = cluster.client().create().map_err(Error::kafka("making a client"))?;
        let metadata = client
            .fetch_metadata(None, Duration::from_secs(30))
            .map_err(Error::kafka("asking for the topics"))?;
        let count = |name: &str| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let partitions = topic.map_or(0, |topic| topic.partitions().len());
            if partitions == 0 { Err(Error::NoTopic(name.to_owned())) } else { Ok(partitions as i32) }
        };
        let partitions = Topic::all()
            .map(|topic| Ok((topic, count(&cluster.topic(topic))?)))
            .collect::<Result<HashMap<_, _>, Error>>()?;
        let cluster_id = client.client().fetch_cluster_id(Duration::from_secs(30));
        let layout = Self { cluster_id, partitions, replies: count(&cluster.namespace.qualify(REPLIES))? };
        Service::ALL.into_iter().try_for_each(|service| layout.check(service))?;
        Ok(layout)
    }

    fn check(&self, service: Service) -> Result<(), Error> {
        let expected_of = service.commands();
        let expected = self.partitions(expected_of);
        let of_functions = if service == Service::Functions { &[EMITTED, STATE][..] } else { &[] };
        let of_all = [service.events(), service.outcomes(), service.timers()];
        for topic in of_all.into_iter().chain(of_functions.iter().copied()) {
            let partitions = self.partitions(topic);
            if partitions != expected {
                return Err(Error::PartitionsDiffer { topic, partitions, expected_of, expected });
            }
        }
        Ok(())
    }

    /// What the cluster calls itself.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// How many partitions this topic has.
    pub fn partitions(&self, topic: Topic) -> i32 {
        self.partitions.get(&topic).copied().unwrap_or(1)
    }

    /// How many partitions the replies topic has.
    pub const fn replies(&self) -> i32 {
        self.replies
    }

    /// Of no cluster: so many partitions of each topic of a service, and so many of replies.
    pub(super) fn even(partitions: i32, replies: i32) -> Self {
        let all = Topic::all().map(|topic| (topic, partitions)).collect();
        Self { cluster_id: None, partitions: all, replies }
    }
}
