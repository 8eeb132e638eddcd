//! What the commands have in common that run one role each, for production.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use crate::{
    data_dir::DataDir,
    failure::Failure,
    roles::Roles,
    settings::Settings,
    shutdown::Shutdown,
    system::{self, System},
    telemetry,
};

/// The flags of every role.
#[derive(Debug, clap::Args)]
#[group(id = "role")]
pub(super) struct Flags {
    /// Where the metrics listen [default: 127.0.0.1:9100]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Tells processes apart that share a host and a data directory; `up` is 0
    #[arg(long, value_name = "N", default_value_t = 1)]
    number: u16,
    #[command(flatten)]
    system: system::Flags,
}

/// A process that is about to run a role.
pub(super) struct Role {
    pub(super) settings: Settings,
    pub(super) key_file: PathBuf,
    pub(super) roles: Roles,
    shutdown: Shutdown,
}

/// Reads the settings, and begins to log and to show metrics.
pub(super) fn prepare(
    flags: &Flags,
    data: DataDir,
    more: Option<(&'static str, String)>,
) -> Result<Role, Failure> {
    let shutdown = Shutdown::listen().map_err(Failure::OutOfReach)?;
    let admin = flags.admin.map(|admin| ("admin", admin.to_string()));
    let directory = data.path().to_owned();
    let system = System::find_with(data, &flags.system, more.into_iter().chain(admin).collect())?;
    system.cluster()?;
    let settings = system.settings().clone();
    telemetry::log(&settings).map_err(Failure::Usage)?;
    telemetry::metrics(settings.admin).map_err(Failure::OutOfReach)?;
    let key_file = system.key_file();
    let roles = Roles::new(settings.clone(), &directory, flags.number).map_err(Failure::Usage)?;
    Ok(Role { settings, key_file, roles, shutdown })
}

impl Role {
    /// Runs what was added, until asked to stop.
    pub(super) async fn run(mut self, added: anyhow::Result<()>) -> Result<ExitCode, Failure> {
        let ended = match added {
            Ok(()) => self.roles.run(self.shutdown.requested()).await,
            Err(_) => self.roles.end(added).await,
        };
        ended.map(|()| ExitCode::SUCCESS).map_err(Failure::OutOfReach)
    }
}
