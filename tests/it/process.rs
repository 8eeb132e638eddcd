//! `factfold` as processes of its own: started, watched through what they log, stopped, frozen and killed by their ids.
//! None outlives its test.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::sleep;

use crate::binary::binary;

/// How long a process may take to start or to stop, on a machine that has much else to do.
pub(crate) const PROCESS_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process, and what it logged.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: NamedTempFile,
}

impl Process {
    /// `factfold --data …` with these arguments and variables. It gets nothing of our own environment that is a setting.
    pub(crate) fn start(name: impl Into<String>, data: &Path, args: &[&str], vars: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().expect("a file for the log");
        // Two handles that do not overwrite each other.
        let append = || fs::OpenOptions::new().append(true).open(log.path()).expect("the log");
        let mut command = Command::new(binary());
        command.arg("--data").arg(data).args(args).current_dir(data);
        for (name, _) in env::vars().filter(|(name, _)| {
            name.starts_with("FACTFOLD_") || matches!(name.as_str(), "KAFKA_BROKERS" | "DATABASE_URL")
        }) {
            command.env_remove(name);
        }
        command.envs(vars.iter().copied());
        command.stdin(Stdio::null()).stdout(append()).stderr(append());
        let child = command.spawn().expect("factfold starts");
        Self { child, name: name.into(), log }
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has now, and had at the most, in bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let field = |name: &str| {
            let value =
                status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of a process");
            value.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        signal::kill(pid, signal).expect("a child that was not waited for");
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGINT, as Ctrl-C: it stops in order.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::SIGINT);
        let status = self.ended().await;
        assert!(status.success(), "{} stopped with {status}: {}", self.name, self.tail());
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end: {}", self.name, self.tail());
            sleep(LOOK_EVERY).await;
        }
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "{} ended by itself, {ended:?}: {}", self.name, self.tail());
    }

    /// Waits for something that it does.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            self.assert_alive();
            assert!(
                Instant::now() < deadline,
                "{}: {what} is waited for in vain: {}",
                self.name,
                self.tail()
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// The lines that it logged, after so many.
    pub(crate) fn lines(&self, after: usize) -> Vec<Value> {
        let text = self.text();
        // A line that is being written has no end yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().skip(after).map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
    }

    /// All that it printed.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// The end of what it printed.
    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        format!("\n{}", lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    fn end(&mut self) {
        // It may have ended by itself. A frozen one is killed all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
