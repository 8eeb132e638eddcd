//! An archive of Kafka's loaded classes (Java's class-data sharing), made once a machine: with it
//! a broker starts in half the time.
//!
//! It is a help, never a need: whatever goes wrong here costs a second at each start.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::config::{Cluster, Member};
use super::install::Installation;
use super::node::Node;
use super::{Ports, cluster_id, make_home};
use crate::console::Console;
use crate::data_dir::DataDir;
use crate::stack::supervise::launch;
use crate::stack::{Durability, StackOptions};

/// The archive that fits `installation`, made now if there is none.
pub(super) async fn find_or_make(installation: &Installation, console: Console) -> Option<PathBuf> {
    let archive = path(installation);
    if archive.exists() {
        return Some(archive);
    }
    console.say("  kafka: archiving its classes, so that it starts in half the time (once)");
    match make(installation, &archive).await {
        Ok(()) => Some(archive),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "no class archive");
            None
        }
    }
}

/// One archive for each version of Java and each set of jars.
fn path(installation: &Installation) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (&installation.java_version, &installation.libs).hash(&mut hasher);
    installation.cache.join(format!("classes-{:016x}.jsa", hasher.finish()))
}

/// Runs a broker until it is ready, and lets it write down which classes that took.
async fn make(installation: &Installation, archive: &Path) -> anyhow::Result<()> {
    let temp = tempfile::Builder::new().prefix("archiving-").tempdir_in(&installation.cache)?;
    let dir = DataDir::locate(Some(&temp.path().join("data")))?.lock()?;
    let options = StackOptions {
        kafka_nodes: 1,
        kafka_port: None,
        secure_listener: None,
        durability: Durability::Crashes,
        console: Console::Quiet,
    };
    let ports = Ports::choose(&dir, &options)?;
    let home = dir.path().join("kafka");
    make_home(&home)?;
    let member = Member::new(1, &ports);
    let cluster = Cluster {
        id: cluster_id(&home)?,
        members: vec![member],
        secure_listener: None,
        durability: options.durability,
    };
    let new_archive = temp.path().join("classes.jsa");
    let installation = Arc::new(installation.clone());
    let node = Node::new(&installation, &Arc::new(cluster), member, &home, dir.processes())
        .recording_classes(&new_archive);
    node.format().await?;
    launch(&node).await?.stop().await?;
    if !new_archive.exists() {
        bail!("java wrote no archive");
    }
    fs::rename(&new_archive, archive).context("cannot keep the class archive")
}
