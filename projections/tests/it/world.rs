//! A namespace of its own on the cluster and in the database, and somebody who writes there like a worker.

use std::time::Duration;

use factfold_projections::{Error, Placed, Projection, Projector, ReadSide, migrate};
use factfold_schemas::{
    cloudevents::Outgoing,
    command::{Digest, Header},
    goods::{self, GoodsAdded},
    ids::{GoodsId, OrderId, StreamId, UserId},
    kafka::{Cluster, headers},
    money::Money,
    orders::{self, OrderCreated, OrderedLine},
    partitioner::partition_of,
    position::Position,
    record::{Cause, Outcome, Recorded, RecordedOutcome},
    topics::{Service, Topic},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{FutureProducer, FutureRecord, Producer},
};
use sqlx::{Connection, PgConnection};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};
use uuid::Uuid;

pub(crate) const PARTITIONS: i32 = 4;
/// Longer than anything here takes; who waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) database_url: String,
    clients: FutureProducer,
    worker: FutureProducer,
}

impl World {
    /// A new namespace with its topics and tables.
    pub(crate) async fn new() -> Self {
        let needed =
            |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run deploy/test"));
        let namespace = format!("t_{}", &Uuid::new_v4().simple().to_string()[..12]);
        let cluster = Cluster {
            brokers: needed("KAFKA_BROKERS"),
            namespace: namespace.parse().expect("a namespace"),
            ..Cluster::default()
        };
        let database_url = needed("DATABASE_URL");
        create_topics(&cluster).await;
        migrate(&cluster, &database_url).await.expect("migrations");
        let clients = cluster.client().create().expect("a producer");
        let worker: FutureProducer = cluster
            .client()
            .set("transactional.id", cluster.namespace.qualify("worker"))
            .set("retry.backoff.ms", "1")
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        worker.init_transactions(PATIENCE).expect("transactions");
        Self { cluster, database_url, clients, worker }
    }

    /// The schema of the views.
    pub(crate) fn schema(&self) -> String {
        self.cluster.namespace.schema()
    }

    /// A connection on which unqualified names are those of the views.
    pub(crate) async fn database(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.database_url).await.expect("Postgres");
        sqlx::query("SELECT set_config('search_path', $1, false)")
            .bind(self.schema())
            .execute(&mut connection)
            .await
            .expect("a search path");
        connection
    }

    pub(crate) async fn read_side(&self) -> ReadSide {
        ReadSide::connect(&self.cluster, &self.database_url, 4).await.expect("a read side")
    }

    /// Where a partition begins and ends.
    pub(crate) fn watermarks(&self, topic: Topic, partition: i32) -> (i64, i64) {
        let topic = self.cluster.topic(topic);
        admin(&self.cluster).inner().fetch_watermarks(&topic, partition, PATIENCE).expect("watermarks")
    }

    /// Stores a command in this partition as a client does; gives where it is.
    pub(crate) async fn store_in(&self, service: Service, stream: &StreamId, partition: i32) -> Position {
        let header = Header::new("c", "/tests");
        let record = header.record(service, stream, "Test", b"{}".to_vec());
        let (partition, offset) =
            send(&self.clients, &self.cluster, service.commands(), partition, &record).await;
        Position::new(service.commands(), partition, offset)
    }

    /// Stores a command where it belongs.
    pub(crate) async fn store(&self, service: Service, stream: &StreamId) -> Position {
        self.store_in(service, stream, home(stream)).await
    }

    /// Writes these records in one transaction.
    pub(crate) async fn commit(&self, records: &[(Topic, i32, Outgoing)]) {
        self.write(records).await;
        self.worker.commit_transaction(PATIENCE).expect("a commit");
    }

    /// Writes many records in one transaction.
    pub(crate) async fn commit_many(&self, records: &[(Topic, i32, Outgoing)]) {
        self.worker.begin_transaction().expect("a transaction");
        let sent = records
            .iter()
            .map(|(topic, partition, record)| send(&self.worker, &self.cluster, *topic, *partition, record));
        futures::future::join_all(sent).await;
        self.worker.commit_transaction(PATIENCE).expect("a commit");
    }

    /// Writes these records in a transaction that comes to nothing.
    pub(crate) async fn abort(&self, records: &[(Topic, i32, Outgoing)]) {
        self.write(records).await;
        self.worker.abort_transaction(PATIENCE).expect("an abort");
    }

    async fn write(&self, records: &[(Topic, i32, Outgoing)]) {
        self.worker.begin_transaction().expect("a transaction");
        for (topic, partition, record) in records {
            send(&self.worker, &self.cluster, *topic, *partition, record).await;
        }
    }

    /// A command and its events, in one transaction; gives where the command is.
    pub(crate) async fn decide_order(
        &self,
        id: OrderId,
        version: u64,
        events: Vec<orders::Event>,
    ) -> Position {
        let position = self.store(Service::Orders, &id.stream()).await;
        self.commit(&order_events(id, version, position, events)).await;
        position
    }

    /// The same for goods.
    pub(crate) async fn decide_goods(
        &self,
        id: GoodsId,
        version: u64,
        events: Vec<goods::Event>,
    ) -> Position {
        let position = self.store(Service::Goods, &id.stream()).await;
        self.commit(&goods_events(id, version, position, events)).await;
        position
    }

    /// What became of a command that gave no events.
    pub(crate) async fn record_outcome(&self, recorded: RecordedOutcome) {
        self.commit(&[outcome(&recorded)]).await;
    }

    /// Projects until stopped.
    pub(crate) fn project(&self) -> Projecting {
        let (stop, stopped) = oneshot::channel::<()>();
        let (cluster, database_url) = (self.cluster.clone(), self.database_url.clone());
        let running = tokio::spawn(async move {
            Projector::run(&cluster, &database_url, async { drop(stopped.await) }).await
        });
        Projecting { stop, running }
    }

    /// Waits until this read model shows the command.
    pub(crate) async fn see(&self, reads: &ReadSide, projection: Projection, position: Position) {
        reads.wait_for(projection, position, Placed::Unknown, soon()).await.expect("it is folded");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A shared cluster should not fill with what tests leave behind. It is no promise: a test has passed or failed before.
        let names: Vec<_> = Topic::all().map(|topic| self.cluster.topic(topic)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let _ = futures::executor::block_on(admin(&self.cluster).delete_topics(&names, &AdminOptions::new()));
    }
}

/// A projector at work.
pub(crate) struct Projecting {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Error>>,
}

impl Projecting {
    /// Stops it, and gives what it ended with.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.running).await.expect("it stops").expect("it does not panic")
    }
}

pub(crate) fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    cluster.client().create().expect("an admin client")
}

async fn create_topics(cluster: &Cluster) {
    let names: Vec<_> = Topic::all().map(|topic| (cluster.topic(topic), topic)).collect();
    let topics: Vec<_> = names
        .iter()
        .map(|(name, topic)| NewTopic {
            name,
            num_partitions: PARTITIONS,
            replication: TopicReplication::Fixed(1),
            config: topic.configuration().to_vec(),
        })
        .collect();
    for result in admin(cluster).create_topics(&topics, &AdminOptions::new()).await.expect("Kafka") {
        result.expect("a topic");
    }
    names.iter().for_each(|(name, _)| wait_for_topic(cluster, name));
}

/// Waits until the broker has heard of a topic that the controller has made.
fn wait_for_topic(cluster: &Cluster, name: &str) {
    let (admin, deadline) = (admin(cluster), Instant::now() + PATIENCE);
    loop {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).expect("Kafka");
        if metadata.topics().first().is_some_and(|topic| topic.partitions().len() == PARTITIONS as usize) {
            return;
        }
        assert!(Instant::now() < deadline, "the broker does not hear of {name}");
    }
}

/// Whether Postgres keeps anybody of this namespace waiting for a lock.
pub(crate) async fn waits_for_a_lock(database: &mut PgConnection, schema: &str) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')",
    )
    .bind(schema)
    .fetch_one(database)
    .await
    .expect("an answer")
}

async fn send(
    producer: &FutureProducer,
    cluster: &Cluster,
    topic: Topic,
    partition: i32,
    record: &Outgoing,
) -> (i32, i64) {
    let topic = cluster.topic(topic);
    let mut message = FutureRecord::<[u8], [u8]>::to(&topic).partition(partition).headers(headers(record));
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    let delivery = producer.send(message, PATIENCE).await.expect("a delivery");
    (delivery.partition, delivery.offset)
}

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The partition where this stream belongs.
pub(crate) fn home(stream: &StreamId) -> i32 {
    partition_of(stream.as_str().as_bytes(), PARTITIONS)
}

/// An order whose stream belongs in this partition.
pub(crate) fn order_in(partition: i32) -> OrderId {
    std::iter::repeat_with(OrderId::generate)
        .find(|id| home(&id.stream()) == partition)
        .expect("there are many")
}

pub(crate) fn cause(decided: Position) -> Cause {
    Cause {
        command_id: format!("command of {decided}"),
        source: "/tests".to_owned(),
        digest: Digest::of("Test", b"{}"),
        stored: decided,
        decided,
        time: jiff::Timestamp::from_second(1_800_000_000 + decided.offset).expect("a time"),
        correlation: Some("together".to_owned()),
        traceparent: None,
        auth: None,
    }
}

pub(crate) fn order_events(
    id: OrderId,
    version: u64,
    decided: Position,
    events: Vec<orders::Event>,
) -> Vec<(Topic, i32, Outgoing)> {
    let recorded = (version..).zip(events).map(|(version, data)| Recorded {
        stream: id.stream(),
        version,
        cause: cause(decided),
        data,
    });
    recorded
        .map(|event| (Service::Orders.events(), decided.partition, event.record(Service::Orders)))
        .collect()
}

pub(crate) fn goods_events(
    id: GoodsId,
    version: u64,
    decided: Position,
    events: Vec<goods::Event>,
) -> Vec<(Topic, i32, Outgoing)> {
    let recorded = (version..).zip(events).map(|(version, data)| Recorded {
        stream: id.stream(),
        version,
        cause: cause(decided),
        data,
    });
    recorded.map(|event| (Service::Goods.events(), decided.partition, event.record(Service::Goods))).collect()
}

pub(crate) fn recorded(stream: &StreamId, decided: Position, outcome: Outcome) -> RecordedOutcome {
    RecordedOutcome { stream: Some(stream.clone()), cause: cause(decided), after: None, outcome }
}

pub(crate) fn outcome(recorded: &RecordedOutcome) -> (Topic, i32, Outgoing) {
    let Position { topic, partition, .. } = recorded.cause.decided;
    (topic.service.outcomes(), partition, recorded.record(topic.service))
}

pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

pub(crate) fn goods_added(stock: i64) -> goods::Event {
    goods::Event::GoodsAdded(GoodsAdded { name: "Tea".to_owned(), price: eur(399), stock })
}

pub(crate) fn stock_adjusted(delta: i64, stock: i64) -> goods::Event {
    goods::Event::StockAdjusted(goods::StockAdjusted { delta, reason: "counted".to_owned(), stock })
}

pub(crate) fn order_created(user_id: UserId, goods: &[GoodsId]) -> orders::Event {
    let lines = goods.iter().map(|goods_id| OrderedLine { goods_id: *goods_id, quantity: 2 }).collect();
    orders::Event::OrderCreated(OrderCreated { user_id, lines })
}

pub(crate) fn order_paid(amount: i64) -> orders::Event {
    orders::Event::OrderPaid(orders::OrderPaid { amount: eur(amount), method: "card".to_owned() })
}

pub(crate) fn order_confirmed(total: i64) -> orders::Event {
    orders::Event::OrderConfirmed(orders::OrderConfirmed { total: eur(total) })
}

pub(crate) fn line_reserved(line: u16, price: i64) -> orders::Event {
    orders::Event::LineReserved(orders::LineReserved { line, unit_price: eur(price) })
}
