//! The local stack: a private Kafka and a private PostgreSQL, started, watched, restarted when
//! they die, and stopped.
//!
//! [`kafka`] and [`postgres`] know one program each; [`supervise`] keeps any of them alive;
//! [`child`] starts and ends one process; [`ports`] keeps addresses the same over restarts.
//!
//! Everything listens on the loopback address only. The stack must never touch a process that is
//! not written down in its own data directory, nor know what runs on top of it.

mod child;
mod kafka;
mod orphans;
mod ports;
mod postgres;
mod supervise;
mod tail;
mod throwaway;

use std::path::PathBuf;
use std::time::Instant;

use crate::console::Console;
use crate::data_dir::LockedDir;
use crate::failure::Failure;
use kafka::Kafka;
use ports::Ports;
use postgres::Postgres;
pub use throwaway::Throwaway;

/// What the data of a stack must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the data is thrown away with the stack. Starts and stops are as fast as can be.
    Throwaway,
    /// The death of any process, `kill -9` included. A power cut can lose Kafka's last moments.
    Crashes,
    /// Power cuts too: Kafka writes every record to disk before it answers.
    PowerCuts,
}

/// One more listener of each Kafka node, where nobody gets in but over TLS and with a password (SCRAM-SHA-512). What a
/// cluster of one's own may require is tried on it.
#[derive(Debug, Clone)]
pub struct SecureListener {
    /// A PEM file with the nodes' private key and their certificate.
    pub keystore: PathBuf,
    /// The one user.
    pub user: String,
    /// That user's password.
    pub password: String,
}

/// How a stack is to be.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Kafka nodes, each broker and controller at once: 1, or 3 to try faults.
    pub kafka_nodes: u16,
    /// Kafka's port, instead of a free one that is kept. The nodes after the first count up from it.
    pub kafka_port: Option<u16>,
    /// Where Kafka is strict, if anywhere.
    pub secure_listener: Option<SecureListener>,
    /// What the data must outlive.
    pub durability: Durability,
    /// Where progress is said.
    pub console: Console,
}

impl StackOptions {
    /// A stack of so many Kafka nodes for one quiet use.
    pub const fn throwaway(kafka_nodes: u16) -> Self {
        Self {
            kafka_nodes,
            kafka_port: None,
            secure_listener: None,
            durability: Durability::Throwaway,
            console: Console::Quiet,
        }
    }
}

/// A running stack. Dropping it kills; [`Stack::stop`] stops.
#[derive(Debug)]
pub struct Stack {
    kafka: Kafka,
    postgres: Postgres,
}

impl Stack {
    /// Fetches and prepares what is needed only once on a machine, so that [`Stack::start`] is quick.
    pub async fn prepare(console: Console) -> Result<(), Failure> {
        kafka::Installation::find_or_make(console).await.map_err(Failure::OutOfReach)?;
        Ok(())
    }

    /// Starts Kafka and PostgreSQL side by side, and returns when both take clients.
    ///
    /// What an earlier owner of `dir` left running is ended first.
    pub async fn start(dir: &LockedDir, options: &StackOptions) -> Result<Self, Failure> {
        Self::try_start(dir, options).await.map_err(Failure::OutOfReach)
    }

    async fn try_start(dir: &LockedDir, options: &StackOptions) -> anyhow::Result<Self> {
        let began = Instant::now();
        Self::end_orphans(dir, options.console).await?;
        let ports = Ports::choose(dir, options)?;
        let (kafka, postgres) =
            tokio::try_join!(Kafka::start(dir, &ports, options), Postgres::start(dir, &ports, options))?;
        options.console.ready("stack", began.elapsed(), &dir.path().display().to_string());
        Ok(Self { kafka, postgres })
    }

    /// Ends what an earlier owner of `dir` left running when it was killed, and nothing else.
    pub async fn end_orphans(dir: &LockedDir, console: Console) -> anyhow::Result<()> {
        orphans::end_all(&dir.processes(), console).await
    }

    /// Kafka's bootstrap servers, `host:port[,host:port…]`.
    pub fn brokers(&self) -> &str {
        self.kafka.brokers()
    }

    /// The same, of the listener where Kafka is strict.
    pub fn secure_brokers(&self) -> Option<&str> {
        self.kafka.secure_brokers()
    }

    /// PostgreSQL's URL, with the password.
    pub fn database_url(&self) -> &str {
        self.postgres.url()
    }

    /// Stops both, and returns when no process is left.
    pub async fn stop(self) {
        tokio::join!(self.kafka.stop(), self.postgres.stop());
    }
}
