//! Three Kafka nodes: three copies, of which two must have what was acknowledged, so one node may be away. Each is killed
//! once, so the leader of every partition and the coordinator of every group and of every transaction is among them.
//! `factfold up` goes on all the while, and everything adds up.

use std::{env, sync::Arc, time::Instant};

use factfold::stack::{StackOptions, Throwaway};
use factfold_schemas::kafka::Cluster;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::{
    installation::{Installation, cluster},
    load::{Clients, Load},
    outage::{END_PATIENCE, kill_and_wait},
    proof::prove,
    world::{PATIENCE, wait_until},
};

#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_kafka_nodes_dies_and_up_goes_on() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 5 } else { 1 };
    // Quick to give up what a dead node will not answer.
    let mut installation = Installation::new()
        .await
        .with("FACTFOLD_SESSION_TIMEOUT_MS", "6000")
        .with("FACTFOLD_TRANSACTION_TIMEOUT_MS", "5000");
    let stack = Throwaway::start(&StackOptions::throwaway(3)).await.expect("three nodes");
    let addresses = installation.start_on(&stack).await;
    let load = Arc::new(Load::new());
    let mut dice = load.dice();
    let clients = Clients::start(&load, &cluster(&addresses), |user, roles| installation.token(user, roles));
    load.set_address(addresses.http.clone());
    for name in ["kafka-1", "kafka-2", "kafka-3"].repeat(rounds) {
        installation.go_on(&load, 50).await;
        kill_and_wait(stack.path(), name, &mut dice).await;
        let killed = Instant::now();
        installation.go_on(&load, 50).await;
        eprintln!("50 answers after {:?}", killed.elapsed());
        // The next one may only go when this one has all that it missed.
        let cluster = cluster(&addresses);
        tokio::task::spawn_blocking(move || wait_for_all_copies(&cluster, 3)).await.expect("no panic");
        eprintln!("all copies after {:?}", killed.elapsed());
    }
    let ended = clients.end(END_PATIENCE).await;
    ended.unwrap_or_else(|error| panic!("{error}: {}", installation.process().tail()));
    prove(&cluster(&addresses), &addresses.database_url, &load).await;
    installation.assert_alive();
    installation.stop().await;
    stack.stop().await;
}

/// Waits until every partition has so many copies that are up to date.
fn wait_for_all_copies(cluster: &Cluster, copies: usize) {
    let client: BaseConsumer = cluster.client().create().expect("a consumer");
    wait_until("every copy is up to date", || {
        client.fetch_metadata(None, PATIENCE).is_ok_and(|metadata| {
            let topics = metadata.topics().iter();
            topics.flat_map(|topic| topic.partitions()).all(|partition| partition.isr().len() == copies)
        })
    });
}
