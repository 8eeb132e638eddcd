//! One Kafka node as a service that can be kept running.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::net::TcpStream;

use super::Installation;
use super::config::{Cluster, Member};
use super::format;
use crate::stack::Durability;
use crate::stack::child::Program;
use crate::stack::supervise::Service;

const METADATA_PATIENCE: Duration = Duration::from_secs(2);

/// One node of a cluster.
pub(super) struct Node {
    installation: Arc<Installation>,
    cluster: Arc<Cluster>,
    member: Member,
    name: String,
    directory: PathBuf,
    log: PathBuf,
    output: PathBuf,
    processes: PathBuf,
    jvm: Vec<OsString>,
}

impl Node {
    /// A node that keeps its storage and its logs below `home`.
    pub(super) fn new(
        installation: &Arc<Installation>,
        cluster: &Arc<Cluster>,
        member: Member,
        home: &Path,
        processes: PathBuf,
    ) -> Self {
        let name =
            if cluster.members.len() == 1 { "kafka".to_owned() } else { format!("kafka-{}", member.id) };
        Self {
            jvm: jvm_options(cluster.durability, installation.archive_option()),
            installation: Arc::clone(installation),
            cluster: Arc::clone(cluster),
            member,
            directory: home.join(format!("node-{}", member.id)),
            log: home.join("log").join(format!("{name}.log")),
            output: home.join("log").join(format!("{name}.out")),
            name,
            processes,
        }
    }

    /// Makes its storage where there is none, and writes its settings.
    pub(super) async fn format(&self) -> anyhow::Result<()> {
        format::format(&self.installation, &self.cluster, self.member, &self.directory).await
    }

    /// Lets the JVM write a class archive to `file` when it stops.
    pub(super) fn recording_classes(mut self, file: &Path) -> Self {
        let mut record = OsString::from("-XX:ArchiveClassesAtExit=");
        record.push(file);
        self.jvm = jvm_options(Durability::Crashes, Some(record));
        self
    }
}

/// Memory as measured to be enough; no files of its own in /tmp; a broker without memory ends, so
/// that it is started again instead of limping on.
fn jvm_options(durability: Durability, archive: Option<OsString>) -> Vec<OsString> {
    let mut options: Vec<OsString> =
        ["-Xmx1g", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
            .map(OsString::from)
            .to_vec();
    options.extend(match durability {
        // The quickest to start; throughput suffers.
        Durability::Throwaway => ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(OsString::from),
        Durability::Crashes | Durability::PowerCuts => {
            ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"].map(OsString::from)
        }
    });
    options.extend(archive);
    options
}

impl Service for Node {
    fn program(&self) -> Program {
        let mut arguments = self.jvm.clone();
        arguments.extend(self.installation.logging_options(&self.log));
        arguments.extend([OsString::from("kafka.Kafka"), format::settings(&self.directory).into()]);
        Program {
            name: self.name.clone(),
            executable: self.installation.java.clone(),
            arguments,
            directory: self.directory.clone(),
            account: None,
            output: self.output.clone(),
            stop_signal: match self.cluster.durability {
                Durability::Throwaway => Signal::SIGKILL,
                Durability::Crashes | Durability::PowerCuts => Signal::SIGTERM,
            },
            processes: self.processes.clone(),
        }
    }

    fn address(&self) -> String {
        self.member.address()
    }

    fn logs(&self) -> Vec<PathBuf> {
        vec![self.output.clone(), self.log.clone()]
    }

    /// Nothing: a node's storage locks are the kernel's, and gone with the process.
    async fn clear_the_way(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// An open port is not enough: the node must be in the cluster's own list of live brokers.
    async fn is_ready(&self, _pid: i32) -> bool {
        let address = self.member.address();
        if TcpStream::connect(&address).await.is_err() {
            return false;
        }
        let id = i32::from(self.member.id);
        tokio::task::spawn_blocking(move || is_listed(&address, id)).await.is_ok_and(|listed| listed)
    }
}

fn is_listed(address: &str, id: i32) -> bool {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    let Ok(client) = BaseConsumer::from_config_and_context(&config, Silent) else { return false };
    client
        .fetch_metadata(None, METADATA_PATIENCE)
        .is_ok_and(|metadata| metadata.brokers().iter().any(|broker| broker.id() == id))
}

/// A client that says nothing: that a broker is not there yet is what it is asked to find out.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Silent {}
