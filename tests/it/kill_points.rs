//! Kill points: workers, a projector and whoever serves a bound function die by SIGKILL between each two steps of what they do,
//! once the first time they come there and once later, come back, and in the end everything adds up.
//!
//! Each is one long load, so that each life finds what the deaths before it left behind: records that were read and not decided,
//! transactions that are open, offsets that are pending, rows without a commit.

use std::{
    collections::BTreeSet,
    env,
    os::unix::process::ExitStatusExt as _,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::failpoints::reached;
use factfold_consumers::worker::points;
use factfold_producers::access::Role;
use factfold_projections::points as projector;
use factfold_schemas::{functions::EMITTED, ids::UserId, letter, topics::Service};
use nix::sys::signal::Signal;
use tokio::time::interval;

use crate::{
    binding_protocol::{counted, happen, key, streams},
    bindings::{bind, deploy},
    fleet::Fleet,
    load::{Clients, Load},
    system::Client,
    world::{Job, settings, until},
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(120);

/// With one of so many events of one stream its function fails.
const BAD_EVERY: u64 = 64;

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
    start.chain(batch).chain(takeover).chain(recovery()).collect()
}

/// Transactions that fail, and deaths after that.
fn recovery() -> impl Iterator<Item = Death> {
    let failing = [
        (
            "worker::before-abort",
            ["worker::before-deliver=1*return", "worker::before-deliver=4*off->1*return"],
        ),
        ("worker::before-replace", ["worker::committed=1*return", "worker::before-commit=4*off->1*return"]),
        ("worker::before-recovery", ["worker::before-offsets=1*return", "worker::committed=4*off->1*return"]),
    ];
    assert_eq!(failing.map(|(point, _)| point), points::RECOVERY);
    failing.into_iter().flat_map(|(point, failing)| failing.map(|failing| Death { point, pass: 1, failing }))
}

/// The deaths of whoever serves a function that fails with some events for good. What a bound function has in common with every
/// other worker it dies of in a full run only.
fn of_a_bound_function() -> Vec<Death> {
    let start = Death::at(points::START, &[1, 3]);
    // Trying, and giving up, are about the same event: nobody lives to put it aside.
    let held = Death::at(points::HELD, &[1, 2]);
    let binding = points::BINDING.into_iter().flat_map(|point| Death::at(point, &[1]));
    let own = start.chain(held).chain(binding);
    if env::var_os("FACTFOLD_FULL").is_none() {
        return own.collect();
    }
    let later = points::BINDING.into_iter().flat_map(|point| Death::at(point, &[3]));
    let batch = points::BATCH.into_iter().flat_map(|point| Death::at(point, &[2]));
    let takeover = points::TAKEOVER.into_iter().flat_map(|point| Death::at(point, &[1]));
    own.chain(later).chain(batch).chain(takeover).chain(recovery()).collect()
}

fn of_a_projector() -> Vec<Death> {
    let batch = projector::BATCH.into_iter().flat_map(|point| Death::at(point, &[1, 7]));
    // Each of its threads comes there once.
    let resume = projector::RESUME.into_iter().flat_map(|point| Death::at(point, &[1, 4]));
    resume.chain(batch).collect()
}

/// Dies these deaths, one after the other, and lives on.
async fn die(
    fleet: &Fleet,
    answers: impl Fn() -> usize,
    role: &[&str],
    deaths: Vec<Death>,
) -> crate::process::Process {
    for Death { point, pass, failing } in deaths {
        let at = format!("{point}@{pass}");
        let variables = [("KILLPOINT", at.as_str()), ("FAILPOINTS", failing)];
        let began = Instant::now();
        let mut process = fleet.start(format!("{} that dies at {at}", role[0]), role, 1, &variables);
        let status = process.ended().await;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{at}: {status}: {}", process.tail());
        let said = reached(point, pass, Signal::SIGKILL);
        assert!(process.text().contains(&said), "not at {at}: {}", process.tail());
        eprintln!("{}: {said} after {:?}, {} answers", role.join(" "), began.elapsed(), answers());
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
    let answers = || load.answers();
    eprintln!("{} deaths", goods.len() + orders.len() + projector.len());
    let _living = tokio::join!(
        die(&fleet, answers, &["worker", "--service", "goods"], goods),
        die(&fleet, answers, &["worker", "--service", "orders"], orders),
        die(&fleet, answers, &["projector"], projector),
    );

    fleet.go_on(&load, 200).await;
    clients.end(PATIENCE).await.expect("clients come to their ends");
    fleet.prove(&load).await;
}

/// An event counts once, wherever whoever gives it to a function dies; and one with which it fails is put aside once.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_once_wherever_its_function_dies() {
    let fleet = Fleet::new().await;
    let world = &fleet.world;
    let streams = streams(8);
    let bad = &streams[0];
    let _decider = world.start(Job::Functions, settings("one"));
    let (_gateway, address) = fleet.gateway(1).await;
    let user = UserId::generate();
    let developer = Client::new(format!("http://{address}"), user, fleet.token(user, &[Role::Developer]));
    let source = format!(
        "export default (event, {{ state }}) => {{
            if (event.subject === '{bad}' && event.streamversion % {BAD_EVERY} == 8) throw new Error('it is bad');
            const number = (state ?? 0) + 1;
            return {{ state: number, events: [{{ type: 'Counted', data: {{ number }} }}] }};
        }}",
    );
    deploy(&developer, "counts", &source).await;
    bind(&developer, "counts", "orders.events", &[], "beginning").await;

    let deaths = of_a_bound_function();
    eprintln!("{} deaths", deaths.len());
    let given = || world.read(EMITTED).len();
    let mut dying = pin!(die(&fleet, given, &["functions", "serve"], deaths));
    let (mut next, mut ticks) = (1, interval(Duration::from_millis(200)));
    let _living = loop {
        tokio::select! {
            living = &mut dying => break living,
            _ = ticks.tick() => {
                happen(world, &streams, next..next + 1).await;
                next += 1;
            }
        }
    };

    let bad_ones = (1..next).filter(|version| version % BAD_EVERY == 8).count();
    let all = (next - 1) as usize * streams.len();
    let letters = || world.read(Service::Functions.dead_letters());
    until("everything has its end", async || match (given(), letters().len()) {
        (given, aside) if given + aside >= all => Ok(()),
        so_far => Err((so_far, all)),
    })
    .await;
    for stream in &streams {
        let good = next - 1 - if stream == bad { bad_ones as u64 } else { 0 };
        assert_eq!(counted(world, stream), (1..=good).collect::<Vec<_>>(), "{stream}");
    }
    let letters = letters();
    assert!(letters.iter().all(|letter| key(letter) == bad.as_str()));
    let positions: BTreeSet<_> = letters.iter().map(|letter| letter.header(letter::POSITION)).collect();
    assert_eq!((letters.len(), positions.len()), (bad_ones, bad_ones));
}
