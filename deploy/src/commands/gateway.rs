//! `factfold gateway`: the HTTP API, writes and reads. Any number of them, behind plain round robin.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::role::{self, Flags};
use crate::{data_dir::DataDir, failure::Failure};

/// Serve the HTTP API: publish commands, query read models
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: KAFKA_BROKERS=kafka:9092 DATABASE_URL=postgres://… factfold gateway --http 0.0.0.0:8080

All gateways must have the same key file (--config: key_file), or they do not accept each other's tokens.")]
pub(super) struct Args {
    /// Where the HTTP API listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command until it is asked to stop.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let http = args.http.map(|http| ("http", http.to_string()));
    let mut role = role::prepare(&args.flags, data, http)?;
    let address = role.settings.http;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("the HTTP API cannot listen on {address}: name another with --http"))
        .map_err(Failure::OutOfReach)?;
    let added = role.roles.add_gateway(listener, &role.key_file).await;
    role.run(added).await
}
