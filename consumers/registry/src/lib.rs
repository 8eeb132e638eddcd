//! Which functions there are, and what runs them: one registry in each process that calls functions or gives them events.
//!
//! It follows the topics of the functions by threads of its own ([`following`]): the [`catalogue`] is folded from their
//! events, [`code`] knows where each chunk of code lies, [`logs`] keeps the last lines that functions said. [`calling`] brings
//! these together: it finds a function, loads it once, and calls it within its limits; [`later`] keeps calls that nobody waits for.
//! [`engine`] is the one place that knows whether this build has a sandbox.
//!
//! It must never decide anything, and never believe that what it knows is all that there is: it is behind the log by a moment.

mod bench;
mod calling;
mod catalogue;
mod code;
mod configuration;
mod engine;
mod following;
mod later;
mod logs;
mod lookup;

use std::{path::PathBuf, sync::Arc, time::Duration};

use factfold_consumers::worker::binding::Redeliveries;
use factfold_schemas::{
    functions::{BLOBS, CALLS, Code, LOGS, Language, Limits, REDELIVERIES},
    kafka::{Cluster, incoming},
    topics::Service,
};
use factfold_vault::Vault;
use rdkafka::{Message as _, error::KafkaError};

pub use self::{
    bench::{Bench, OnTheBench, Tried, TryError, Warmed},
    calling::{CallError, Caller, Given},
    catalogue::Catalogue,
    code::CodeError,
    engine::{Reason, Refused},
    later::{Ended, NotTaken, Standing, serve},
    logs::{Level, Line, Logs},
};
use self::{
    calling::Calls,
    code::CodeStore,
    engine::Engine,
    following::{Followed, Follower, Since},
    later::Ledger,
};

/// How old the lines of logs are that are read at the start.
const LOGS_TIME: Duration = Duration::from_secs(60 * 60);

/// How a registry runs functions.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the languages' runners, as `deploy/runners` makes them.
    pub runners: PathBuf,
    /// A folder of our own for what was compiled.
    pub cache: PathBuf,
    /// How many calls may run at once, of all functions together.
    pub calls_max: u32,
    /// How much memory these may have together, in MiB.
    pub memory_mib_max: u32,
}

/// Which functions there are, and what runs them. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Parts>);

struct Parts {
    catalogue: Arc<Catalogue>,
    code: Arc<CodeStore>,
    logs: Arc<Logs>,
    engine: Engine,
    calls: Calls,
    ledger: Arc<Ledger>,
    redeliveries: Arc<Redeliveries>,
    vault: Arc<Vault>,
    // Their threads end with the registry.
    _followers: [Follower; 2],
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Kafka is away, or refuses something.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A topic is not there.
    #[error("the topic {0} is not there: make the topics first (factfold topics create)")]
    MissingTopic(String),
    /// The sandbox cannot be set up.
    #[error("the sandbox of functions: {0}")]
    Sandbox(String),
}

/// Follows which functions there are, and where their code lies. (Code that is not seen yet is waited for by whoever needs it.)
fn functions_followed(
    cluster: &Cluster,
    catalogue: &Arc<Catalogue>,
    code: &Arc<CodeStore>,
) -> Result<Follower, OpenError> {
    let (folded, code, complete) = (catalogue.clone(), code.clone(), catalogue.clone());
    let followed = vec![
        Followed::new(cluster.topic(Service::Functions.events()), Since::AllOfIt, move |message| {
            folded.fold(&incoming(message));
        }),
        Followed::new(cluster.namespace.qualify(BLOBS), Since::AllInItsTime, move |message| {
            code.saw(message.key().unwrap_or_default(), message.offset());
        }),
    ];
    Follower::start(cluster, "functions", followed, move || complete.set_complete())
}

/// Follows calls that nobody waits for, events that are given once more, and what functions say: apart from the functions, since
/// there may be much of it.
fn calls_followed(
    cluster: &Cluster,
    ledger: &Arc<Ledger>,
    redeliveries: &Arc<Redeliveries>,
    logs: &Arc<Logs>,
) -> Result<Follower, OpenError> {
    let (noted, complete) = (ledger.clone(), ledger.clone());
    let (redeliveries, logs) = (redeliveries.clone(), logs.clone());
    let followed = vec![
        Followed::new(cluster.namespace.qualify(CALLS), Since::AllOfIt, move |message| {
            noted.note(message.partition(), message.offset(), message.payload().unwrap_or_default());
        }),
        Followed::new(cluster.namespace.qualify(REDELIVERIES), Since::AllInItsTime, move |message| {
            if let Err(error) = redeliveries.put(&incoming(message)) {
                let offset = message.offset();
                tracing::warn!(error, kafka.offset = offset, "what lies on {REDELIVERIES} is no event");
            }
        }),
        Followed::new(cluster.namespace.qualify(LOGS), Since::Lately(LOGS_TIME), move |message| {
            if let Some(value) = message.payload() {
                logs.keep(value);
            }
        }),
    ];
    Follower::start(cluster, "function-calls", followed, move || complete.set_complete())
}

impl Registry {
    /// Whether this build runs functions, and does not only know them.
    pub const RUNS: bool = cfg!(feature = "sandbox");

    /// Reads what there is, then goes on by threads of its own. Blocks until it is up to date. The vault opens the functions'
    /// secrets.
    ///
    /// # Errors
    /// When Kafka cannot be reached or a topic is missing, or the sandbox cannot be set up.
    pub fn open(cluster: &Cluster, settings: &Settings, vault: Arc<Vault>) -> Result<Self, OpenError> {
        let engine = Engine::open(settings)?;
        let catalogue = Arc::<Catalogue>::default();
        let code = Arc::new(CodeStore::open(cluster)?);
        let logs = Arc::new(Logs::open(cluster)?);
        let ledger = Arc::new(Ledger::open(cluster)?);
        let redeliveries = Arc::<Redeliveries>::default();
        let followers = [
            functions_followed(cluster, &catalogue, &code)?,
            calls_followed(cluster, &ledger, &redeliveries, &logs)?,
        ];
        let calls = Calls::new(settings.calls_max);
        Ok(Self(Arc::new(Parts {
            catalogue,
            code,
            logs,
            engine,
            calls,
            ledger,
            redeliveries,
            vault,
            _followers: followers,
        })))
    }

    /// The functions that there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// What functions said lately.
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Events that bound functions are to be given once more, as far as they were read.
    pub fn redeliveries(&self) -> Arc<Redeliveries> {
        self.0.redeliveries.clone()
    }

    /// Looks at code before it is deployed: compiles it, and starts it once.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub async fn check(&self, language: Language, code: Arc<[u8]>, limits: Limits) -> Result<(), Refused> {
        self.0.engine.load(language, code, limits).await.map(drop)
    }

    /// Stores code, so that every process finds it under its digest. Twice is once.
    ///
    /// # Errors
    /// When Kafka did not say that all of it is stored.
    pub async fn store(&self, code: Arc<[u8]>) -> Result<Code, CodeError> {
        self.0.code.store(code).await
    }

    /// The bytes of this code.
    ///
    /// # Errors
    /// When it is not there (yet), or cannot be read.
    pub async fn code(&self, code: &Code) -> Result<Arc<[u8]>, CodeError> {
        self.0.code.read(code).await
    }
}
