//! Two of everything: two gateways behind plain round robin, two workers of each service, two projectors, each a process of
//! its own. One of each is killed and comes back, under load; people notice nothing, and everything adds up.

use std::{collections::BTreeMap, env, sync::Arc};

use factfold_producers::access::Role;
use factfold_schemas::{ids::UserId, topics::Service};

use crate::{
    balancer::Balancer,
    fleet::{Fleet, Worker},
    load::{Clients, Load},
    process::Process,
    system::Client,
    walk::walk,
    world::PATIENCE,
};

/// What there are two of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Gateway,
    Worker(Service),
    Projector,
}

const KINDS: [Kind; 4] =
    [Kind::Gateway, Kind::Worker(Service::Goods), Kind::Worker(Service::Orders), Kind::Projector];

/// A process of any kind.
enum Member {
    Gateway(Process, String),
    Worker(Worker),
    Projector(Process),
}

/// Two of everything, and the balancer before the gateways.
struct Twos {
    fleet: Fleet,
    balancer: Balancer,
    members: BTreeMap<(Kind, u16), Member>,
}

impl Twos {
    async fn start() -> Self {
        let fleet = Fleet::new().await;
        let mut twos = Self { fleet, balancer: Balancer::start().await, members: BTreeMap::new() };
        for number in [1, 2] {
            for kind in KINDS {
                twos.come(kind, number).await;
            }
        }
        twos
    }

    /// Starts one, and waits until it does its work.
    async fn come(&mut self, kind: Kind, number: u16) {
        let member = match kind {
            Kind::Gateway => {
                let (process, address) = self.fleet.gateway(number).await;
                Member::Gateway(process, address)
            }
            Kind::Worker(service) => {
                let mut worker = self.fleet.worker(service, number);
                worker.works().await;
                Member::Worker(worker)
            }
            Kind::Projector => Member::Projector(self.fleet.projector(number)),
        };
        self.members.insert((kind, number), member);
        self.balance();
    }

    /// Kills one.
    fn go(&mut self, kind: Kind, number: u16) {
        self.members.remove(&(kind, number)).expect("it runs").into_process().kill();
    }

    fn balance(&self) {
        let addresses = self.members.values().filter_map(|member| match member {
            Member::Gateway(_, address) => Some(address.clone()),
            _ => None,
        });
        self.balancer.set(addresses.collect());
    }

    fn client(&self, role: Role) -> Client {
        let user = UserId::generate();
        Client::new(&self.balancer.http, user, self.fleet.token(user, &[role])).patient()
    }
}

impl Member {
    fn into_process(self) -> Process {
        match self {
            Self::Gateway(process, _) | Self::Projector(process) => process,
            Self::Worker(worker) => worker.process,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_is_killed_and_comes_back_and_nobody_notices() {
    let rounds = if env::var_os("FACTFOLD_FULL").is_some() { 5 } else { 1 };
    let mut twos = Twos::start().await;
    let load = Arc::new(Load::new());
    let mut dice = load.dice();
    load.set_address(Some(twos.balancer.http.clone()));
    let clients =
        Clients::start(&load, &twos.fleet.world.cluster, |user, roles| twos.fleet.token(user, roles));
    for kind in [KINDS; 5].into_iter().take(rounds).flatten() {
        let (merchant, customer) = (twos.client(Role::Merchant), twos.client(Role::Customer));
        let walking = tokio::spawn(async move { walk(&merchant, &customer).await });
        // Anywhere in the walk; and away for longer or less than a session.
        dice.any_moment(500).await;
        let number = 1 + dice.roll(2) as u16;
        twos.go(kind, number);
        twos.fleet.go_on(&load, 20 + dice.roll(200) as usize).await;
        twos.come(kind, number).await;
        walking.await.unwrap_or_else(|error| panic!("without the {kind:?} {number}: {error}"));
        eprintln!("{kind:?} {number} was away");
    }
    twos.fleet.go_on(&load, 100).await;
    clients.end(2 * PATIENCE).await.expect("clients end");
    twos.fleet.prove(&load).await;
    twos.members.into_values().for_each(|member| member.into_process().assert_alive());
}
