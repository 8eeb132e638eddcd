//! The PostgreSQL server as a service that can be kept running.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::binaries::Binaries;
use super::home::Home;
use crate::stack::Durability;
use crate::stack::child::Program;
use crate::stack::supervise::Service;

/// How long the workers of a killed server may take to notice that it is gone.
const LEFT_BEHIND_PATIENCE: Duration = Duration::from_secs(30);
const LEFT_BEHIND_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// One server on one cluster.
pub(super) struct Server {
    binaries: Binaries,
    home: Home,
    port: u16,
    durability: Durability,
    processes: PathBuf,
}

impl Server {
    pub(super) fn new(
        binaries: Binaries,
        home: Home,
        port: u16,
        durability: Durability,
        processes: PathBuf,
    ) -> Self {
        Self { binaries, home, port, durability, processes }
    }

    fn log(&self) -> PathBuf {
        self.home.path.join("log")
    }

    /// Every setting is given on the command line, so none can be left over from another version.
    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=256MB".to_owned(),
            "max_wal_size=4GB".to_owned(),
            "checkpoint_timeout=15min".to_owned(),
            // Statements here are short; compiling them costs more than it gains.
            "jit=off".to_owned(),
            "random_page_cost=1.1".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
            "log_checkpoints=off".to_owned(),
        ];
        let flush = if self.durability == Durability::Throwaway { "off" } else { "on" };
        settings.extend(
            ["fsync", "synchronous_commit", "full_page_writes"].map(|name| format!("{name}={flush}")),
        );
        settings
    }
}

impl Service for Server {
    fn program(&self) -> Program {
        let mut arguments = vec![OsString::from("-D"), self.home.data().into()];
        for setting in self.settings() {
            arguments.extend([OsString::from("-c"), setting.into()]);
        }
        Program {
            name: "postgres".to_owned(),
            executable: self.binaries.program("postgres"),
            arguments,
            directory: self.home.path.clone(),
            account: self.home.account.clone(),
            output: self.log(),
            // SIGINT is PostgreSQL's "fast" stop: clients are sent away, data is written.
            // SIGQUIT is "immediate": it takes its workers along, which SIGKILL would not.
            stop_signal: match self.durability {
                Durability::Throwaway => Signal::SIGQUIT,
                Durability::Crashes | Durability::PowerCuts => Signal::SIGINT,
            },
            processes: self.processes.clone(),
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn logs(&self) -> Vec<PathBuf> {
        vec![self.log()]
    }

    /// Removes the `postmaster.pid` of a killed server: its process id may be another program's by
    /// now, and would block the start. Only when nothing works on the data any more, since that
    /// file is also what keeps two servers apart.
    async fn clear_the_way(&self) -> anyhow::Result<()> {
        let pid_file = self.home.data().join("postmaster.pid");
        if !pid_file.exists() {
            return Ok(());
        }
        let deadline = Instant::now() + LEFT_BEHIND_PATIENCE;
        loop {
            let left = working_in(&self.home.data())?;
            if left.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                bail!(
                    "processes {left:?} of an earlier server still work on {}: end them",
                    self.home.data().display()
                );
            }
            tokio::time::sleep(LEFT_BEHIND_POLL_INTERVAL).await;
        }
        match fs::remove_file(&pid_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", pid_file.display()))
            }
            _ => Ok(()),
        }
    }

    async fn is_ready(&self, pid: i32) -> bool {
        fs::read_to_string(self.home.data().join("postmaster.pid")).is_ok_and(|text| says_ready(&text, pid))
    }
}

/// PostgreSQL itself says when it takes clients: line 8 of `postmaster.pid`, if line 1 is our child.
fn says_ready(postmaster_pid: &str, pid: i32) -> bool {
    let mut lines = postmaster_pid.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// The PostgreSQL processes whose working directory is `data`: that is how every one of them runs.
fn working_in(data: &Path) -> anyhow::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc is needed")? {
        let path = entry.context("/proc is needed")?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let is_postgres =
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("postgres"));
        if is_postgres && fs::read_link(path.join("cwd")).is_ok_and(|directory| directory == data) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4711\n/data\n1795404000\n20001\n\n127.0.0.1\n  12345 0\nready   \n";

    #[test]
    fn ready_is_said_in_line_8_by_our_child() {
        assert!(says_ready(READY, 4711));
        assert!(!says_ready(READY, 4712), "left by another server");
        assert!(!says_ready(&READY.replace("ready", "starting"), 4711));
        assert!(!says_ready("4711\n", 4711));
    }

    #[test]
    fn nothing_works_in_an_empty_directory() {
        let temp = tempfile::tempdir().expect("temporary directory");
        assert_eq!(working_in(temp.path()).expect("/proc"), Vec::<i32>::new());
    }
}
