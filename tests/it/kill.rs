//! Kills: `factfold up` is killed with SIGKILL under load at random moments, while it starts too, and started again, and
//! everything adds up: every acknowledged command has exactly one trace, nothing took effect twice, stock and money are
//! right to the unit, read models equal a fold of the events, and what clients were told is what is in the log.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    installation::{Installation, cluster},
    load::{Clients, Load},
    proof::prove,
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(180);

/// Kills under load lose nothing and double nothing.
#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_nothing_and_double_nothing() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 25 } else { 5 };
    let began = Instant::now();
    let mut installation = Installation::new().await;
    let mut addresses = installation.start().await;
    eprintln!("started in {:?}", began.elapsed());
    let load = Arc::new(Load::new());
    let mut dice = load.dice();
    let clients = Clients::start(&load, &cluster(&addresses), |user, roles| installation.token(user, roles));
    load.set_address(addresses.http.clone());
    for round in 0..rounds {
        installation.go_on(&load, 50 + dice.roll(150) as usize).await;
        // Answers come in bursts, with the transactions: the moment is to be anywhere between them.
        dice.any_moment(300).await;
        installation.kill();
        load.set_address(None);
        let (killed, answers) = (Instant::now(), load.answers());
        if dice.one_in(3) {
            installation.launch();
            dice.any_moment(4000).await;
            installation.kill();
            eprintln!("round {round}: killed {:?} after that, while it started", killed.elapsed());
        }
        let before = addresses.kafka_brokers.clone();
        addresses = installation.start().await;
        assert_eq!(addresses.kafka_brokers, before, "plain clients look for Kafka where it was");
        load.set_address(addresses.http.clone());
        eprintln!("round {round}: killed after {answers} answers, back in {:?}", killed.elapsed());
    }
    installation.go_on(&load, 200).await;
    let ended = clients.end(PATIENCE).await;
    ended.unwrap_or_else(|error| panic!("{error}: {}", installation.process().tail()));
    prove(&cluster(&addresses), &addresses.database_url, &load).await;
    installation.assert_alive();
    installation.stop().await;
    eprintln!("all in {:?}", began.elapsed());
}
