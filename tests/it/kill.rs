//! One kill, or many: `factfold up` is killed with SIGKILL under load and started again, and everything adds up: every
//! acknowledged command has exactly one trace, nothing took effect twice, stock and money are right to the unit, read
//! models equal a fold of the events, and what clients were told is what is in the log.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::addresses::Addresses;
use factfold_checker::{
    check, gather,
    history::{Log, ServiceLog},
    quiescence,
    report::Report,
    shown,
};
use factfold_consumers::decider::Decider;
use factfold_producers::access::Role;
use factfold_projections::ReadSide;
use factfold_schemas::{ids::UserId, record::Outcome};
use reqwest::Client;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    installation::{Installation, cluster},
    load::{Dice, Load, Session, customer, plain_client},
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(180);
const CUSTOMERS: usize = 12;
const PLAIN_CLIENTS: usize = 2;

/// Kills under load lose nothing and double nothing.
#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_nothing_and_double_nothing() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 20 } else { 2 };
    let began = Instant::now();
    let mut installation = Installation::new();
    let mut addresses = installation.start().await;
    eprintln!("started in {:?}", began.elapsed());
    let load = Arc::new(Load::new());
    let mut clients = start_clients(&installation, &addresses, &load);
    load.set_address(addresses.http.clone());
    let mut dice = Dice::new();
    for round in 0..rounds {
        go_on(&mut installation, &load, 100 + dice.roll(300) as usize).await;
        installation.kill();
        load.set_address(None);
        let (killed, answers) = (Instant::now(), load.answers());
        let before = addresses.kafka_brokers.clone();
        addresses = installation.start().await;
        assert_eq!(addresses.kafka_brokers, before, "plain clients look for Kafka where it was");
        load.set_address(addresses.http.clone());
        eprintln!("round {round}: killed after {answers} answers, back in {:?}", killed.elapsed());
    }
    go_on(&mut installation, &load, 200).await;
    load.stop();
    let stopped = Instant::now();
    let ended = timeout(PATIENCE, async {
        while clients.join_next().await.transpose().expect("no panic").is_some() {}
    });
    assert!(ended.await.is_ok(), "clients do not come to their ends: {}", installation.log());
    eprintln!("clients ended in {:?}", stopped.elapsed());
    prove(&addresses, &load).await;
    installation.assert_alive();
    installation.stop().await;
    eprintln!("all in {:?}", began.elapsed());
}

/// Waits until clients got so many more answers.
async fn go_on(installation: &mut Installation, load: &Load, more: usize) {
    let began = Instant::now();
    let waited = load.wait_for_answers(load.answers() + more, PATIENCE).await;
    installation.assert_alive();
    waited.unwrap_or_else(|error| panic!("{error}: {}", installation.log()));
    eprintln!("{more} answers in {:?}", began.elapsed());
}

fn start_clients(installation: &Installation, addresses: &Addresses, load: &Arc<Load>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CUSTOMERS {
        let token = installation.token(UserId::generate(), &[Role::Customer, Role::Merchant]);
        let load = load.clone();
        clients.spawn(async move { customer(Session { load: &load, token, client: Client::new() }).await });
    }
    for _ in 0..PLAIN_CLIENTS {
        let (load, cluster) = (load.clone(), cluster(addresses));
        clients.spawn(async move { plain_client(&load, &cluster).await });
    }
    clients
}

/// Waits until nothing is on its way, and has everything checked.
async fn prove(addresses: &Addresses, load: &Load) {
    let began = Instant::now();
    let cluster = cluster(addresses);
    let reads = ReadSide::connect(&cluster, &addresses.database_url, 8).await.expect("the read models");
    quiescence::wait(&cluster, &reads, PATIENCE).await.expect("it becomes quiet");
    eprintln!("quiet after {:?}", began.elapsed());
    let mut report = Report::default();
    let reading = Instant::now();
    let log = gather::read(&cluster, true, &mut report).expect("the topics are readable");
    let shown = shown::ask(&reads, &cluster, &addresses.database_url, &log).await.expect("an answer");
    eprintln!("read in {:?}", reading.elapsed());
    let outcome = load.outcome();
    report.merge(check(&log, Some(&shown), &outcome.told));
    eprintln!("checked after {:?}: {report}", began.elapsed());
    assert!(report.is_sound(), "{report}");
    assert!(outcome.surprises.is_empty(), "{:#?}", outcome.surprises);
    assert_of_everything_some(&log);
}

/// A proof over nothing would prove nothing.
fn assert_of_everything_some(log: &Log) {
    for outcome in ["Rejected", "NoChange", "Repeated", "Forwarded", "DeadLettered"] {
        assert!(count(&log.goods, outcome) > 0, "there was no {outcome}");
    }
    assert!(count(&log.orders, "Forwarded") > 0, "no order was misplaced");
    for event in ["OrderConfirmed", "OrderRejected", "OrderPaid", "OrderRefunded", "OrderCancelled"] {
        let events = log.orders.events.iter().map(|event| <&str>::from(&event.record.data));
        assert!(events.filter(|name| *name == event).count() > 0, "there was no {event}");
    }
}

fn count<D: Decider>(log: &ServiceLog<D>, outcome: &str) -> usize {
    let outcomes = log.outcomes.iter().map(|at| &at.record.outcome);
    outcomes.filter(|other: &&Outcome| <&str>::from(*other) == outcome).count()
}
