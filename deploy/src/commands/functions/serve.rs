//! `factfold functions serve`: runs what is bound, and calls that nobody waits for. Any number of them; the work is shared among them.

use std::process::ExitCode;

use anyhow::anyhow;
use factfold_registry::Registry;

use crate::{
    commands::role::{self, Flags},
    data_dir::DataDir,
    failure::Failure,
};

/// Give bound functions their events, and run calls that nobody waits for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: KAFKA_BROKERS=kafka:9092 factfold functions serve --number 2

Calls that somebody waits for are run by the gateway that was asked. All of these and all gateways must have the same sealing
file (--config: sealing_file), or the functions' secrets stay closed to them.")]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command until it is asked to stop.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    if !Registry::RUNS {
        let said = "this build runs no functions: build it with `--features functions`";
        return Err(Failure::Usage(anyhow!(said)));
    }
    let mut role = role::prepare(&args.flags, data, None)?;
    let added = role.roles.add_functions().await;
    role.roles.add_lag();
    role.run(added).await
}
