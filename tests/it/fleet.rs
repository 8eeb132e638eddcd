//! The roles as processes of their own, as in production, on the run's shared Kafka and Postgres, in a namespace of their
//! own.

use std::{env, process::Output, time::Duration};

use factfold_consumers::worker::groups;
use factfold_producers::access::{Keys, Role};
use factfold_projections::{Catalogue, migrate};
use factfold_schemas::{ids::UserId, topics::Service};
use tempfile::TempDir;

use crate::{
    binary::binary,
    load::Load,
    process::{PROCESS_PATIENCE, Process},
    proof::{prove, prove_what_was},
    turn::{self, Turn},
    world::{PARTITIONS, World, of_functions},
};

/// What the processes of a test share.
pub(crate) struct Fleet {
    pub(crate) world: World,
    database_url: String,
    data: TempDir,
    keys: Keys,
    _turn: Turn,
}

impl Fleet {
    /// None runs yet. Topics and tables are there.
    pub(crate) async fn new() -> Self {
        let turn = turn::take().await;
        let world = World::new().await;
        let database_url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
        migrate(&world.cluster, &database_url).await.expect("tables");
        let data = tempfile::tempdir().expect("a temporary directory");
        let keys = Keys::load_or_create(&data.path().join("keys/token.pem")).expect("a key");
        Self { world, database_url, data, keys, _turn: turn }
    }

    /// A worker of this service. Two of the same number have the same instance id.
    pub(crate) fn worker(&self, service: Service, number: u16) -> Worker {
        self.worker_with(service, number, &[])
    }

    /// The same, with more variables in its environment.
    pub(crate) fn worker_with(&self, service: Service, number: u16, more: &[(&str, &str)]) -> Worker {
        let name = format!("the {service} worker {number}");
        let process = self.start(name, &["worker", "--service", service.name()], number, more);
        Worker { process, service, from: 0 }
    }

    /// A projector.
    pub(crate) fn projector(&self, number: u16) -> Process {
        self.start(format!("the projector {number}"), &["projector"], number, &[])
    }

    /// A gateway, and where it is.
    pub(crate) async fn gateway(&self, number: u16) -> (Process, String) {
        let name = format!("the gateway {number}");
        let mut process = self.start(name, &["gateway", "--http", "127.0.0.1:0"], number, &[]);
        let address = |process: &Process| {
            let lines = process.lines(0);
            lines.iter().find_map(|line| line["http.address"].as_str().map(str::to_owned))
        };
        let address = process.wait("that it serves", address).await;
        (process, address)
    }

    /// A role of this number, with more variables in its environment.
    pub(crate) fn start(
        &self,
        name: impl Into<String>,
        role: &[&str],
        number: u16,
        more: &[(&str, &str)],
    ) -> Process {
        let number = number.to_string();
        let (namespace, functions) = (self.world.name(), of_functions().collect::<Vec<_>>());
        let arguments = [role, &["--admin", "127.0.0.1:0", "--number", &number]].concat();
        let mut variables = vec![
            ("KAFKA_BROKERS", self.world.cluster.brokers.as_str()),
            ("DATABASE_URL", &self.database_url),
            ("FACTFOLD_NAMESPACE", &namespace),
            // Quick to notice what is gone.
            ("FACTFOLD_SESSION_TIMEOUT_MS", "6000"),
            ("FACTFOLD_TRANSACTION_TIMEOUT_MS", "5000"),
            // Nothing happens by itself while a long test looks.
            ("FACTFOLD_ORDER_EXPIRY_MS", "86400000"),
            // The database is everybody's.
            ("FACTFOLD_CONNECTIONS_MAX", "4"),
            ("FACTFOLD_LOG", "info"),
            ("FACTFOLD_LOG_FORMAT", "json"),
        ];
        variables.extend(functions.iter().map(|(_, variable, value)| (*variable, value.as_str())));
        variables.extend(more);
        Process::start(name, self.data.path(), &arguments, &variables)
    }

    /// A command of the command line, on this system.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(binary());
        command
            .arg("--data")
            .arg(self.data.path())
            .args(arguments)
            .env("KAFKA_BROKERS", &self.world.cluster.brokers)
            .env("DATABASE_URL", &self.database_url)
            .env("FACTFOLD_NAMESPACE", self.world.name())
            .kill_on_drop(true);
        command.output().await.expect("factfold runs")
    }

    /// The builds of its read models.
    pub(crate) async fn catalogue(&self) -> Catalogue {
        Catalogue::open(&self.world.cluster, &self.database_url).await.expect("the catalogue")
    }

    /// A token for this user.
    pub(crate) fn token(&self, user: UserId, roles: &[Role]) -> String {
        self.keys.issue(user, roles, Duration::from_secs(60 * 60)).expect("a token")
    }

    /// Waits until clients got so many more answers.
    pub(crate) async fn go_on(&self, load: &Load, more: usize) {
        let waited = load.wait_for_answers(load.answers() + more, PROCESS_PATIENCE).await;
        waited.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until nothing is on its way, and proves that everything adds up.
    pub(crate) async fn prove(&self, load: &Load) {
        prove(&self.world.cluster, &self.database_url, load).await;
    }

    /// The same of whatever clients did.
    pub(crate) async fn prove_what_was(&self) {
        prove_what_was(&self.world.cluster, &self.database_url, &[]).await;
    }
}

/// What a worker says when it has got partitions.
pub(crate) const TAKEN_OVER: &str = "all partitions are taken over";
/// What a worker says when it has another number of partitions than before.
const HOW_MANY: [&str; 2] = [TAKEN_OVER, "partitions were given up"];

/// A worker's process.
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) service: Service,
    /// What it said before does not count.
    from: usize,
}

impl Worker {
    /// From here on only what it says counts.
    pub(crate) fn mark(&mut self) {
        self.from = self.process.lines(0).len();
    }

    /// Waits until each of its threads has partitions of its own.
    pub(crate) async fn works(&mut self) {
        self.has("partitions of its own", |now, _| now > 0).await;
    }

    /// Waits until each of its threads has all there is.
    pub(crate) async fn is_alone(&mut self) {
        self.has("all partitions", |now, all| now == all).await;
    }

    async fn has(&mut self, what: &str, enough: impl Fn(u64, u64) -> bool) {
        let (groups, from) = (groups(self.service), self.from);
        let look = |process: &Process| {
            let lines = process.lines(from);
            let has = |(group, all): &(String, u64)| {
                let mut of_group = lines.iter().rev().filter(|line| {
                    line["message"].as_str().is_some_and(|message| HOW_MANY.contains(&message))
                        && line["group"].as_str().is_some_and(|name| name.ends_with(group.as_str()))
                });
                let now = of_group.next().and_then(|line| line["partitions"].as_u64());
                now.is_some_and(|now| enough(now, *all))
            };
            groups.iter().all(has).then_some(())
        };
        self.process.wait(what, look).await;
    }
}

/// The groups of a service's worker, each with how many partitions there are for it.
fn groups(service: Service) -> Vec<(String, u64)> {
    let of_service = groups::all().into_iter().filter(|group| group.service == service);
    of_service
        .map(|group| (group.name, group.inputs.len() as u64 * u64::from(PARTITIONS.unsigned_abs())))
        .collect()
}
