//! What can be set about a worker.

use std::{path::PathBuf, sync::Arc, time::Duration};

use factfold_vault::Vault;

/// Settings of one worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names this worker among all of its group, and stays the same over restarts: `<host>-<hash of data dir>-<n>`. It
    /// becomes the `group.instance.id` and part of the transactional ids.
    pub instance: String,
    /// When the group gives a silent worker's partitions away.
    pub session_timeout: Duration,
    /// When the broker gives up an open transaction. No longer than the session timeout (rule 16): an open transaction
    /// of a dead worker holds back its successor.
    pub transaction_timeout: Duration,
    /// The most records of one transaction.
    pub batch_records_max: usize,
    /// The most bytes of input of one transaction.
    pub batch_bytes_max: usize,
    /// How many transactional producers take turns. The next transaction begins while the markers of the last are still
    /// being written.
    pub turns: usize,
    /// How many commands of a partition are remembered for their repeats, at most.
    pub repeats_max: usize,
    /// For how long, in the broker's time.
    pub repeats_age: Duration,
    /// Where the states are stored beside the log, so that a takeover need not fold all of it (rule 17). `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// How many aggregates of a partition are kept in memory; the others are read from the store when they are needed.
    /// Without a store all of them are kept.
    pub live_max: usize,
    /// What seals personal data in commands that came straight onto the topic. Only the users service needs it.
    pub vault: Option<Arc<Vault>>,
}

impl Settings {
    /// The defaults, for this instance.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            session_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(20),
            batch_records_max: 5_000,
            batch_bytes_max: 8 << 20,
            turns: 3,
            repeats_max: 250_000,
            repeats_age: Duration::from_secs(24 * 60 * 60),
            state_dir: None,
            live_max: 25_000,
            vault: None,
        }
    }
}
