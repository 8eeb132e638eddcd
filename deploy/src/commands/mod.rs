//! The command line: one file a command, and what they share. A command parses, calls the
//! library, and prints; it must never hold logic that another command would need.

mod arguments;
mod as_of;
mod bench;
mod config;
mod dead_letters;
mod doctor;
mod documents;
mod functions;
mod gateway;
mod history;
mod prepare;
mod projections;
mod projector;
mod psql;
mod readable;
mod replay;
mod role;
mod schemas;
mod send;
mod shadow;
mod token;
mod topics;
mod up;
mod users;
mod verify;
mod watch;
mod with_stack;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::console::Console;
use crate::data_dir::DataDir;
use crate::failure::Failure;

/// An event-sourced system on Kafka and PostgreSQL: commands in, events out, read models to query.
#[derive(Debug, Parser)]
#[command(name = "factfold", version, max_term_width = 100)]
struct Cli {
    /// The data directory; without it, the nearest .factfold here or above
    #[arg(long, value_name = "DIR", env = "FACTFOLD_DATA")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Within<up::Args>),
    Gateway(Within<gateway::Args>),
    Worker(Within<worker::Args>),
    Projector(Within<projector::Args>),
    // Here --data is the command's own; the directory's stands before the command's name.
    Send(send::Args),
    Watch(Within<watch::Args>),
    History(Within<history::Args>),
    Replay(Within<replay::Args>),
    Topics(Within<topics::Args>),
    DeadLetters(dead_letters::Args),
    Functions(functions::Args),
    Projections(Within<projections::Args>),
    AsOf(Within<as_of::Args>),
    Verify(Within<verify::Args>),
    Shadow(Within<shadow::Args>),
    Psql(Within<psql::Args>),
    Doctor(Within<doctor::Args>),
    Token(Within<token::Args>),
    Users(Within<users::Args>),
    Config(Within<config::Args>),
    Bench(bench::Args),
    Schemas(schemas::Args),
    #[command(name = "openapi")]
    OpenApi(documents::OpenApi),
    #[command(name = "asyncapi")]
    AsyncApi(documents::AsyncApi),
    #[command(hide = true)]
    WithStack(with_stack::Args),
    #[command(hide = true)]
    Prepare,
}

// A command to which the data directory can be named behind its name too. (No doc comment: clap would show it as what the
// command does.)
#[derive(Debug, clap::Args)]
struct Within<A: clap::Args> {
    /// The data directory; without it, the nearest .factfold here or above
    #[arg(long = "data", id = "directory", value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    #[command(flatten)]
    args: A,
}

impl<A: clap::Args> Within<A> {
    fn split(self, before: Option<PathBuf>) -> Result<(A, DataDir), Failure> {
        Ok((self.args, DataDir::locate(self.directory.or(before).as_deref())?))
    }
}

/// Parses what was typed, runs that one command, and turns its end into the exit code of the process.
///
/// It is here and not in the binary because asynchronous code is compiled where it is first waited for: all of it would be compiled
/// with the binary, after the library, which takes a minute more.
#[tokio::main]
pub async fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _failpoints = crate::failpoints::from_environment().expect("failpoints");
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(failure) if failure.is_closed_output() => ExitCode::SUCCESS,
        Err(failure) => {
            Console::Quiet.warn(&format!("factfold: {failure}"));
            failure.exit_code()
        }
    }
}

impl Cli {
    /// Runs the command that was asked for.
    async fn run(self) -> Result<ExitCode, Failure> {
        let before = self.data;
        match self.command {
            Command::Up(within) => {
                let (args, data) = within.split(before)?;
                up::run(args, data).await
            }
            Command::Gateway(within) => {
                let (args, data) = within.split(before)?;
                gateway::run(args, data).await
            }
            Command::Worker(within) => {
                let (args, data) = within.split(before)?;
                worker::run(args, data).await
            }
            Command::Projector(within) => {
                let (args, data) = within.split(before)?;
                projector::run(args, data).await
            }
            Command::Send(args) => send::run(args, DataDir::locate(before.as_deref())?).await,
            Command::Watch(within) => {
                let (args, data) = within.split(before)?;
                watch::run(args, data).await
            }
            Command::History(within) => {
                let (args, data) = within.split(before)?;
                history::run(args, data).await
            }
            Command::Replay(within) => {
                let (args, data) = within.split(before)?;
                replay::run(args, data).await
            }
            Command::Topics(within) => {
                let (args, data) = within.split(before)?;
                topics::run(args, data).await
            }
            Command::Projections(within) => {
                let (args, data) = within.split(before)?;
                projections::run(args, data).await
            }
            Command::AsOf(within) => {
                let (args, data) = within.split(before)?;
                as_of::run(args, data).await
            }
            Command::Verify(within) => {
                let (args, data) = within.split(before)?;
                verify::run(args, data).await
            }
            Command::Shadow(within) => {
                let (args, data) = within.split(before)?;
                shadow::run(args, data).await
            }
            Command::Psql(within) => {
                let (args, data) = within.split(before)?;
                psql::run(args, data)
            }
            Command::Functions(args) => functions::run(args, before).await,
            Command::DeadLetters(args) => dead_letters::run(args, before).await,
            Command::Doctor(within) => {
                let (args, data) = within.split(before)?;
                doctor::run(args, data).await
            }
            Command::Token(within) => {
                let (args, data) = within.split(before)?;
                token::run(&args, data)
            }
            Command::Users(within) => {
                let (args, data) = within.split(before)?;
                users::run(args, data).await
            }
            Command::Config(within) => {
                let (args, data) = within.split(before)?;
                config::run(&args, data)
            }
            Command::Bench(args) => bench::run(args).await,
            Command::Schemas(args) => schemas::run(&args),
            Command::OpenApi(_) => documents::openapi(),
            Command::AsyncApi(_) => documents::asyncapi(),
            Command::WithStack(args) => with_stack::run(args).await,
            Command::Prepare => prepare::run().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_with_an_example() {
        for mut command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()).cloned() {
            let name = command.get_name().to_owned();
            assert!(command.get_about().is_some(), "{name}");
            assert!(command.render_long_help().to_string().contains("Example"), "{name}");
        }
    }
}
