//! How a command finds the system: its settings, from the flags, the environment, the stack that runs in the data directory,
//! and the settings file. It must never start anything.

use std::{
    net::{IpAddr, ToSocketAddrs},
    path::PathBuf,
};

use anyhow::anyhow;
use factfold_schemas::kafka::Cluster;

use crate::{
    data_dir::DataDir,
    failure::Failure,
    settings::{Settings, Sourced, Sources},
};

/// A private node has few partitions, since a transaction's cost grows with those it touches, and one copy of each.
pub(crate) const PRIVATE: [(&str, &str); 2] = [("partitions", "4"), ("replication", "1")];

/// The flags of every command that looks for the system.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// The settings file; without it, factfold.toml beside the data directory
    #[arg(long, value_name = "FILE", env = "FACTFOLD_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The system that a command works on.
#[derive(Debug)]
pub struct System {
    data: DataDir,
    sourced: Sourced,
    /// The stack in the data directory is a private node of ours.
    private: bool,
}

impl System {
    /// Reads the settings.
    pub fn find(data: DataDir, flags: &Flags) -> Result<Self, Failure> {
        Self::find_with(data, flags, Vec::new())
    }

    /// Reads the settings, under these flags of the command line.
    pub fn find_with(
        data: DataDir,
        flags: &Flags,
        values: Vec<(&'static str, String)>,
    ) -> Result<Self, Failure> {
        let mut running = Vec::new();
        let private = match data.running() {
            Ok(addresses) => {
                let private = data.path().join("kafka").is_dir() && is_loopback(&addresses.kafka_brokers);
                running.push(("brokers", addresses.kafka_brokers));
                running.push(("database_url", addresses.database_url));
                private
            }
            Err(_) => false,
        };
        if private {
            running.extend(PRIVATE.map(|(key, value)| (key, value.to_owned())));
        }
        let sourced = Sourced::read(Sources {
            file: flags.config.clone(),
            beside: data.path().parent().map(Into::into),
            running,
            flags: values,
            environment: environment(),
        })
        .map_err(Failure::Usage)?;
        Ok(Self { data, sourced, private })
    }

    /// Everything that is set.
    pub fn settings(&self) -> &Settings {
        &self.sourced.settings
    }

    /// Everything that is set, and where it came from.
    pub fn sourced(&self) -> &Sourced {
        &self.sourced
    }

    /// The Kafka cluster. Without one named, it is the stack in the data directory that is missing.
    pub fn cluster(&self) -> Result<Cluster, Failure> {
        self.settings().cluster().map_err(|_| self.not_running())
    }

    /// PostgreSQL's address.
    pub fn database(&self) -> Result<&str, Failure> {
        self.settings().database().map_err(|_| self.not_running())
    }

    /// Whether Kafka is the private node of the data directory.
    pub fn is_private(&self) -> bool {
        self.private && self.source("brokers") == "the running stack"
    }

    /// Where this setting came from.
    pub fn source(&self, key: &str) -> String {
        let shown = self.sourced.shown().into_iter().find(|(name, ..)| name == key);
        shown.map_or_else(String::new, |(_, _, source)| source)
    }

    /// The key that signs access tokens.
    pub fn key_file(&self) -> PathBuf {
        self.settings().key_file(self.data.path())
    }

    /// The same, where a system uses it: a key that is made in nobody's directory would open nothing.
    pub fn key_file_in_use(&self) -> Result<PathBuf, Failure> {
        if self.settings().key_file.is_some() || self.data.is_made() {
            Ok(self.key_file())
        } else {
            Err(self.not_running())
        }
    }

    /// The secrets that seal personal data, where a system uses them.
    pub fn sealing_file_in_use(&self) -> Result<PathBuf, Failure> {
        if self.settings().sealing_file.is_some() || self.data.is_made() {
            Ok(self.settings().sealing_file(self.data.path()))
        } else {
            Err(self.not_running())
        }
    }

    fn not_running(&self) -> Failure {
        let path = self.data.path().display();
        Failure::OutOfReach(anyhow!("the stack in {path} is not running: deploy/up"))
    }
}

/// The variables of this process that are texts. An empty one says nothing.
fn environment() -> Vec<(String, String)> {
    let texts = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    texts.filter(|(_, value)| !value.is_empty()).collect()
}

/// Whether none of these brokers can be reached from another machine.
pub fn is_loopback(brokers: &str) -> bool {
    brokers.split(',').all(|broker| {
        let addresses = broker.trim().to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        !addresses.is_empty()
            && addresses.iter().map(|address| address.ip()).all(|ip: IpAddr| ip.is_loopback())
    })
}
