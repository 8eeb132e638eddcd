//! `factfold up` as its users have it: the real binary, in a data directory of its own, with a private Kafka and Postgres
//! that it starts itself. It can be killed and started again. Nothing of it is left when the test is over, however it ends.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use factfold::{addresses::Addresses, console::Console, data_dir::DataDir, stack::Stack};
use factfold_producers::access::{Keys, Role};
use factfold_schemas::{ids::UserId, kafka::Cluster};
use tempfile::{NamedTempFile, TempDir};

/// How long a start may take on a machine that has much else to do.
const START_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An installation, running or not.
pub(crate) struct Installation {
    data: TempDir,
    log: NamedTempFile,
    running: Option<Child>,
}

impl Installation {
    /// A new one that was never started.
    pub(crate) fn new() -> Self {
        // PostgreSQL's user must be able to pass, so the directory is not 0700 as temporary ones are.
        let open = fs::Permissions::from_mode(0o755);
        let data = tempfile::Builder::new().prefix("factfold-kill-").permissions(open).tempdir();
        let log = NamedTempFile::new().expect("a file for the log");
        Self { data: data.expect("a temporary directory"), log, running: None }
    }

    /// Starts it, and waits until it serves.
    pub(crate) async fn start(&mut self) -> Addresses {
        let log = |file: &NamedTempFile| Stdio::from(file.reopen().expect("the log"));
        let mut command = Command::new(binary());
        command.arg("--data").arg(self.data.path());
        command.args(["up", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        for (name, _) in env::vars().filter(|(name, _)| {
            // It must find nothing but its own stack.
            name.starts_with("FACTFOLD_") || matches!(name.as_str(), "KAFKA_BROKERS" | "DATABASE_URL")
        }) {
            command.env_remove(name);
        }
        command.env("FACTFOLD_LOG", "warn").current_dir(self.data.path());
        let output = append(self.log.path()).expect("the log");
        command.stdin(Stdio::null()).stdout(log(&self.log)).stderr(Stdio::from(output));
        self.running = Some(command.spawn().expect("factfold starts"));
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.assert_alive();
            let dir = DataDir::locate(Some(self.data.path())).expect("a data directory");
            if let Ok(addresses) = dir.running() {
                return addresses;
            }
            assert!(Instant::now() < deadline, "it does not start: {}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.running.as_mut().map(|child| child.try_wait().expect("a child of ours"));
        assert!(!matches!(ended, Some(Some(_))), "it ended by itself, {ended:?}: {}", self.log());
    }

    /// SIGKILL: to factfold alone, not to the Kafka and the Postgres that it started.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().expect("it runs");
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }

    /// SIGINT, as Ctrl-C: it stops in order.
    pub(crate) async fn stop(mut self) {
        let mut child = self.running.take().expect("it runs");
        interrupt(child.id()).expect("a child of ours");
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                return assert!(status.success(), "it stopped with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                self.running = Some(child);
                panic!("it does not stop: {}", self.log());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A token for this user.
    pub(crate) fn token(&self, user: UserId, roles: &[Role]) -> String {
        let keys = Keys::load_or_create(&self.data.path().join("keys/token.pem")).expect("its keys");
        keys.issue(user, roles, Duration::from_secs(24 * 60 * 60)).expect("a token")
    }

    /// The end of what it printed.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("\n{}", lines[lines.len().saturating_sub(60)..].join("\n"))
    }
}

/// Its Kafka.
pub(crate) fn cluster(addresses: &Addresses) -> Cluster {
    Cluster { brokers: addresses.kafka_brokers.clone(), ..Cluster::default() }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
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

/// The binary of this build: tests lie in `target/<profile>/deps`.
fn binary() -> PathBuf {
    let me = env::current_exe().expect("the path of this test");
    let target = me.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let binary = target.join("factfold");
    assert!(binary.exists(), "{} is missing: cargo build -p factfold", binary.display());
    binary
}

fn append(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).open(path)
}

fn interrupt(pid: u32) -> anyhow::Result<()> {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    Ok(kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT)?)
}
