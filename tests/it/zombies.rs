//! Zombies (rules 2, 4, 14 and 16): workers that were taken for dead and are not. What they had begun never was, whatever
//! they do when they wake up; the others go on; and the checker finds that everything adds up.

use std::{
    collections::BTreeMap,
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::failpoints::reached;
use factfold_schemas::{
    kafka::Cluster,
    topics::{Service, Topic},
};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::{
    fleet::{Fleet, Worker},
    load::{Clients, Dice, Load},
    open_transaction::stays_open,
    process::Process,
    world::PATIENCE,
};

/// The services that the load keeps busy: who has nothing to do gathers nothing.
const BUSY: [Service; 2] = [Service::Goods, Service::Orders];
/// No transaction takes so long, unless its worker is frozen.
const LONGER_THAN_ANY: Duration = Duration::from_secs(2);

/// A system with two workers of each service, and clients of it.
struct Pairs {
    fleet: Fleet,
    load: Arc<Load>,
    workers: BTreeMap<(Service, u16), Worker>,
    others: Vec<Process>,
}

impl Pairs {
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let load = Arc::new(Load::new());
        let mut workers = BTreeMap::new();
        for number in [1, 2] {
            for service in BUSY {
                workers.insert((service, number), fleet.worker(service, number));
            }
        }
        for worker in workers.values_mut() {
            worker.works().await;
        }
        let (gateway, address) = fleet.gateway(1).await;
        load.set_address(Some(format!("http://{address}")));
        let others = vec![gateway, fleet.projector(1)];
        Self { fleet, load, workers, others }
    }

    fn clients(&self) -> Clients {
        Clients::start(&self.load, &self.fleet.world.cluster, |user, roles| self.fleet.token(user, roles))
    }

    /// The worker of this number, and the other one.
    fn pair(&mut self, service: Service, number: u16) -> [&mut Worker; 2] {
        let mut of_service = self.workers.iter_mut().filter(|((other, _), _)| *other == service);
        let pair = [of_service.next(), of_service.next()].map(|worker| worker.expect("two of each").1);
        let [one, two] = pair;
        if number == 1 { [one, two] } else { [two, one] }
    }

    /// Lets the load end, and proves that it adds up. Nobody stopped by itself.
    async fn end(mut self, clients: Clients) {
        self.fleet.go_on(&self.load, 100).await;
        clients.end(2 * PATIENCE).await.expect("clients end");
        self.fleet.prove(&self.load).await;
        let workers = self.workers.values_mut().map(|worker| &mut worker.process);
        workers.chain(&mut self.others).for_each(Process::assert_alive);
    }
}

/// Stopped outside a transaction: it has nothing to do then. All its work goes to the other, and it wakes up in the middle
/// of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_while_its_partitions_moved_disturbs_nobody() {
    let mut pairs = Pairs::new().await;
    for service in BUSY {
        pairs.pair(service, 1)[0].process.signal(Signal::SIGSTOP);
    }
    let clients = pairs.clients();
    for service in BUSY {
        pairs.pair(service, 2)[0].is_alone().await;
    }
    pairs.fleet.go_on(&pairs.load, 100).await;
    for service in BUSY {
        let [sleeper, _] = pairs.pair(service, 1);
        sleeper.mark();
        sleeper.process.signal(Signal::SIGCONT);
    }
    for service in BUSY {
        pairs.pair(service, 1)[0].works().await;
    }
    pairs.end(clients).await;
}

/// Stopped inside a transaction, under load, until its session and its transaction are over and the other has everything:
/// it wakes up in the middle of what was given up for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_in_a_transaction_has_decided_nothing() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 10 } else { 2 };
    let mut pairs = Pairs::new().await;
    let clients = pairs.clients();
    let mut dice = pairs.load.dice();
    for round in 0..rounds {
        pairs.fleet.go_on(&pairs.load, 50).await;
        let service = BUSY[round % BUSY.len()];
        let (number, cluster) = (1 + dice.roll(2) as u16, pairs.fleet.world.cluster.clone());
        let [sleeper, other] = pairs.pair(service, number);
        let tries = freeze_in_a_transaction(sleeper, &cluster, &mut dice).await;
        let frozen = Instant::now();
        other.is_alone().await;
        eprintln!("round {round}: {service} {number}, try {tries}; moved after {:?}", frozen.elapsed());
        pairs.fleet.go_on(&pairs.load, 50).await;
        let [sleeper, _] = pairs.pair(service, number);
        sleeper.mark();
        sleeper.process.signal(Signal::SIGCONT);
        sleeper.works().await;
    }
    pairs.end(clients).await;
}

/// Stopped between gathering and beginning, until the other has everything: what it has in its hands was decided by the
/// other when it wakes up. The coordinator of the group refuses its offsets, and so all of its transaction. (Seen failing when
/// offsets are sent for no member and no generation: its events lie there twice, and the next takeover finds them.)
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_on_what_it_had_gathered_decides_none_of_it() {
    let mut pairs = Pairs::new().await;
    let clients = pairs.clients();
    let mut dice = pairs.load.dice();
    let points = ["worker::gathered", "worker::before-begin"];
    for (service, point) in BUSY.into_iter().flat_map(|service| points.map(|point| (service, point))) {
        let pass = 5 + dice.roll(20) as usize;
        let at = format!("{point}@{pass}");
        pairs.workers.remove(&(service, 1)).expect("the one before").process.stop().await;
        let sleeper = pairs.fleet.worker_with(service, 1, &[("FREEZEPOINT", &at)]);
        pairs.workers.insert((service, 1), sleeper);
        let [sleeper, other] = pairs.pair(service, 1);
        let said = reached(point, pass, Signal::SIGSTOP);
        sleeper
            .process
            .wait("that it is frozen", |process| process.text().contains(&said).then_some(()))
            .await;
        let frozen = Instant::now();
        other.is_alone().await;
        eprintln!("{service}: {said}; moved after {:?}", frozen.elapsed());
        pairs.fleet.go_on(&pairs.load, 50).await;
        let [sleeper, _] = pairs.pair(service, 1);
        sleeper.mark();
        sleeper.process.signal(Signal::SIGCONT);
        sleeper.works().await;
    }
    pairs.end(clients).await;
}

/// A second one under the same instance id: it was started by mistake, or the first was given up too early. They do not
/// fight: the first stops, and says whose name it had. (Seen failing when a fenced producer and a fenced member go on like
/// after any other error: they take turns in fencing each other, until one finds decisions that are not its own.)
#[tokio::test(flavor = "multi_thread")]
async fn of_two_under_one_id_the_first_stops_and_names_it() {
    let mut pairs = Pairs::new().await;
    let clients = pairs.clients();
    for service in BUSY {
        pairs.fleet.go_on(&pairs.load, 50).await;
        let twin = pairs.fleet.worker(service, 1);
        let mut first = pairs.workers.insert((service, 1), twin).expect("the first");
        let status = first.process.ended().await;
        let said = first.process.text();
        assert_eq!(status.code(), Some(3), "{said}");
        let last = said.lines().last().expect("it says why");
        let (_, named) = last.split_once("another process uses the id `").expect(last);
        let (id, _) = named.split_once('`').expect(last);
        // A transactional id ends in a turn's number, a member's in the worker's.
        assert!(id.ends_with("-1") || id.contains("-1-"), "{last}");
        pairs.pair(service, 1)[0].works().await;
    }
    pairs.end(clients).await;
}

/// Freezes it at random moments until it was one inside a transaction. Gives how many it took.
async fn freeze_in_a_transaction(worker: &Worker, cluster: &Cluster, dice: &mut Dice) -> usize {
    let deadline = Instant::now() + PATIENCE;
    for tries in 1.. {
        sleep(Duration::from_millis(dice.roll(50))).await;
        worker.process.signal(Signal::SIGSTOP);
        let (cluster, topics) = (cluster.clone(), outputs(worker.service));
        let asked = tokio::task::spawn_blocking(move || stays_open(&cluster, &topics, LONGER_THAN_ANY));
        if asked.await.expect("no panic") {
            return tries;
        }
        worker.process.signal(Signal::SIGCONT);
        assert!(Instant::now() < deadline, "it was never in a transaction");
    }
    unreachable!("it is always tried again");
}

/// Where a service's worker writes.
fn outputs(service: Service) -> Vec<Topic> {
    let mut outputs = vec![service.events(), service.outcomes(), service.timers()];
    if service == Service::Orders {
        outputs.extend(BUSY.map(Service::commands));
    }
    outputs
}
