//! `factfold functions`: write, try, deploy, call, bind and schedule functions. All but writing, trying and serving asks a gateway,
//! over HTTP, as anybody else would.

mod api;
mod binding;
mod calling;
mod configure;
mod deploying;
mod later;
mod logs;
mod schedule;
mod serve;
mod shown;
mod source;
mod starter;
mod testing;

use std::{path::PathBuf, process::ExitCode};

use factfold_schemas::functions::{FunctionName, Start};

use self::api::Api;
use super::Within;
use crate::{data_dir::DataDir, failure::Failure, output, system::Flags};

/// Write functions, deploy them, call them, and give them events
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold functions new add --lang js
  factfold functions test add.js
  factfold functions deploy add.js --path /add --public
  factfold functions call add '{\"a\":1,\"b\":2}'
  factfold functions bind add --topic orders.events --type OrderPaid --from now
  factfold functions schedule report --cron '0 6 * * *' --zone Europe/Berlin")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(starter::Args),
    Test(testing::Args),
    Deploy(Within<Asking<deploying::Args>>),
    List(Within<Asking<List>>),
    Show(Within<Asking<Show>>),
    Source(Within<Asking<Source>>),
    Versions(Within<Asking<Versions>>),
    Rollback(Within<Asking<Rollback>>),
    Call(Within<Asking<calling::Args>>),
    Result(Within<Asking<later::Args>>),
    Configure(Within<Asking<configure::Args>>),
    Bind(Within<Asking<binding::Args>>),
    Unbind(Within<Asking<Unbind>>),
    Schedule(Within<Asking<schedule::Args>>),
    Unschedule(Within<Asking<Unschedule>>),
    Logs(Within<Asking<logs::Args>>),
    Remove(Within<Asking<Remove>>),
    Serve(Within<serve::Args>),
}

// What a command says that asks a gateway. (No comment of its own: clap would show it.)
#[derive(Debug, clap::Args)]
struct Asking<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    gateway: api::Gateway,
    #[command(flatten)]
    flags: Flags,
}

/// List the functions
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions list")]
struct List {
    /// Those that were removed
    #[arg(long)]
    removed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show a function
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions show add")]
struct Show {
    /// Which
    name: FunctionName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the source of a function
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions source add --revision 1")]
struct Source {
    /// Which
    name: FunctionName,
    /// Which of its revisions; without it, the one that answers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    revision: Option<u32>,
}

/// List the revisions of a function
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions versions add")]
struct Versions {
    /// Which
    name: FunctionName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Put an earlier revision in the function's place; also of one that was removed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions rollback add 1")]
struct Rollback {
    /// Which
    name: FunctionName,
    /// To which revision
    #[arg(value_name = "REVISION", value_parser = clap::value_parser!(u32).range(1..))]
    revision: u32,
}

/// Give a function no more events
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions unbind add")]
struct Unbind {
    /// Which
    name: FunctionName,
}

/// Let a function tick no more
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions unschedule report")]
struct Unschedule {
    /// Which
    name: FunctionName,
}

/// Take a function away; rollback brings it back
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions remove add")]
struct Remove {
    /// Which
    name: FunctionName,
}

/// Runs the command.
pub(super) async fn run(args: Args, before: Option<PathBuf>) -> Result<ExitCode, Failure> {
    match args.command {
        Command::New(args) => starter::run(&args),
        Command::Test(args) => testing::run(args, before).await,
        Command::Deploy(within) => {
            let (args, api) = within.connect(before)?;
            deploying::run(args, &api).await
        }
        Command::List(within) => {
            let (args, api) = within.connect(before)?;
            shown::list(&api, args.removed, args.json).await
        }
        Command::Show(within) => {
            let (args, api) = within.connect(before)?;
            let function = api.function(args.name).await?;
            if args.json {
                output::json(&function)?
            } else {
                shown::show(&function)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Source(within) => {
            let (args, api) = within.connect(before)?;
            shown::source(&api, args.name, args.revision).await
        }
        Command::Versions(within) => {
            let (args, api) = within.connect(before)?;
            let function = api.function(args.name).await?;
            if args.json {
                output::json(&function.revisions)?
            } else {
                shown::versions(&function)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Rollback(within) => {
            let (args, api) = within.connect(before)?;
            let body = serde_json::json!({ "revision": args.revision });
            let function = api.change("POST", args.name, "/rollback", Some(body)).await?;
            let revision = function.revision.unwrap_or_default();
            output::line(&format!("{} is at revision {revision}", function.name))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Call(within) => {
            let (args, api) = within.connect(before)?;
            calling::run(args, &api).await
        }
        Command::Result(within) => {
            let (args, api) = within.connect(before)?;
            later::run(args, &api).await
        }
        Command::Configure(within) => {
            let (args, api) = within.connect(before)?;
            configure::run(args, &api).await
        }
        Command::Bind(within) => {
            let (args, api) = within.connect(before)?;
            binding::run(args, &api).await
        }
        Command::Unbind(within) => {
            let (args, api) = within.connect(before)?;
            let function = api.change("DELETE", args.name, "/binding", None).await?;
            output::line(&format!("{} is given no more events", function.name))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Schedule(within) => {
            let (args, api) = within.connect(before)?;
            schedule::run(args, &api).await
        }
        Command::Unschedule(within) => {
            let (args, api) = within.connect(before)?;
            let function = api.change("DELETE", args.name, "/schedule", None).await?;
            output::line(&format!("{} ticks no more", function.name))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Logs(within) => {
            let (args, api) = within.connect(before)?;
            logs::run(args, &api).await
        }
        Command::Remove(within) => {
            let (args, api) = within.connect(before)?;
            let function = api.change("DELETE", args.name, "", None).await?;
            let last = function.revisions.last().map_or(0, |deployed| deployed.revision);
            output::line(&format!(
                "{0} is removed; `factfold functions rollback {0} {last}` brings it back",
                function.name
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve(within) => {
            let (args, data) = within.split(before)?;
            serve::run(args, data).await
        }
    }
}

impl<A: clap::Args> Within<Asking<A>> {
    fn connect(self, before: Option<PathBuf>) -> Result<(A, Api), Failure> {
        let (Asking { args, gateway, flags }, data): (_, DataDir) = self.split(before)?;
        Ok((args, Api::connect(gateway, data, &flags)?))
    }
}

/// `beginning`, `now`, or a time.
fn start(text: &str) -> Result<Start, String> {
    text.parse().map_err(|error: factfold_schemas::functions::InvalidStart| error.to_string())
}
