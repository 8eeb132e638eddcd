//! Processes that outlive the program that started them, told apart for certain.
//!
//! A process id alone is never trusted: ids are used again. Whoever is to be ended must be the
//! process whose id, start time and boot were written down.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a process that should end is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One process, for ever: no later process has the same identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    pid: i32,
    /// In clock ticks since boot: the 22nd field of `/proc/<pid>/stat`.
    started_ticks: u64,
    boot_id: String,
}

impl ProcessIdentity {
    /// The identity of the process that has this id now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started_ticks = Stat::parse(&stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/<pid>/stat is unreadable"))?
            .started_ticks;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { pid, started_ticks, boot_id })
    }

    /// The process id; another process may have it by now.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether this very process still runs, and so still holds its ports and locks.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
            && fs::read_to_string(format!("/proc/{}/stat", self.pid))
                .is_ok_and(|stat| Stat::parse(&stat).is_some_and(|stat| stat.is_running()))
    }

    /// Ends the process: `signal` first, SIGKILL when that has not helped within `patience`.
    pub async fn end(&self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        for signal in [signal, Signal::SIGKILL] {
            if !self.is_alive() {
                return Ok(());
            }
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).context(format!("cannot end process {}", self.pid)),
            }
            let deadline = Instant::now() + patience;
            while self.is_alive() && Instant::now() < deadline {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        if self.is_alive() {
            bail!("process {} does not end, not even by SIGKILL", self.pid);
        }
        Ok(())
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.pid, self.started_ticks, self.boot_id)
    }
}

impl FromStr for ProcessIdentity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut words = text.split_whitespace();
        let (Some(pid), Some(ticks), Some(boot_id), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            bail!("not a process identity: {text:?}");
        };
        let pid: i32 = pid.parse().context("process id")?;
        if pid <= 1 {
            // 0 and below address process groups, 1 is init: no child of ours, and fatal to signal.
            bail!("not a process id: {pid}");
        }
        Ok(Self { pid, started_ticks: ticks.parse().context("start time")?, boot_id: boot_id.to_owned() })
    }
}

/// What is needed of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    threads: u64,
    started_ticks: u64,
}

impl Stat {
    /// The name in parentheses may hold spaces and parentheses itself, so fields are counted from
    /// the last one.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let started_ticks = fields.nth(1)?.parse().ok()?;
        Some(Self { state, threads, started_ticks })
    }

    /// A zombie only waits to be collected. But while it has other threads it is still on its way
    /// out, with its files open.
    fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_nasty_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 5 0 987654 1 2";
        assert_eq!(Stat::parse(stat), Some(Stat { state: 'S', threads: 5, started_ticks: 987_654 }));
    }

    #[test]
    fn a_zombie_runs_while_it_has_threads() {
        let zombie = |threads| Stat { state: 'Z', threads, started_ticks: 1 };
        assert!(zombie(2).is_running());
        assert!(!zombie(1).is_running());
    }

    #[test]
    fn this_process_is_alive_and_round_trips() {
        let me = ProcessIdentity::of(std::process::id().cast_signed()).expect("own stat");
        assert!(me.is_alive());
        assert_eq!(me.to_string().parse::<ProcessIdentity>().expect("own identity"), me);
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let me = ProcessIdentity::of(std::process::id().cast_signed()).expect("own stat");
        let earlier = ProcessIdentity { started_ticks: me.started_ticks + 1, ..me };
        assert!(!earlier.is_alive());
    }

    #[test]
    fn ids_that_address_groups_or_init_are_refused() {
        for text in ["0 5 b", "-1 5 b", "1 5 b", "7 5", "7 x b", ""] {
            assert!(text.parse::<ProcessIdentity>().is_err(), "{text:?}");
        }
    }
}
