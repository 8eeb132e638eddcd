//! `factfold prepare`: fetches what is needed only once on a machine. The scripts run it after a
//! build, so that it does not count against a start.

use std::process::ExitCode;

use crate::console::Console;
use crate::failure::Failure;
use crate::stack::Stack;

/// Runs the command.
pub(super) async fn run() -> Result<ExitCode, Failure> {
    Stack::prepare(Console::Talking).await?;
    Ok(ExitCode::SUCCESS)
}
