//! A private PostgreSQL.
//!
//! [`binaries`] finds the program, [`account`] the user it may run as, [`home`] the directory
//! where that user can keep data, [`cluster`] makes the database once, [`server`] is the running
//! server as a service.
//!
//! It is reached over loopback TCP with a password, and over nothing else: without a unix socket
//! there is no path that can be too long and no socket lock to be left behind. It must never
//! know a table.

mod account;
mod binaries;
mod cluster;
mod home;
mod server;

use super::StackOptions;
use super::ports::Ports;
use super::supervise::Supervisor;
use crate::data_dir::LockedDir;
use binaries::Binaries;
use home::Home;
use server::Server;

/// The superuser of the private cluster, and its database.
const USER: &str = "factfold";

/// A running server.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Supervisor,
    url: String,
}

impl Postgres {
    /// Starts the server, after making its cluster where there is none.
    pub(super) async fn start(
        dir: &LockedDir,
        ports: &Ports,
        options: &StackOptions,
    ) -> anyhow::Result<Self> {
        let home = Home::find_or_make(dir, account::for_postgres()?, options.console)?;
        let binaries = Binaries::find(home.version()?.as_deref()).await?;
        let password = cluster::password(dir)?;
        cluster::make_if_missing(&binaries, &home, &password).await?;
        let port = ports.postgres();
        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/{USER}");
        let server = Server::new(binaries, home, port, options.durability, dir.processes());
        let server = Supervisor::start(server, options.console).await?;
        Ok(Self { server, url })
    }

    /// Where clients connect, password included.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server.
    pub(super) async fn stop(self) {
        self.server.stop().await;
    }
}
