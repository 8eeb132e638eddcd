//! The clients of a load, from the first to the last.

use std::{sync::Arc, time::Duration};

use factfold_producers::access::Role;
use factfold_schemas::{ids::UserId, kafka::Cluster};
use reqwest::Client;
use tokio::{task::JoinSet, time::timeout};

use super::{Load, Session, customer::customer, plain::plain_client};

/// How many come over HTTP, as a rule.
const CUSTOMERS: usize = 12;
/// How many write straight onto the topics.
const PLAIN_CLIENTS: usize = 2;

/// Clients at work. Dropping them ends them at once.
pub(crate) struct Clients {
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// They begin as soon as the load knows where the gateway is.
    pub(crate) fn start(
        load: &Arc<Load>,
        cluster: &Cluster,
        token: impl Fn(UserId, &[Role]) -> String,
    ) -> Self {
        Self::start_many(CUSTOMERS, load, cluster, token)
    }

    /// The same, with so many over HTTP.
    pub(crate) fn start_many(
        customers: usize,
        load: &Arc<Load>,
        cluster: &Cluster,
        token: impl Fn(UserId, &[Role]) -> String,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for number in 0..customers {
            let token = token(UserId::generate(), &[Role::Customer, Role::Merchant]);
            // One keeps its connection, the next makes one for each request.
            let client = Client::builder().pool_max_idle_per_host(number % 2).build().expect("a client");
            let load = load.clone();
            tasks.spawn(async move { customer(Session { load: &load, token, client }).await });
        }
        for _ in 0..PLAIN_CLIENTS {
            let (load, cluster) = (load.clone(), cluster.clone());
            tasks.spawn(async move { plain_client(&load, &cluster).await });
        }
        Self { load: load.clone(), tasks }
    }

    /// They finish what they are at, and come no more.
    pub(crate) async fn end(mut self, patience: Duration) -> Result<(), String> {
        self.load.stop();
        let ended = timeout(patience, async {
            while self.tasks.join_next().await.transpose().expect("no panic").is_some() {}
        });
        ended.await.map_err(|_| format!("{} clients do not come to their ends", self.tasks.len()))
    }
}
