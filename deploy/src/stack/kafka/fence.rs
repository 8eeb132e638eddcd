//! A node that was killed is alive to its cluster until its session has run out. Started again before that, it takes itself for
//! the leader of all that it led and goes on with its transactions, and when the session does run out, it drops what it has not
//! told their partitions yet: a commit that was promised is lost in part, or an abort never comes, and whoever reads only what
//! is committed waits for ever. (Kafka 4.3 skips the marker of a partition that has no leader, as one that was deleted. And a
//! killed node of several may act on the end of a transaction log that it alone had.)
//!
//! So a killed node is only started again when its cluster knows that it died.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::{select_all, try_join_all};
use tokio::time::{sleep, timeout};

use super::node::{Node, is_listed};
use crate::stack::child::Child;
use crate::stack::tail::Tail;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long controllers may take to find a leader.
const ELECTION_PATIENCE: Duration = Duration::from_secs(60);
/// How long the leader may take to see that a node is dead. One that was dead to it already is never mentioned.
const FENCING_PATIENCE: Duration = Duration::from_secs(2);
/// How long the others of a cluster may take to see it. Longer only when they are too few to agree on anything.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// When no node of a cluster runs, and some were killed: has their controllers, and nothing else, find out that they are dead.
pub(super) async fn fence(nodes: &[&Node]) -> anyhow::Result<()> {
    let killed: Vec<&&Node> = nodes.iter().filter(|node| node.was_killed()).collect();
    if killed.is_empty() {
        return Ok(());
    }
    let tail = Tail::from_here(nodes.iter().flat_map(|node| node.log_files()).collect());
    let mut controllers = Vec::new();
    for node in nodes {
        let program = node.fencing_program()?;
        controllers.push(program.spawn().await.with_context(|| program.name.clone())?);
    }
    let fenced = async {
        let elected = wait_until(|| tail.says("Becoming the active controller"));
        if timeout(ELECTION_PATIENCE, elected).await.is_err() {
            bail!("Kafka's controllers agree on no leader{}", tail.text());
        }
        let all = wait_until(|| killed.iter().all(|node| tail.says(&node.fenced_message())));
        if timeout(FENCING_PATIENCE, all).await.is_err() {
            tracing::debug!("a node that was killed was no part of its cluster");
        }
        Ok(())
    };
    let ended = select_all(controllers.iter_mut().map(|controller| Box::pin(controller.ended())));
    let fenced = tokio::select! {
        fenced = fenced => fenced,
        (status, ..) = ended => {
            let status = status.context("waiting for a child")?;
            Err(anyhow::anyhow!("a controller of Kafka ended ({status}){}", tail.text()))
        }
    };
    try_join_all(controllers.into_iter().map(Child::stop)).await?;
    fenced
}

/// When this node was killed, and others run: waits until they know.
pub(super) async fn wait_for_others(node: &Node) {
    let began = Instant::now();
    while node.was_killed() && began.elapsed() < OTHERS_PATIENCE {
        let others = node.others();
        let (id, looked) = (node.id(), others.len());
        let look = move || others.iter().map(|other| is_listed(other, id)).collect::<Vec<_>>();
        let listed = tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| vec![None; looked]);
        // Nobody there: nobody takes it for alive.
        if listed.contains(&Some(false)) || listed.iter().all(Option::is_none) {
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn wait_until(done: impl Fn() -> bool) {
    while !done() {
        sleep(LOOK_INTERVAL).await;
    }
}
