//! All roles in this process, with their gateway on a free port.

use std::time::Duration;

use anyhow::{Context as _, Result};
use factfold_producers::access::{Keys, Role};
use factfold_schemas::{ids::UserId, topics::Service};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::ground::Ground;
use crate::{roles::Roles, settings::Settings};

const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// A running system.
pub(super) struct System {
    pub(super) address: std::net::SocketAddr,
    keys: Keys,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<()>>,
}

impl System {
    /// Starts every role, as `factfold up` does.
    pub(super) async fn start(ground: &Ground) -> Result<Self> {
        let state_dir = Some(ground.folder.join("state"));
        let settings = Settings { state_dir, ..ground.settings.clone() };
        let key_file = ground.folder.join("token.pem");
        let mut roles = Roles::new(settings, &ground.folder, 0)?;
        for service in Service::ALL {
            roles.add_worker(service).await?;
        }
        roles.add_functions().await?;
        roles.add_projector().await?;
        roles.add_lag();
        roles.wait_for_workers().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the gateway")?;
        let address = listener.local_addr()?;
        roles.add_gateway(listener, &key_file).await?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(roles.run(async { drop(stopped.await) }));
        Ok(Self { address, keys: Keys::load_or_create(&key_file)?, stop, running })
    }

    /// The header of a request on behalf of somebody new, who may do everything.
    pub(super) fn authorization(&self) -> Result<String> {
        let token = self.keys.issue(
            UserId::generate(),
            &[Role::Merchant, Role::Customer, Role::Developer],
            TOKEN_TTL,
        )?;
        Ok(format!("Bearer {token}"))
    }

    /// Stops every role.
    pub(super) async fn stop(self) -> Result<()> {
        drop(self.stop);
        self.running.await?
    }
}
