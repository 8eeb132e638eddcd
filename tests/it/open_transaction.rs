//! Open transactions, seen from outside: where the last stable offset of a partition is before its end, something is not
//! committed.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use factfold_schemas::{kafka::Cluster, topics::Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::world::{PARTITIONS, PATIENCE};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether the same transaction is open in one of these topics for so long. Says no as soon as that is known.
pub(crate) fn stays_open(cluster: &Cluster, topics: &[Topic], time: Duration) -> bool {
    let client = |isolation: &str| -> BaseConsumer {
        cluster.client().set("isolation.level", isolation).create().expect("a consumer")
    };
    let (stable, all) = (client("read_committed"), client("read_uncommitted"));
    let end = |client: &BaseConsumer, topic, partition| {
        client.fetch_watermarks(&cluster.topic(topic), partition, PATIENCE).expect("watermarks").1
    };
    let places = topics.iter().flat_map(|topic| (0..PARTITIONS).map(|partition| (*topic, partition)));
    let mut held: BTreeMap<_, _> = places.map(|place| (place, end(&stable, place.0, place.1))).collect();
    let deadline = Instant::now() + time;
    while !held.is_empty() && Instant::now() < deadline {
        held.retain(|(topic, partition), at| {
            // In this order: the end that is asked for later is not before an offset that was stable earlier.
            let now = end(&stable, *topic, *partition);
            now == *at && now < end(&all, *topic, *partition)
        });
        thread::sleep(LOOK_EVERY);
    }
    !held.is_empty()
}
