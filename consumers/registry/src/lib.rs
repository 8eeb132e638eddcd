//! Which functions there are, and what runs them: one registry in each process that calls functions or gives them events.
//!
//! It follows the topics of the functions by a thread of its own ([`following`]): the [`catalogue`] is folded from their
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

use std::{path::PathBuf, sync::Arc};

use factfold_consumers::worker::binding::Redeliveries;
use factfold_schemas::{
    functions::{Code, Language, Limits},
    kafka::Cluster,
};
use factfold_vault::Vault;
use rdkafka::error::KafkaError;

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
    following::{Follower, Known},
    later::Ledger,
};

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
    // Its thread ends with the registry.
    _follower: Follower,
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

impl Registry {
    /// Whether this build runs functions, and does not only know them.
    pub const RUNS: bool = cfg!(feature = "sandbox");

    /// Reads what there is, then goes on by a thread of its own. Blocks until it is up to date. The vault opens the functions'
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
        let known = Known {
            catalogue: catalogue.clone(),
            code: code.clone(),
            logs: logs.clone(),
            ledger: ledger.clone(),
            redeliveries: redeliveries.clone(),
        };
        let follower = Follower::start(cluster, known)?;
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
            _follower: follower,
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
