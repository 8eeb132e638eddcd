//! `factfold worker`: decides the commands of a service. Any number of them; the partitions are shared among them.

use std::process::ExitCode;

use factfold_schemas::topics::Service;

use super::role::{self, Flags};
use crate::{data_dir::DataDir, failure::Failure};

/// Decide the commands of a service, and react to its facts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: KAFKA_BROKERS=kafka:9092 factfold worker --service orders --number 2

Each worker has a name of its own, made of the host, the data directory and --number (or `instance` in the settings).
Two with the same name fence each other: the older one stops with exit code 3.")]
pub(super) struct Args {
    /// Whose commands: functions, goods, orders, users
    #[arg(long, value_name = "S", value_parser = super::arguments::service())]
    service: Service,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command until it is asked to stop.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let mut role = role::prepare(&args.flags, data, None)?;
    let added = role.roles.add_worker(args.service).await;
    role.roles.add_lag();
    role.run(added).await
}
