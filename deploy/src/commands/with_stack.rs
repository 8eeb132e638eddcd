//! `factfold with-stack`: runs a command on a private Kafka and PostgreSQL that are thrown away
//! after it. The test suite runs in it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::shutdown::Shutdown;
use crate::stack::{Stack, StackOptions, Throwaway};

const COMMAND_PATIENCE: Duration = Duration::from_secs(10);

/// Run a command on a private Kafka and PostgreSQL that are thrown away after it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold with-stack -- cargo test --workspace")]
pub(super) struct Args {
    /// How many Kafka nodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3))]
    kafka_nodes: u16,
    /// The command; it finds KAFKA_BROKERS and DATABASE_URL in its environment
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command, and ends as it ended.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut shutdown = Shutdown::listen().map_err(Failure::OutOfReach)?;
    let options = StackOptions::throwaway(args.kafka_nodes);
    let stack = tokio::select! {
        stack = Throwaway::start(&options) => stack?,
        () = shutdown.requested() => return Err(interrupted()),
    };
    let status = run_command(&args.command, &stack, &mut shutdown).await;
    stack.stop().await;
    let status = status.map_err(Failure::OutOfReach)?.ok_or_else(interrupted)?;
    Ok(exit_code(status))
}

fn interrupted() -> Failure {
    Failure::Refused(anyhow!("interrupted"))
}

/// Runs the command in a process group of its own, so that stopping reaches what it started too.
/// None when we were asked to stop.
async fn run_command(
    command: &[OsString],
    stack: &Stack,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Option<ExitStatus>> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("KAFKA_BROKERS", stack.brokers())
        .env("DATABASE_URL", stack.database_url())
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let group = Pid::from_raw(child.id().context("a child that was not waited for has an id")?.cast_signed());
    tokio::select! {
        status = child.wait() => return Ok(Some(status?)),
        () = shutdown.requested() => {}
    }
    // A group that is gone already is what we want.
    let _ = killpg(group, Signal::SIGTERM);
    if timeout(COMMAND_PATIENCE, child.wait()).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
        child.wait().await?;
    }
    Ok(None)
}

/// The command's own code; for a signal what a shell would say.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code =
        status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}
