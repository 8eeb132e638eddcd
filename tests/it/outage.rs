//! The stack itself dies: Kafka, then PostgreSQL, each with SIGKILL, under load, and is started again by its supervisor.
//! `factfold up` goes on all the while, and everything adds up.

use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::process::ProcessIdentity;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    installation::{Installation, cluster},
    load::{Clients, Dice, Load},
    proof::prove,
    world::until,
};

/// How long clients may take to come to their ends.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn kafka_and_postgres_die_and_come_back_and_up_goes_on() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 5 } else { 1 };
    let mut installation = Installation::new().await;
    let addresses = installation.start().await;
    let load = Arc::new(Load::new());
    let mut dice = load.dice();
    let clients = Clients::start(&load, &cluster(&addresses), |user, roles| installation.token(user, roles));
    load.set_address(addresses.http.clone());
    for name in ["kafka", "postgres"].repeat(rounds) {
        installation.go_on(&load, 100).await;
        kill_and_wait(installation.data(), name, &mut dice).await;
    }
    installation.go_on(&load, 200).await;
    let ended = clients.end(END_PATIENCE).await;
    ended.unwrap_or_else(|error| panic!("{error}: {}", installation.process().tail()));
    prove(&cluster(&addresses), &addresses.database_url, &load).await;
    installation.assert_alive();
    installation.stop().await;
}

/// Kills this process of the stack in this directory at any moment, and waits until its supervisor has started another.
pub(crate) async fn kill_and_wait(data: &Path, name: &str, dice: &mut Dice) {
    dice.any_moment(300).await;
    let record = data.join("processes").join(name);
    let runs =
        || fs::read_to_string(&record).ok()?.parse::<ProcessIdentity>().ok().filter(|it| it.is_alive());
    let dead = runs().expect("it runs, and is written down");
    kill(Pid::from_raw(dead.pid()), Signal::SIGKILL).expect("it runs");
    let killed = Instant::now();
    until("another one is started", async || match runs() {
        Some(now) if now != dead => Ok(()),
        _ => Err(name),
    })
    .await;
    eprintln!("{name} was killed, another began after {:?}", killed.elapsed());
}
