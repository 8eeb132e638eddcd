//! `factfold projector`: keeps the read models up to date. One is enough; a second one takes over when the first is gone.

use std::process::ExitCode;

use super::role::{self, Flags};
use crate::{data_dir::DataDir, failure::Failure};

/// Keep the read models in Postgres up to date
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: KAFKA_BROKERS=kafka:9092 DATABASE_URL=postgres://… factfold projector")]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command until it is asked to stop.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let mut role = role::prepare(&args.flags, data, None)?;
    let added = role.roles.add_projector().await;
    role.run(added).await
}
