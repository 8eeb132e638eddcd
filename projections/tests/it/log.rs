//! Reading topics as they are.

use factfold_projections::log_reader::{Bound, Log, LogError, Stop, merge::Next};
use factfold_schemas::{
    position::Position,
    topics::{Service, Topic},
};
use jiff::Timestamp;
use rdkafka::{
    admin::{AdminOptions, AlterConfig, ResourceSpecifier},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::world::{PARTITIONS, PATIENCE, World, admin};

/// However many records were stored within one millisecond: what ends at one has those before it, and what begins there has
/// the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_cuts_the_one_order_just_there() {
    let world = World::new().await;
    let topic = Service::Goods.events();
    let name = world.cluster.topic(topic);
    // The broker's clock cannot be held still.
    let our_time =
        AlterConfig::new(ResourceSpecifier::Topic(&name)).set("message.timestamp.type", "CreateTime");
    for altered in
        admin(&world.cluster).alter_configs([&our_time], &AdminOptions::new()).await.expect("Kafka")
    {
        altered.expect("another clock");
    }
    let producer: BaseProducer = world.cluster.client().create().expect("a producer");
    let now = Timestamp::now().as_millisecond();
    for (partition, millisecond) in (0..3).flat_map(|time| (0..PARTITIONS).map(move |p| (p, time))) {
        let record = BaseRecord::<str, str>::to(&name).partition(partition).payload("{}");
        let record = record.timestamp(now + millisecond);
        producer.send(record).map_err(|(error, _)| error).expect("room");
    }
    producer.flush(PATIENCE).expect("all is stored");
    let log = Log::open(&world.cluster, |notice| eprintln!("{notice}")).expect("Kafka");

    let all = read(&log, topic, &Bound::Beginning, &Bound::End);
    assert_eq!(all.len(), 3 * PARTITIONS as usize);
    for index in [5, 6] {
        let cut = Bound::Positions(vec![all[index]]);
        assert_eq!(read(&log, topic, &Bound::Beginning, &cut), all[..index]);
        assert_eq!(read(&log, topic, &cut, &Bound::End), all[index..]);
    }
}

/// The positions of what lies there, in order.
fn read(log: &Log, topic: Topic, from: &Bound, to: &Bound) -> Vec<Position> {
    let mut lanes = log.lanes(&[topic], None, from, to).expect("a place");
    let mut seen = Vec::new();
    log.read(&mut lanes, &Stop::default(), |record, _| -> Result<_, LogError> {
        seen.push(record.position());
        Ok(Next::Go)
    })
    .expect("Kafka");
    seen
}
