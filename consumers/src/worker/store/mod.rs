//! The store: what a worker knows, on disk beside the log (rule 17). With it a decider's takeover folds only the end of a
//! history, and its memory holds only the aggregates that are used; and a keeper of timers holds only when they are due.
//!
//! It is a cache of the log. Nothing is lost with it, so nothing waits for a disk, and nothing is repaired: whatever does not
//! fit, cannot be read or cannot be written is thrown away, and the worker goes on without. It must never be a reason not to
//! decide, and never be believed more than the log.
//!
//! One database for each worker instance, with one keyspace for each partition: a [`Shelf`].

mod meta;
mod shelf;

use std::{
    collections::HashMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fjall::{Database, KeyspaceCreateOptions};

pub(super) use self::{
    meta::{Binding, Meta, Progress},
    shelf::{Fault, Shelf},
};

/// A process that is just ending keeps its locks until its last thread is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Blocks of the database in memory: what is used often is in the worker's own memory already.
const CACHE_BYTES: u64 = 16 << 20;
/// What one partition gathers in memory before it becomes a file.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// While this file is there, what is beside it is not to be believed.
const CONDEMNED: &str = "condemned";

/// The database of one worker instance.
pub(super) struct Store {
    database: Database,
    folder: PathBuf,
    cluster_id: String,
    /// Something went wrong: it is not used any more.
    is_broken: AtomicBool,
    leases: Mutex<HashMap<i32, Arc<Lease>>>,
}

/// Who may write to a partition's keyspace: whoever opened it last. A takeover that comes late finds itself superseded,
/// instead of putting old states over new ones.
#[derive(Debug, Default)]
struct Lease {
    holder: AtomicU64,
    writing: Mutex<()>,
}

impl Store {
    /// Opens the database of this instance; one that cannot be opened is thrown away. `None` when even that does not help:
    /// the worker goes on in memory.
    pub(super) fn open(state_dir: &Path, group: &str, instance: &str, cluster_id: &str) -> Option<Arc<Self>> {
        let folder = state_dir.join(file_name(group)).join(file_name(instance));
        let opened = match open_in_time(&folder) {
            Err(error @ (Opening::Condemned | Opening::Damaged(_))) => {
                tracing::warn!(folder = %folder.display(), %error, "the stored state is thrown away");
                remove(&folder).and_then(|()| open_in_time(&folder))
            }
            opened => opened,
        };
        match opened {
            Ok(database) => Some(Arc::new(Self {
                database,
                folder,
                cluster_id: cluster_id.to_owned(),
                is_broken: AtomicBool::default(),
                leases: Mutex::default(),
            })),
            Err(error) => {
                tracing::error!(folder = %folder.display(), %error, "no state is stored: memory has to hold it all");
                None
            }
        }
    }

    /// What the cluster calls itself whose logs are cached here.
    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The shelf of a partition. Whoever had it before must not touch it any more. `None` when the store is broken.
    pub(super) fn shelf(self: &Arc<Self>, partition: i32) -> Option<Shelf> {
        if self.is_broken() {
            return None;
        }
        let lease = {
            let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(leases.entry(partition).or_default())
        };
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        match self.database.keyspace(&partition.to_string(), options) {
            Ok(keyspace) => Some(Shelf::new(Arc::clone(self), keyspace, lease)),
            Err(error) => {
                self.give_up(&error.to_string());
                None
            }
        }
    }

    /// Whether something went wrong, so that it is not used any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Something went wrong: no more of it in this run, and the next one begins with an empty one.
    pub(super) fn give_up(&self, error: &str) {
        if !self.is_broken.swap(true, Ordering::AcqRel) {
            tracing::error!(folder = %self.folder.display(), error, "the state is not stored any more");
            // Where not even this can be written, the next run finds out by itself.
            let _ = fs::write(self.folder.join(CONDEMNED), "");
        }
    }
}

impl Lease {
    /// Makes somebody else the holder, once whoever is writing is done.
    fn grant(&self) -> u64 {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.holder.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn is_held_by(&self, holder: u64) -> bool {
        self.holder.load(Ordering::Acquire) == holder
    }
}

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
enum Opening {
    #[error("another process uses it")]
    InUse,
    #[error("a worker met an error in it")]
    Condemned,
    #[error("{0}")]
    Damaged(String),
}

fn open_in_time(folder: &Path) -> Result<Database, Opening> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match open(folder) {
            Err(Opening::InUse) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            opened => return opened,
        }
    }
}

fn open(folder: &Path) -> Result<Database, Opening> {
    if folder.join(CONDEMNED).exists() {
        return Err(Opening::Condemned);
    }
    fs::create_dir_all(folder).map_err(|error| Opening::Damaged(error.to_string()))?;
    let open = || Database::builder(folder).worker_threads(1).cache_size(CACHE_BYTES).open();
    // What it finds on the disk may be anything; a panic over it must not end the worker.
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(fjall::Error::Locked)) => Err(Opening::InUse),
        Ok(Err(error)) => Err(Opening::Damaged(error.to_string())),
        Err(_) => Err(Opening::Damaged("it panicked".to_owned())),
    }
}

fn remove(folder: &Path) -> Result<(), Opening> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Opening::Damaged(error.to_string())),
        _ => Ok(()),
    }
}

/// A name from the settings, as the name of a folder that leads nowhere else.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}
