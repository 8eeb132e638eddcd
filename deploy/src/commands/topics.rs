//! `factfold topics`: makes the topics, and compares them with what they must be.

use std::process::ExitCode;

use factfold_projections::log_reader::Log;
use factfold_schemas::topics::Service;
use serde_json::json;

use crate::{
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
    topics,
};

/// Make the topics, or compare them with what they must be
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold topics create --partitions 12 --replication 3")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make what is missing; what is there stays as it is
    #[command(after_help = "Example: factfold topics create --partitions 12 --replication 3")]
    Create {
        /// Partitions of each topic of a service, fixed for ever [default: 12; 4 on a private node]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Copies of each partition [default: 3; 1 on a private node]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        replication: Option<i32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare them with what they must be; exit code 1 when something is wrong
    #[command(after_help = "Example: factfold topics check --json")]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Create { partitions, replication, json } => {
            let values = [("partitions", partitions), ("replication", replication)];
            let values =
                values.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))).collect();
            let system = System::find_with(data, &args.flags, values)?;
            create(&system, partitions, json).await
        }
        Command::Check { json } => check(&System::find(data, &args.flags)?, json).await,
    }
}

async fn create(system: &System, asked_for: Option<i32>, json: bool) -> Result<ExitCode, Failure> {
    let cluster = system.cluster()?;
    let log = Log::open(&cluster, notice)?;
    // A topic that is made later must fit those that are there.
    let there =
        Service::ALL.iter().find_map(|service| log.partitions(&cluster.topic(service.commands())).ok());
    let partitions = match (asked_for, there) {
        (None, Some(there)) => there,
        _ => system.settings().partitions,
    };
    let made = topics::create(&cluster, partitions, system.settings().replication).await?;
    if json {
        output::json(&json!({ "created": made }))?;
    } else {
        for name in &made {
            output::line(&format!("made {name}"))?;
        }
        if made.is_empty() {
            output::line("all topics are there already")?;
        }
    }
    findings(&topics::check(&cluster).await?)
}

async fn check(system: &System, json: bool) -> Result<ExitCode, Failure> {
    let cluster = system.cluster()?;
    Log::open(&cluster, notice)?;
    let found = topics::check(&cluster).await?;
    if json {
        output::json(&json!({ "findings": found }))?;
        return Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if found.is_empty() {
        output::line("the topics are as they must be")?;
    }
    findings(&found)
}

fn findings(found: &[String]) -> Result<ExitCode, Failure> {
    found.iter().try_for_each(|finding| output::line(finding))?;
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
