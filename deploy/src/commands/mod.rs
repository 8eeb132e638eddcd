//! The command line: one file a command, and what they share. A command parses, calls the
//! library, and prints; it must never hold logic that another command would need.

mod prepare;
mod up;
mod with_stack;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::data_dir::DataDir;
use crate::failure::Failure;

/// An event-sourced system on Kafka and PostgreSQL: commands in, events out, read models to query.
#[derive(Debug, Parser)]
#[command(name = "factfold", version, max_term_width = 100)]
pub struct Cli {
    /// The data directory; without it, the nearest .factfold here or above
    #[arg(long, global = true, value_name = "DIR", env = "FACTFOLD_DATA")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    #[command(hide = true)]
    WithStack(with_stack::Args),
    #[command(hide = true)]
    Prepare,
}

impl Cli {
    /// Runs the command that was asked for.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let data = DataDir::locate(self.data.as_deref());
        match self.command {
            Command::Up(args) => up::run(args, data?).await,
            Command::WithStack(args) => with_stack::run(args).await,
            Command::Prepare => prepare::run().await,
        }
    }
}
