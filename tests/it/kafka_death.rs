//! Kafka dies in the middle of transactions. Whatever it was about to do with them is done when it is back: a transaction that
//! never ends would hold back all that comes after it, for ever.

use std::time::{Duration, Instant};

use factfold::stack::{StackOptions, Throwaway};
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    Message as _,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{
    load::Load,
    outage::kill_and_wait,
    turn,
    world::{PATIENCE, wait_until},
};

const TOPIC: &str = "of-a-dead-kafka";

/// A transaction that is open when Kafka dies and over its time when Kafka is back is aborted: what comes after it can be read.
/// (Seen failing when a dead node is started again while the cluster still takes it for alive.)
#[tokio::test(flavor = "multi_thread")]
async fn what_was_open_when_kafka_died_is_aborted() {
    let _turn = turn::take().await;
    let stack = Throwaway::start(&StackOptions::throwaway(1)).await.expect("a stack");
    let cluster = Cluster { brokers: stack.brokers().to_owned(), ..Cluster::default() };
    let admin: AdminClient<DefaultClientContext> = cluster.client().create().expect("a client");
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer")[0]
        .as_ref()
        .expect("a topic");

    let mut config = cluster.client();
    config.set("transaction.timeout.ms", "1000");
    let open: BaseProducer = config.set("transactional.id", "open").create().expect("a producer");
    open.init_transactions(PATIENCE).expect("ready");
    open.begin_transaction().expect("begun");
    send(&open, "never was");

    let killed = Instant::now();
    kill_and_wait(stack.path(), "kafka", &mut Load::new().dice()).await;
    let plain: BaseProducer = cluster.client().create().expect("a producer");
    send(&plain, "comes after");
    eprintln!("it takes records {:?} after its death", killed.elapsed());

    let mut config = cluster.client();
    config
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest");
    let reader: BaseConsumer = config.create().expect("a consumer");
    reader.subscribe(&[TOPIC]).expect("subscribed");
    wait_until("what comes after is read", || {
        let message = reader.poll(Duration::from_millis(100)).and_then(Result::ok);
        message.is_some_and(|message| {
            assert_eq!(message.payload(), Some("comes after".as_bytes()));
            true
        })
    });
    eprintln!("read {:?} after its death", killed.elapsed());
    // It would wait for a Kafka that is gone.
    drop(reader);
    stack.stop().await;
}

/// Writes this, and waits until it has arrived.
fn send(producer: &BaseProducer, what: &str) {
    producer.send(BaseRecord::<str, str>::to(TOPIC).partition(0).payload(what)).expect("taken");
    producer.flush(PATIENCE).expect("arrived");
}
