//! `factfold up` as its users have it: the real binary, in a data directory of its own, with a private Kafka and Postgres
//! that it starts itself. It can be killed and started again. Nothing of it is left when the test is over, however it ends.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use factfold::{addresses::Addresses, console::Console, data_dir::DataDir, stack::Stack};
use factfold_producers::access::{Keys, Role};
use factfold_schemas::{ids::UserId, kafka::Cluster};
use tempfile::TempDir;

use crate::{
    load::Load,
    process::Process,
    turn::{self, Turn},
};

/// How long answers may take while nothing is in their way.
const ANSWERS_PATIENCE: Duration = Duration::from_secs(180);

/// An installation, running or not.
pub(crate) struct Installation {
    running: Option<Process>,
    data: TempDir,
    settings: Vec<(&'static str, &'static str)>,
    _turn: Turn,
}

impl Installation {
    /// A new one that was never started, as soon as it is its turn.
    pub(crate) async fn new() -> Self {
        Self::in_folder(Self::folder()).await
    }

    /// A folder that suits one.
    pub(crate) fn folder() -> TempDir {
        // PostgreSQL's user must be able to pass, so the directory is not 0700 as temporary ones are.
        let open = fs::Permissions::from_mode(0o755);
        let data = tempfile::Builder::new().prefix("factfold-fire-").permissions(open).tempdir();
        data.expect("a temporary directory")
    }

    /// The same as a new one, in this folder.
    pub(crate) async fn in_folder(data: TempDir) -> Self {
        let turn = turn::take().await;
        Self { running: None, data, settings: Vec::new(), _turn: turn }
    }

    /// The same, with this variable set.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.push((name, value));
        self
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn launch(&mut self) {
        self.launch_with(&[]);
    }

    /// Starts it, and waits until it serves.
    pub(crate) async fn start(&mut self) -> Addresses {
        self.launch();
        self.serves().await
    }

    /// Starts it on a stack that is there already, and waits until it serves.
    pub(crate) async fn start_on(&mut self, stack: &Stack) -> Addresses {
        let found = [("KAFKA_BROKERS", stack.brokers()), ("DATABASE_URL", stack.database_url())];
        self.start_with(&[&found, &[("FACTFOLD_PARTITIONS", "4")][..]].concat()).await
    }

    /// Starts it with these variables, and waits until it serves.
    pub(crate) async fn start_with(&mut self, variables: &[(&str, &str)]) -> Addresses {
        self.launch_with(variables);
        self.serves().await
    }

    fn launch_with(&mut self, variables: &[(&str, &str)]) {
        let arguments = ["up", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let variables = [variables, &self.settings, &[("FACTFOLD_LOG", "warn")]].concat();
        self.running = Some(Process::start("factfold up", self.data.path(), &arguments, &variables));
    }

    async fn serves(&mut self) -> Addresses {
        let dir = DataDir::locate(Some(self.data.path())).expect("a data directory");
        self.process().wait("that it serves", |_| dir.running().ok()).await
    }

    /// Waits until clients got so many more answers.
    pub(crate) async fn go_on(&mut self, load: &Load, more: usize) {
        let waited = load.wait_for_answers(load.answers() + more, ANSWERS_PATIENCE).await;
        self.assert_alive();
        waited.unwrap_or_else(|error| panic!("{error}: {}", self.process().tail()));
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        self.process().assert_alive();
    }

    /// SIGKILL: to factfold alone, not to the Kafka and the Postgres that it started.
    pub(crate) fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    /// SIGINT, as Ctrl-C: it stops in order.
    pub(crate) async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    /// A token for this user.
    pub(crate) fn token(&self, user: UserId, roles: &[Role]) -> String {
        let keys = Keys::load_or_create(&self.data.path().join("keys/token.pem")).expect("its keys");
        keys.issue(user, roles, Duration::from_secs(24 * 60 * 60)).expect("a token")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The process itself.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.running.as_mut().expect("it runs")
    }
}

/// Its Kafka.
pub(crate) fn cluster(addresses: &Addresses) -> Cluster {
    Cluster { brokers: addresses.kafka_brokers.clone(), ..Cluster::default() }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // Ended before its data goes.
        drop(self.running.take());
        let path = self.data.path().to_owned();
        // A runtime cannot be entered from within another.
        let cleared = std::thread::spawn(move || clear(&path)).join();
        if !matches!(cleared, Ok(Ok(()))) {
            eprintln!("{} could not be cleared away: {cleared:?}", self.data.path().display());
        }
    }
}

/// Ends what a killed factfold left running, by the ids in its data directory, and throws the data away.
fn clear(data: &Path) -> anyhow::Result<()> {
    let dir = DataDir::locate(Some(data)).and_then(DataDir::lock);
    let dir = dir.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Stack::end_orphans(&dir, Console::Quiet))?;
    dir.wipe()
}
