//! The data directory: `.factfold` of the clone, found upwards as git finds `.git`.
//!
//! It holds everything that one private stack keeps. One `up` at a time owns it, through a lock
//! that the kernel lets go of when the owner dies. It must never touch a directory that it did
//! not make itself: `lock` in it is the mark.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::addresses::Addresses;
use crate::failure::Failure;
use crate::process::ProcessIdentity;

const NAME: &str = ".factfold";
const LOCK: &str = "lock";
const ENV: &str = "env";

const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Where data goes that cannot live in the data directory itself; a link there leads to it.
pub(crate) const FAR_HOME: &str = "/var/lib/factfold";

/// A data directory that may not exist yet.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// The one that was asked for, else the nearest `.factfold` here or above, else `.factfold` here.
    pub fn locate(asked_for: Option<&Path>) -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .context("the current directory is out of reach")
            .map_err(Failure::OutOfReach)?;
        let path = match asked_for {
            Some(path) => here.join(path),
            None => here
                .ancestors()
                .map(|above| above.join(NAME))
                .find(|candidate| candidate.is_dir())
                .unwrap_or_else(|| here.join(NAME)),
        };
        Ok(Self { path })
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a stack was ever started in it.
    pub fn is_made(&self) -> bool {
        self.path.join(LOCK).exists()
    }

    /// The addresses of the stack that runs in it. This is how every other command finds them.
    pub fn running(&self) -> Result<Addresses, Failure> {
        let owner = read_owner(&self.path.join(LOCK)).filter(ProcessIdentity::is_alive);
        let env = fs::read_to_string(self.path.join(ENV)).ok().filter(|_| owner.is_some());
        let Some(env) = env else {
            return Err(Failure::OutOfReach(anyhow!(
                "the stack in {} is not running: deploy/up",
                self.path.display()
            )));
        };
        Addresses::from_env(&env)
            .with_context(|| format!("{}", self.path.join(ENV).display()))
            .map_err(Failure::OutOfReach)
    }

    /// Makes the directory where it is missing, and becomes its only owner.
    ///
    /// Waits a moment for another owner, who may have been killed just now: a process keeps its
    /// locks until its last thread is gone.
    pub fn lock(self) -> Result<LockedDir, Failure> {
        self.lock_within(LOCK_PATIENCE)
    }

    /// As [`Self::lock`], for whoever only wants a directory that nobody owns.
    pub(crate) fn lock_if_free(self) -> Result<LockedDir, Failure> {
        self.lock_within(Duration::ZERO)
    }

    fn lock_within(self, patience: Duration) -> Result<LockedDir, Failure> {
        self.create().map_err(Failure::OutOfReach)?;
        let path = self.path.canonicalize().context("data directory").map_err(Failure::OutOfReach)?;
        let lock_path = path.join(LOCK);
        let is_foreign = !lock_path.exists() && fs::read_dir(&path).is_ok_and(|mut all| all.next().is_some());
        if is_foreign {
            return Err(Failure::Usage(anyhow!(
                "{} is not empty and is no data directory of factfold: name another with --data",
                path.display()
            )));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("cannot write {}: is it yours?", lock_path.display()))
            .map_err(Failure::OutOfReach)?;
        match try_lock_within(&lock, patience) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = read_owner(&lock_path).map_or("?".to_owned(), |owner| owner.pid().to_string());
                return Err(Failure::Refused(anyhow!(
                    "process {owner} already runs the stack in {}: stop it first, or name another directory with --data",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Failure::OutOfReach(
                    anyhow!(error).context(format!("cannot lock {}", lock_path.display())),
                ));
            }
        }
        let mut dir = LockedDir { path, lock };
        // A killed owner leaves its addresses. With a living owner they would be believed again.
        dir.withdraw().and_then(|()| dir.sign()).map_err(Failure::OutOfReach)?;
        Ok(dir)
    }

    fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.path).with_context(|| {
            format!("cannot make the data directory {}: name another with --data", self.path.display())
        })
    }
}

/// A data directory that this process owns, and no other.
#[derive(Debug)]
pub struct LockedDir {
    path: PathBuf,
    lock: File,
}

impl LockedDir {
    /// Its path, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes into the lock who holds it.
    fn sign(&mut self) -> anyhow::Result<()> {
        let me = ProcessIdentity::of(std::process::id().cast_signed()).context("/proc is needed")?;
        self.lock.set_len(0).and_then(|()| writeln!(self.lock, "{me}")).context("data directory")
    }

    /// Where child processes are written down, so that the next start can end those that were left.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("processes")
    }

    /// Tells the other commands where the running system is. Only the owner may read it: it holds
    /// a password.
    pub fn publish(&self, addresses: &Addresses) -> anyhow::Result<()> {
        write_private(&self.path.join(ENV), &addresses.to_env())
    }

    /// Takes [`Self::publish`] back.
    pub fn withdraw(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.path.join(ENV)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("data directory"),
            _ => Ok(()),
        }
    }

    /// Whether anything is in it that could be lost.
    pub fn has_data(&self) -> anyhow::Result<bool> {
        Ok(!self.entries()?.is_empty())
    }

    /// Throws everything away but the lock. A link is followed only to [`FAR_HOME`]; whatever else
    /// somebody linked here is somebody's.
    pub fn wipe(&self) -> anyhow::Result<()> {
        for entry in self.entries()? {
            let failed = || format!("cannot throw {} away", entry.display());
            if entry.is_symlink() {
                let target = entry.canonicalize().unwrap_or_default();
                if target.parent() == Some(Path::new(FAR_HOME)) {
                    fs::remove_dir_all(&target).with_context(failed)?;
                }
                fs::remove_file(&entry).with_context(failed)?;
            } else if entry.is_dir() {
                fs::remove_dir_all(&entry).with_context(failed)?;
            } else {
                fs::remove_file(&entry).with_context(failed)?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).context("data directory")? {
            let entry = entry.context("data directory")?;
            if entry.file_name() != LOCK {
                entries.push(entry.path());
            }
        }
        Ok(entries)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    fs::rename(&new, path).with_context(failed)
}

fn try_lock_within(lock: &File, patience: Duration) -> Result<(), TryLockError> {
    let deadline = Instant::now() + patience;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_POLL_INTERVAL);
            }
            result => return result,
        }
    }
}

fn read_owner(lock: &Path) -> Option<ProcessIdentity> {
    fs::read_to_string(lock).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(temp: &tempfile::TempDir) -> DataDir {
        DataDir { path: temp.path().join("data") }
    }

    #[test]
    fn a_second_owner_is_refused_and_told_the_first() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let _first = data_dir(&temp).lock().expect("first owner");
        let failure = data_dir(&temp).lock().expect_err("second owner");
        assert!(matches!(failure, Failure::Refused(_)));
        assert!(failure.to_string().contains(&std::process::id().to_string()), "{failure}");
    }

    #[test]
    fn addresses_are_published_only_while_the_owner_lives() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = data_dir(&temp);
        let failure = dir.running().expect_err("nothing runs");
        assert!(failure.to_string().ends_with("is not running: deploy/up"), "{failure}");

        let addresses = Addresses { kafka_brokers: "k".to_owned(), database_url: "d".to_owned(), http: None };
        let locked = dir.clone().lock().expect("owner");
        locked.publish(&addresses).expect("publish");
        assert_eq!(dir.running().expect("running"), addresses);

        fs::write(dir.path().join(LOCK), "999999999 1 another-boot").expect("a dead owner");
        assert!(dir.running().is_err());
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(temp.path().join("data")).expect("directory");
        fs::write(temp.path().join("data/letter"), "dear").expect("file");
        assert!(matches!(data_dir(&temp).lock(), Err(Failure::Usage(_))));
    }

    #[test]
    fn wiping_keeps_the_lock_and_what_is_linked() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let locked = data_dir(&temp).lock().expect("owner");
        let elsewhere = temp.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("directory");
        std::os::unix::fs::symlink(&elsewhere, locked.path().join("postgres")).expect("link");
        fs::create_dir(locked.path().join("kafka")).expect("directory");
        locked.wipe().expect("wipe");
        assert!(elsewhere.exists());
        assert!(!locked.has_data().expect("readable"));
        assert!(locked.path().join(LOCK).exists());
    }
}
