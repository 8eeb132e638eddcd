//! A private Apache Kafka (KRaft): one node, or a few, each broker and controller at once.
//!
//! [`install`] finds or fetches the program, [`config`] says how it is set up, [`format`] makes a
//! node's storage, [`node`] is one node as a service that can be kept running, [`fence`] what must
//! be known of one that was killed before it is started again.
//!
//! It must never create a topic: that is the business of whoever uses the cluster.

mod archive;
mod config;
mod fence;
mod format;
mod install;
mod node;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::{join_all, try_join_all};

use super::StackOptions;
use super::ports::Ports;
use super::supervise::Supervisor;
use crate::data_dir::{LockedDir, write_private};
use config::{Cluster, Member};
pub(super) use install::Installation;
use node::Node;

/// A running cluster.
#[derive(Debug)]
pub(super) struct Kafka {
    nodes: Vec<Supervisor>,
    brokers: String,
    secure_brokers: Option<String>,
}

impl Kafka {
    /// Starts every node, and returns when all take clients.
    pub(super) async fn start(
        dir: &LockedDir,
        ports: &Ports,
        options: &StackOptions,
    ) -> anyhow::Result<Self> {
        let installation = Arc::new(Installation::find_or_make(options.console).await?);
        let home = dir.path().join("kafka");
        make_home(&home)?;
        let cluster = Arc::new(Cluster {
            id: cluster_id(&home)?,
            members: (1..=options.kafka_nodes).map(|id| Member::new(id, ports)).collect(),
            secure_listener: options.secure_listener.clone(),
            durability: options.durability,
        });
        let node = |member: &Member| Node::new(&installation, &cluster, *member, &home, dir.processes());
        let nodes: Vec<Node> = cluster.members.iter().map(node).collect();
        try_join_all(nodes.iter().map(Node::format)).await?;
        if nodes.len() > 1 {
            // A single one does it whenever it is started.
            fence::fence(&nodes.iter().collect::<Vec<_>>()).await?;
        }
        let starts = nodes.into_iter().map(|node| Supervisor::start(node, options.console));
        let nodes = try_join_all(starts).await?;
        Ok(Self { nodes, brokers: cluster.brokers(), secure_brokers: cluster.secure_brokers() })
    }

    /// The bootstrap servers of the strict listener.
    pub(super) fn secure_brokers(&self) -> Option<&str> {
        self.secure_brokers.as_deref()
    }

    /// The bootstrap servers.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Stops every node at once.
    pub(super) async fn stop(self) {
        join_all(self.nodes.into_iter().map(Supervisor::stop)).await;
    }
}

/// Records are nobody's business but ours, so no other user of the machine may look in.
fn make_home(home: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .and_then(|()| fs::create_dir_all(home.join("log")))
        .with_context(|| format!("cannot make {}", home.display()))
}

/// The cluster's id: a random one at first, the same ever after.
fn cluster_id(home: &Path) -> anyhow::Result<String> {
    let file = home.join("cluster.id");
    if let Ok(id) = fs::read_to_string(&file) {
        return Ok(id);
    }
    let id = BASE64_URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
    write_private(&file, &id)?;
    Ok(id)
}
