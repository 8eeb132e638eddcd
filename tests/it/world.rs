//! A part of the shared Kafka and Postgres that belongs to one test: a namespace of its own, with its topics.

use std::{
    env,
    fmt::Debug,
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use factfold_checker::log::{self, Record};
use factfold_consumers::{
    functions::FunctionsDecider,
    goods::GoodsDecider,
    orders::OrdersDecider,
    reactors::{
        order_expiry::OrderExpiry, order_stock::OrderStock, reservations::Reservations, schedules::Schedules,
    },
    worker::{
        self, Settings, Shutdown, Status,
        binding::{self, Binding, Bound},
        deciding, keeping, reacting,
    },
};
use factfold_schemas::{
    cloudevents::Outgoing,
    codec::Message,
    command::Header,
    ids::StreamId,
    kafka::{Cluster, headers},
    partitioner::partition_of,
    position::Position,
    record::{Recorded, RecordedOutcome},
    topics::{Service, Topic},
};
use jiff::SignedDuration;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{FutureProducer, FutureRecord},
};
use uuid::Uuid;

/// How many partitions each topic of a test has.
pub(crate) const PARTITIONS: i32 = 4;
/// How long a test waits for anything, at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One test's world.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    producer: FutureProducer,
}

/// A worker in a thread of its own.
pub(crate) struct Running {
    pub(crate) status: Status,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
    result: mpsc::Receiver<Result<(), worker::Error>>,
}

/// What a worker does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    Functions,
    Goods,
    Orders,
    OrderStock,
    Reservations,
    OrderExpiry(SignedDuration),
    Schedules,
    Timers(Service),
}

impl World {
    /// A new namespace, with its topics.
    pub(crate) async fn new() -> Self {
        let brokers = env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS is not set: run deploy/test");
        let namespace = format!("t{}", &Uuid::new_v4().simple().to_string()[..12]);
        let namespace = namespace.parse().expect("a namespace");
        let cluster = Cluster { brokers, namespace, ..Cluster::default() };
        factfold::topics::create(&cluster, PARTITIONS, 1).await.expect("topics");
        wait_for_topics(&cluster);
        let producer = cluster.client().set("enable.idempotence", "true").create().expect("a producer");
        Self { cluster, producer }
    }

    /// The namespace.
    pub(crate) fn name(&self) -> String {
        self.cluster.namespace.clone().into()
    }

    /// Writes this record, and returns where it lies.
    pub(crate) async fn write(&self, topic: Topic, partition: i32, record: &Outgoing) -> Position {
        let name = self.cluster.topic(topic);
        let mut future = FutureRecord::<[u8], [u8]>::to(&name).partition(partition).headers(headers(record));
        future.key = record.key.as_deref();
        future.payload = record.value.as_deref();
        let delivery =
            self.producer.send(future, PATIENCE).await.map_err(|(error, _)| error).expect("stored");
        Position::new(topic, delivery.partition, delivery.offset)
    }

    /// Sends a command to where its stream belongs.
    pub(crate) async fn send<M: Message>(
        &self,
        service: Service,
        id: &str,
        stream: &StreamId,
        command: &M,
    ) -> Position {
        let record = Header::new(id, "/tests").record_of(service, stream, command);
        self.write(service.commands(), home(stream), &record).await
    }

    /// All committed records of a topic.
    pub(crate) fn read(&self, topic: Topic) -> Vec<Record> {
        log::read(&self.cluster, &self.cluster.topic(topic)).expect("the topic is readable")
    }

    /// All events of a service.
    pub(crate) fn events<E: Message>(&self, service: Service) -> Vec<Recorded<E>> {
        let records = self.read(service.events());
        records.iter().map(|record| Recorded::read(&record.incoming()).expect("an event")).collect()
    }

    /// All outcomes of a service.
    pub(crate) fn outcomes(&self, service: Service) -> Vec<RecordedOutcome> {
        let records = self.read(service.outcomes());
        records.iter().map(|record| RecordedOutcome::read(&record.incoming()).expect("an outcome")).collect()
    }

    /// Waits until so many commands of a service have left a trace.
    pub(crate) fn wait_for_traces(&self, service: Service, commands: usize) {
        wait_until("every command has left a trace", || {
            let mut decided: Vec<Position> =
                self.outcomes(service).into_iter().map(|o| o.cause.decided).collect();
            let read = |record: &Record| record.header("ce_decidedposition")?.parse::<Position>().ok();
            decided.extend(self.read(service.events()).iter().filter_map(read));
            decided.sort();
            decided.dedup();
            decided.len() >= commands
        });
    }

    /// Deletes a consumer group, with its offsets, as soon as no member is left in it.
    pub(crate) async fn delete_group(&self, group: &str) {
        let admin: AdminClient<DefaultClientContext> = self.cluster.client().create().expect("a client");
        let group = self.cluster.namespace.qualify(group);
        // A static member stays in the group until its session times out.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let results = admin.delete_groups(&[&group], &AdminOptions::new()).await.expect("an answer");
            match &results[0] {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no member is left in a consumer group.
    pub(crate) async fn wait_for_empty_group(&self, group: &str) {
        let client: BaseConsumer = self.cluster.client().create().expect("a client");
        let group = self.cluster.namespace.qualify(group);
        wait_until("the group is empty", || {
            let groups = client.fetch_group_list(Some(&group), PATIENCE).expect("groups");
            groups.groups().iter().all(|group| group.members().is_empty())
        });
    }

    /// Commits offset 0 for a whole topic.
    pub(crate) fn reset_offsets(&self, group: &str, topic: Topic) {
        self.commit_offsets(group, topic, |_| 0);
    }

    /// Commits these offsets, one for each partition of a topic.
    pub(crate) fn commit_offsets(&self, group: &str, topic: Topic, next: impl Fn(i32) -> i64) {
        let group = self.cluster.namespace.qualify(group);
        let client: BaseConsumer = self.cluster.client().set("group.id", &group).create().expect("a client");
        client.commit(&self.offsets(topic, next), CommitMode::Sync).expect("committed");
    }

    /// These offsets, in librdkafka's form.
    pub(crate) fn offsets(&self, topic: Topic, next: impl Fn(i32) -> i64) -> TopicPartitionList {
        let (name, mut offsets) = (self.cluster.topic(topic), TopicPartitionList::new());
        for partition in 0..PARTITIONS {
            let next = Offset::Offset(next(partition));
            offsets.add_partition_offset(&name, partition, next).expect("an offset");
        }
        offsets
    }

    /// The committed offset of each partition.
    pub(crate) fn committed(&self, group: &str, topic: Topic) -> [Option<i64>; PARTITIONS as usize] {
        let group = self.cluster.namespace.qualify(group);
        let client: BaseConsumer = self.cluster.client().set("group.id", &group).create().expect("a client");
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.cluster.topic(topic), 0, PARTITIONS - 1);
        let committed = client.committed_offsets(asked, PATIENCE).expect("offsets");
        std::array::from_fn(|partition| match committed.elements()[partition].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    }

    /// Starts a worker.
    pub(crate) fn start(&self, job: Job, settings: Settings) -> Running {
        self.run(move |cluster, stop, shown| match job {
            Job::Functions => deciding::run::<FunctionsDecider>(cluster, settings, stop, shown),
            Job::Goods => deciding::run::<GoodsDecider>(cluster, settings, stop, shown),
            Job::Orders => deciding::run::<OrdersDecider>(cluster, settings, stop, shown),
            Job::OrderStock => reacting::run(OrderStock, cluster, settings, stop, shown),
            Job::Reservations => reacting::run(Reservations, cluster, settings, stop, shown),
            Job::OrderExpiry(after) => {
                reacting::run(OrderExpiry::after(after), cluster, settings, stop, shown)
            }
            Job::Schedules => reacting::run(Schedules, cluster, settings, stop, shown),
            Job::Timers(service) => keeping::run(service, cluster, settings, stop, shown),
        })
    }

    /// Starts the worker of a bound function.
    pub(crate) fn bind(&self, binding: Binding, function: impl Bound, settings: Settings) -> Running {
        let redeliveries = std::sync::Arc::default();
        self.run(move |cluster, stop, shown| {
            binding::run(binding, function, redeliveries, cluster, settings, stop, shown)
        })
    }

    fn run(
        &self,
        work: impl FnOnce(&Cluster, Shutdown, Status) -> Result<(), worker::Error> + Send + 'static,
    ) -> Running {
        let (sender, result) = mpsc::channel();
        let (shutdown, status) = (Shutdown::default(), Status::default());
        let (cluster, stop, shown) = (self.cluster.clone(), shutdown.clone(), status.clone());
        let thread = std::thread::spawn(move || {
            // The receiver is gone when the test is over.
            let _ = sender.send(work(&cluster, stop, shown));
        });
        Running { status, shutdown, thread: Some(thread), result }
    }

    /// Starts the goods and orders workers and the reactors between them.
    pub(crate) fn start_all(&self) -> Vec<Running> {
        [Job::OrderStock, Job::Reservations, Job::Goods, Job::Orders]
            .map(|job| self.start(job, settings("one")))
            .into()
    }
}

impl Running {
    /// Waits until it works on so many partitions.
    pub(crate) fn wait_for_partitions(&self, partitions: usize) {
        wait_until("the worker has its partitions", || self.status.live_partitions() == partitions);
    }

    /// Whether it works on any partition before so much time is over.
    pub(crate) fn is_live_within(&self, time: Duration) -> bool {
        self.comes_within(time, |partitions| partitions > 0)
    }

    /// Whether the number of partitions that it works on becomes such before so much time is over.
    pub(crate) fn comes_within(&self, time: Duration, is_such: impl Fn(usize) -> bool) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && !is_such(self.status.live_partitions()) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        is_such(self.status.live_partitions())
    }

    /// Waits until it stops by itself, and says why.
    pub(crate) fn wait_for_error(&self) -> worker::Error {
        self.result.recv_timeout(PATIENCE).expect("it stops").expect_err("it stops with an error")
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Result<(), worker::Error> {
        self.shutdown.set();
        self.result.recv_timeout(PATIENCE).expect("it stops")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.set();
        if let Some(thread) = self.thread.take() {
            // A panic of the worker's thread has been seen as a missing result.
            let _ = thread.join();
        }
    }
}

/// Waits until the broker leads every partition. It hears of topics a moment after they were made.
fn wait_for_topics(cluster: &Cluster) {
    let client: BaseConsumer = cluster.client().create().expect("a client");
    for topic in factfold::topics::wanted(cluster, PARTITIONS) {
        for partition in 0..topic.partitions {
            let lead = || client.fetch_watermarks(&topic.name, partition, PATIENCE).is_ok();
            wait_until("the broker leads each partition", lead);
        }
    }
}

/// Settings for a test: quick to notice what is gone.
pub(crate) fn settings(instance: &str) -> Settings {
    Settings {
        session_timeout: Duration::from_secs(6),
        transaction_timeout: Duration::from_secs(5),
        ..Settings::new(instance)
    }
}

/// What the run has prepared for functions: each setting, the variable that says it, and its value.
pub(crate) fn of_functions() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let settings = [
        ("functions_runners", "FACTFOLD_FUNCTIONS_RUNNERS"),
        ("functions_cache", "FACTFOLD_FUNCTIONS_CACHE"),
    ];
    settings.into_iter().filter_map(|(setting, variable)| Some((setting, variable, env::var(variable).ok()?)))
}

/// The partition in which this stream belongs.
pub(crate) fn home(stream: &StreamId) -> i32 {
    partition_of(stream.as_str().as_bytes(), PARTITIONS)
}

/// Looks again and again until it is so, or the test's patience is over.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The same, of what must be asked for: until there is an answer, instead of what was there so far.
pub(crate) async fn until<T, E: Debug>(what: &str, ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    until_within(PATIENCE, what, ask).await
}

/// The same, with a patience of its own.
pub(crate) async fn until_within<T, E: Debug>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(so_far) => assert!(Instant::now() < deadline, "waited in vain until {what}: {so_far:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Joins a group of goods workers under somebody else's instance id, and leaves it at that.
pub(crate) fn take_place(cluster: &Cluster, group: &str, instance: &str) {
    let echo: BaseConsumer = cluster
        .client()
        .set("group.id", group)
        .set("group.instance.id", instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .expect("a consumer");
    echo.subscribe(&[&cluster.topic(Service::Goods.commands())]).expect("subscribed");
    wait_until("the echo has joined, or was fenced in its turn", || {
        let fenced = matches!(echo.poll(Duration::from_millis(20)), Some(Err(_)));
        fenced || echo.assignment().is_ok_and(|partitions| partitions.count() > 0)
    });
}
