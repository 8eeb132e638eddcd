//! One child process: started in a process group of its own (so that Ctrl-C stays ours), written
//! down before it runs, and ended.
//!
//! It must never leave a process that is not written down: the child waits behind a gate until
//! its identity is on disk, and goes away by itself when its parent dies before that.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::data_dir::write_private;
use crate::process::ProcessIdentity;

/// How long a child may take to stop before it is killed.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Waits for a line on stdin, then becomes the program. End of input means that the parent died.
const GATE: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// The user that a child runs as, when that is not our own.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What to run, and how to stop it.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// As people call it, such as `kafka`.
    pub(super) name: String,
    pub(super) executable: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) directory: PathBuf,
    pub(super) account: Option<Account>,
    /// Where its stdout and stderr are appended.
    pub(super) output: PathBuf,
    pub(super) stop_signal: Signal,
    /// The directory where running children are written down.
    pub(super) processes: PathBuf,
}

impl Program {
    /// Starts it. The child is killed when the result is dropped.
    pub(super) async fn spawn(&self) -> anyhow::Result<Child> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.output)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GATE])
            .arg(&self.name)
            .arg(&self.executable)
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().context("output file")?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut process =
            command.spawn().with_context(|| format!("cannot run {}", self.executable.display()))?;
        let pid = process.id().context("a child that was not waited for has an id")?.cast_signed();

        let record = self.processes.join(&self.name);
        fs::create_dir_all(&self.processes).context("data directory")?;
        write_private(&record, &ProcessIdentity::of(pid).context("/proc is needed")?.to_string())?;
        let mut gate = process.stdin.take().context("the gate's input was asked for")?;
        gate.write_all(b"go\n").await.context("the child ended before it began")?;
        Ok(Child { process, pid, record, stop_signal: self.stop_signal })
    }
}

/// A child that runs, or has ended and was not asked yet how.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    pid: i32,
    record: PathBuf,
    stop_signal: Signal,
}

impl Child {
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it ends by itself, or by somebody else's hand.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Stops it: its own signal first, SIGKILL when that takes longer than [`STOP_PATIENCE`].
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        match kill(Pid::from_raw(self.pid), self.stop_signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context(format!("cannot stop process {}", self.pid)),
        }
        if timeout(STOP_PATIENCE, self.process.wait()).await.is_err() {
            self.process.kill().await.context("cannot kill a child")?;
        }
        fs::remove_file(&self.record).context("data directory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(temp: &tempfile::TempDir, script: &str) -> Program {
        Program {
            name: "child".to_owned(),
            executable: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            directory: temp.path().to_owned(),
            account: None,
            output: temp.path().join("output"),
            stop_signal: Signal::SIGTERM,
            processes: temp.path().join("processes"),
        }
    }

    #[tokio::test]
    async fn a_child_is_written_down_while_it_runs() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let child = program(&temp, "exec sleep 60").spawn().await.expect("a shell");
        let record = fs::read_to_string(temp.path().join("processes/child")).expect("record");
        let identity: ProcessIdentity = record.parse().expect("identity");
        assert!(identity.is_alive());
        child.stop().await.expect("stop");
        assert!(!identity.is_alive());
        assert!(!temp.path().join("processes/child").exists());
    }

    #[tokio::test]
    async fn output_and_exit_code_are_the_programs() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let mut child = program(&temp, "echo said; exit 7").spawn().await.expect("a shell");
        assert_eq!(child.ended().await.expect("status").code(), Some(7));
        assert_eq!(fs::read_to_string(temp.path().join("output")).expect("output"), "said\n");
    }
}
