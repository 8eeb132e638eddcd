//! The gateway's parts, and how they are put together at the start.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    ops::Deref,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use factfold_projections::{ReadSide, events::Events};
use factfold_schemas::{
    command::ReplyTo,
    kafka::Cluster,
    topics::{REPLIES, Service},
};
use factfold_vault::Vault;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use uuid::Uuid;

use crate::{
    access::{Access, Revocations, attempts::Attempts},
    accounts::Forms,
    live::Live,
    own_writes::OwnWrites,
    passwords::Passwords,
    problems::Problem,
    replies::{self, Replies},
    routes::{self, health::Readiness},
    server,
    settings::Settings,
    vocabulary::Vocabulary,
    writer::{Destination, Writer},
};

/// How long Kafka may take to describe a topic at the start.
const METADATA_TIME: Duration = Duration::from_secs(10);
/// How long topics may take to become visible and get their leaders: they may have been made a moment ago.
const SETTLE_TIME: Duration = Duration::from_secs(5);
/// How often to look meanwhile.
const SETTLE_REST: Duration = Duration::from_millis(50);

/// A running gateway: what every request needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

/// How many deployments above [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX) are in memory at once. Each may take 100 MB, until its code
/// is stored.
const LARGE_DEPLOYMENTS_MAX: usize = 4;

/// See [`Gateway`].
pub struct Parts {
    pub(crate) settings: Settings,
    pub(crate) access: Access,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) writer: Writer,
    pub(crate) replies: Replies,
    pub(crate) reads: ReadSide,
    pub(crate) events: Events,
    pub(crate) live: Live,
    pub(crate) own_writes: OwnWrites,
    pub(crate) vault: Arc<Vault>,
    pub(crate) passwords: Passwords,
    pub(crate) forms: Forms,
    pub(crate) attempts: Attempts,
    pub(crate) readiness: Readiness,
    /// Whether it was told to stop: what goes on for long ends then.
    pub(crate) stopping: watch::Sender<bool>,
    slots: Arc<Semaphore>,
    /// Places for deployments that are larger than any other body.
    pub(crate) large_deployments: Semaphore,
}

impl Deref for Gateway {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why a gateway cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kafka is away, or refuses something.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A topic is not there.
    #[error("the topic {0} is not there: make the topics first (factfold topics create)")]
    MissingTopic(String),
    /// A task of the gateway ended.
    #[error("a task of the gateway ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// Nobody's certificate can be checked.
    #[error("the machine's list of certificate authorities: {0}")]
    Roots(#[source] io::Error),
    /// The listener cannot be used.
    #[error("the listener: {0}")]
    Listener(#[from] io::Error),
}

impl Gateway {
    /// Serves the whole API on this listener until `shutdown` is ready and the requests under way are answered.
    ///
    /// # Errors
    /// When Kafka cannot be reached at the start, or the topics of commands or replies are not there.
    pub async fn serve(
        settings: Settings,
        cluster: Cluster,
        reads: ReadSide,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), StartError> {
        let gateway = Self::start(settings, cluster, reads).await?;
        tracing::info!(
            http.address = %listener.local_addr()?,
            gateway.address = %gateway.replies.address(),
            "the gateway serves"
        );
        server::serve(&gateway, routes::router(gateway.clone()), listener, shutdown).await;
        tokio::task::spawn_blocking(move || gateway.replies.stop()).await?;
        Ok(())
    }

    /// Reads the topics' layout, and begins to read replies before the first command can be sent.
    async fn start(settings: Settings, cluster: Cluster, reads: ReadSide) -> Result<Self, StartError> {
        let (unstored_max, store_time) = (settings.unstored_max, settings.store_time);
        let events = Events::new(&cluster);
        let connected = tokio::task::spawn_blocking(move || connect(&cluster, unstored_max, store_time));
        let (writer, replies, revocations) = connected.await??;
        let mut access = Access::new(settings.keys.clone(), revocations);
        if let Some(issuer) = settings.issuer.clone() {
            access = access.trusting(issuer, settings.vault.clone()).map_err(StartError::Roots)?;
        }
        Ok(Self(Arc::new(Parts {
            access,
            vault: settings.vault.clone(),
            passwords: Passwords::new(),
            forms: Forms::new(),
            attempts: Attempts::new(),
            vocabulary: Vocabulary::new(),
            writer,
            replies,
            reads,
            events,
            live: Live::new(&settings),
            own_writes: OwnWrites::new(),
            readiness: Readiness::default(),
            stopping: watch::Sender::new(false),
            slots: Arc::new(Semaphore::new(settings.waiting_max)),
            large_deployments: Semaphore::new(LARGE_DEPLOYMENTS_MAX),
            settings,
        })))
    }

    /// Tells what goes on for long that it must end.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ready once the gateway was told to stop.
    pub(crate) async fn stops(&self) {
        // An error would mean that the gateway is gone.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// A place among those who wait; refused when all are taken, before anything is written.
    pub(crate) fn slot(&self) -> Result<Slot, Problem> {
        let Ok(permit) = self.slots.clone().try_acquire_owned() else {
            let detail = format!("{} requests are waiting already", self.settings.waiting_max);
            return Err(Problem::of_load("too-many-waiting", detail));
        };
        metrics::gauge!("factfold_http_waiting").increment(1);
        Ok(Slot { _permit: permit })
    }
}

/// A place among those who wait, given back when it is dropped.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        metrics::gauge!("factfold_http_waiting").decrement(1);
    }
}

/// Everything that blocks at the start.
fn connect(
    cluster: &Cluster,
    unstored_max: u32,
    store_time: Duration,
) -> Result<(Writer, Replies, Revocations), StartError> {
    let instance = Uuid::new_v4();
    let name = instance.simple().to_string()[..12].to_owned();
    let consumer = Replies::consumer(cluster, &name)?;
    let destinations = Service::ALL
        .into_iter()
        .map(|service| {
            let topic = cluster.topic(service.commands());
            let partitions = once_settled(|| partitions(&consumer, &topic))?;
            Ok((service, Destination { topic, partitions }))
        })
        .collect::<Result<BTreeMap<_, _>, StartError>>()?;
    // Any partition will do: gateways that share one skip what is not theirs.
    let replies = cluster.namespace.qualify(REPLIES);
    let shared_by = once_settled(|| partitions(&consumer, &replies))?;
    let partition = (instance.as_u128() % u128::from(shared_by.unsigned_abs())) as i32;
    once_settled(|| Ok(replies::begin_at_end(&consumer, &replies, partition)?))?;
    let replies = Replies::start(consumer, replies, ReplyTo { partition, gateway: name })?;
    let users = destinations[&Service::Users].partitions;
    let revocations = once_settled(|| Ok(Revocations::follow(cluster, users)?))?;
    Ok((Writer::new(cluster, destinations, unstored_max, store_time)?, replies, revocations))
}

/// Tries until it works, or the time is up and it has to be true.
fn once_settled<T>(attempt: impl Fn() -> Result<T, StartError>) -> Result<T, StartError> {
    let deadline = Instant::now() + SETTLE_TIME;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => thread::sleep(SETTLE_REST),
            settled => return settled,
        }
    }
}

/// How many partitions a topic has. Asked through a consumer, which never makes a topic by asking for it.
fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<i32, StartError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIME)?;
    let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
    match found.map(|t| t.partitions().len()) {
        Some(partitions) if partitions > 0 => Ok(partitions as i32),
        _ => Err(StartError::MissingTopic(topic.to_owned())),
    }
}
