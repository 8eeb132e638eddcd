//! One Kafka node as a service that can be kept running.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::net::TcpStream;

use super::Installation;
use super::config::{Cluster, Member};
use super::fence::{fence, wait_for_others};
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
            jvm: jvm_options(cluster.members.len(), cluster.durability, installation.archive_option()),
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

    /// Its id in the cluster.
    pub(super) fn id(&self) -> i32 {
        i32::from(self.member.id)
    }

    /// Where the other nodes are.
    pub(super) fn others(&self) -> Vec<String> {
        let others = self.cluster.members.iter().filter(|other| other.id != self.member.id);
        others.map(Member::address).collect()
    }

    /// Whether it has run before, and its last run did not end in order.
    pub(super) fn was_killed(&self) -> bool {
        let data = self.directory.join("data");
        data.join("__cluster_metadata-0").exists() && !data.join(".kafka_cleanshutdown").exists()
    }

    /// What a controller logs when it finds this node dead.
    pub(super) fn fenced_message(&self) -> String {
        format!("Fencing broker {} at epoch", self.member.id)
    }

    /// The same node as a controller only, for [`fence`].
    pub(super) fn fencing_program(&self) -> anyhow::Result<Program> {
        let settings = self.directory.join("fencing.properties");
        let text = self.cluster.fencing_properties(self.member, &self.directory.join("data"));
        fs::write(&settings, text).with_context(|| format!("cannot write {}", settings.display()))?;
        // In order, so that what it found is written.
        Ok(Program { stop_signal: Signal::SIGTERM, ..self.program_with(&settings) })
    }

    /// Where it logs.
    pub(super) fn log_files(&self) -> [PathBuf; 2] {
        [self.output.clone(), self.log.clone()]
    }

    fn program_with(&self, settings: &Path) -> Program {
        let mut arguments = self.jvm.clone();
        arguments.extend(self.installation.logging_options(&self.log));
        arguments.extend([OsString::from("kafka.Kafka"), settings.into()]);
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

    /// Lets the JVM write a class archive to `file` when it stops.
    pub(super) fn recording_classes(mut self, file: &Path) -> Self {
        let mut record = OsString::from("-XX:ArchiveClassesAtExit=");
        record.push(file);
        self.jvm = jvm_options(self.cluster.members.len(), Durability::Crashes, Some(record));
        self
    }
}

/// Memory as measured to be enough, and less for each of several that share a machine; no files of
/// its own in /tmp; a broker without memory ends, so that it is started again instead of limping on.
fn jvm_options(nodes: usize, durability: Durability, archive: Option<OsString>) -> Vec<OsString> {
    let heap = if nodes == 1 { "-Xmx1g" } else { "-Xmx400m" };
    let mut options: Vec<OsString> =
        [heap, "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
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
        self.program_with(&format::settings(&self.directory))
    }

    fn address(&self) -> String {
        self.member.address()
    }

    fn logs(&self) -> Vec<PathBuf> {
        self.log_files().into()
    }

    /// A node's storage locks are the kernel's, and gone with the process. Not so its place in the cluster.
    async fn clear_the_way(&self) -> anyhow::Result<()> {
        if self.others().is_empty() {
            return fence(&[self]).await;
        }
        wait_for_others(self).await;
        Ok(())
    }

    /// An open port is not enough: the node must be in the cluster's own list of live brokers.
    async fn is_ready(&self, _pid: i32) -> bool {
        let address = self.member.address();
        if TcpStream::connect(&address).await.is_err() {
            return false;
        }
        let id = self.id();
        let listed = tokio::task::spawn_blocking(move || is_listed(&address, id)).await;
        listed.is_ok_and(|listed| listed == Some(true))
    }
}

/// Whether the node at this address takes that one for alive, if it answers.
pub(super) fn is_listed(address: &str, id: i32) -> Option<bool> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    let client = BaseConsumer::from_config_and_context(&config, Silent).ok()?;
    let metadata = client.fetch_metadata(None, METADATA_PATIENCE).ok()?;
    Some(metadata.brokers().iter().any(|broker| broker.id() == id))
}

/// A client that says nothing: that a broker is not there yet is what it is asked to find out.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Silent {}
