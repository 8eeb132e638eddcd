//! Kill points: a worker and a projector die by SIGKILL between each two steps of what they do, once the first time they come
//! there and once later, come back, and in the end everything adds up.
//!
//! It is one long load, so that each life finds what the deaths before it left behind: records that were read and not decided,
//! transactions that are open, offsets that are pending, rows without a commit.

use std::{
    os::unix::process::ExitStatusExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::failpoints::reached;
use factfold_consumers::worker::points;
use factfold_projections::points as projector;
use nix::sys::signal::Signal;

use crate::{
    fleet::Fleet,
    load::{Clients, Load},
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(120);

/// One death.
#[derive(Debug, Clone, Copy)]
struct Death {
    point: &'static str,
    /// The pass of which it dies.
    pass: usize,
    /// What has to fail to come there, if anything has.
    failing: &'static str,
}

impl Death {
    fn at(point: &'static str, passes: &[usize]) -> impl Iterator<Item = Self> {
        passes.iter().map(move |&pass| Self { point, pass, failing: "" })
    }
}

/// The deaths of the worker of one service, whose threads come to a takeover on these passes.
fn of_a_worker(takeovers: &[usize]) -> Vec<Death> {
    // First: once its start is committed, no partition has one.
    let start = Death::at(points::START, &[1, 3]);
    let batch = points::BATCH.into_iter().flat_map(|point| Death::at(point, &[1, 5]));
    let takeover = points::TAKEOVER.into_iter().flat_map(|point| Death::at(point, takeovers));
    let failing = [
        (
            "worker::before-abort",
            ["worker::before-deliver=1*return", "worker::before-deliver=4*off->1*return"],
        ),
        ("worker::before-replace", ["worker::committed=1*return", "worker::before-commit=4*off->1*return"]),
        ("worker::before-recovery", ["worker::before-offsets=1*return", "worker::committed=4*off->1*return"]),
    ];
    assert_eq!(failing.map(|(point, _)| point), points::RECOVERY);
    let recovery = failing
        .into_iter()
        .flat_map(|(point, failing)| failing.map(|failing| Death { point, pass: 1, failing }));
    start.chain(batch).chain(takeover).chain(recovery).collect()
}

fn of_a_projector() -> Vec<Death> {
    let batch = projector::BATCH.into_iter().flat_map(|point| Death::at(point, &[1, 7]));
    // Each of its threads comes there once.
    let resume = projector::RESUME.into_iter().flat_map(|point| Death::at(point, &[1, 4]));
    resume.chain(batch).collect()
}

/// Dies these deaths, one after the other, and lives on.
async fn die(fleet: &Fleet, load: &Load, role: &[&str], deaths: Vec<Death>) -> crate::process::Process {
    for Death { point, pass, failing } in deaths {
        let at = format!("{point}@{pass}");
        let variables = [("KILLPOINT", at.as_str()), ("FAILPOINTS", failing)];
        let began = Instant::now();
        let mut process = fleet.start(format!("{} that dies at {at}", role[0]), role, 1, &variables);
        let status = process.ended().await;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{at}: {status}: {}", process.tail());
        let said = reached(point, pass, Signal::SIGKILL);
        assert!(process.text().contains(&said), "not at {at}: {}", process.tail());
        eprintln!("{}: {said} after {:?}, {} answers", role.join(" "), began.elapsed(), load.answers());
    }
    fleet.start(role[0], role, 1, &[])
}

/// Dying between any two steps loses nothing and doubles nothing.
#[tokio::test(flavor = "multi_thread")]
async fn dying_at_every_point_loses_nothing_and_doubles_nothing() {
    let fleet = Fleet::new().await;
    let load = Arc::new(Load::new());
    let (_gateway, address) = fleet.gateway(1).await;
    load.set_address(Some(format!("http://{address}")));
    let clients = Clients::start(&load, &fleet.world.cluster, |user, roles| fleet.token(user, roles));

    let keeper = points::KEEPER.into_iter().flat_map(|point| Death::at(point, &[1, 3]));
    let goods = of_a_worker(&[1]).into_iter().chain(keeper).collect::<Vec<_>>();
    let (orders, projector) = (of_a_worker(&[1, 3]), of_a_projector());
    eprintln!("{} deaths", goods.len() + orders.len() + projector.len());
    let _living = tokio::join!(
        die(&fleet, &load, &["worker", "--service", "goods"], goods),
        die(&fleet, &load, &["worker", "--service", "orders"], orders),
        die(&fleet, &load, &["projector"], projector),
    );

    fleet.go_on(&load, 200).await;
    clients.end(PATIENCE).await.expect("clients come to their ends");
    fleet.prove(&load).await;
}
