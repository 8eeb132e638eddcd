//! `factfold bench`: speed against the floor, on a private Kafka and PostgreSQL that are thrown away after it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum as _;

use crate::{
    addresses::Addresses,
    bench::{self, Measure, Site, Sizes, report::Report},
    console::Console,
    failure::Failure,
    settings::{Settings, Sourced, Sources},
    shutdown::Shutdown,
    stack::{Durability, StackOptions, Throwaway},
    telemetry,
};

/// Measure how fast it is here, each figure beside its floor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold bench --only deciding --rounds 5

The floor is the same work by a program that does nothing but the protocol, in the same run on the
same brokers: for deciding, the same bytes consumed and produced in the same transactions; for one
command, one bare transaction; for gRPC, the same over HTTP; for projecting, the same rows written
from memory; for rebuilding, a bare consumer and then COPY of the rows that there are in the end; for
verifying, rebuilding; for replaying and taking over, a bare consumer; for functions, the sandbox
alone. It starts a Kafka and a PostgreSQL of
its own; with KAFKA_BROKERS and DATABASE_URL both set it measures on those, in a namespace that it
deletes again.")]
pub(super) struct Args {
    /// Only this; can be repeated
    #[arg(long, value_name = "WHAT", value_enum)]
    only: Vec<Measure>,
    /// How often; the figures are medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    rounds: u32,
    /// How many commands wait on the topic
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(20_000..))]
    commands: u32,
    /// How many events the history has that a read model is built anew from
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(20_000..))]
    events: u32,
    /// How many clients ask at the same time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one())]
    clients: u32,
    /// For how long they ask
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one())]
    seconds: u32,
    /// How many commands one client sends, one after the other
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = at_least_one())]
    single: u32,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Copies of each topic, on a cluster that was given
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    replication: i32,
    /// The settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// Measures, and prints what came out.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut shutdown = Shutdown::listen().map_err(Failure::OutOfReach)?;
    let given = Addresses::from_environment().map_err(Failure::Usage)?;
    let settings = settings(&args).map_err(Failure::Usage)?;
    telemetry::log(&settings).map_err(Failure::Usage)?;
    let report = tokio::select! {
        report = measure(&args, given, settings) => report?,
        () = shutdown.requested() => return Err(Failure::Refused(anyhow!("interrupted"))),
    };
    if args.json { report.print_json() } else { report.print() }?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args, given: Option<Addresses>, settings: Settings) -> Result<Report, Failure> {
    let sizes = sizes(args);
    let Some(addresses) = given else {
        let options = StackOptions {
            kafka_nodes: 1,
            kafka_port: None,
            secure_listener: None,
            durability: Durability::Crashes,
            console: Console::Talking,
        };
        let stack = Throwaway::start(&options).await?;
        let addresses = Addresses {
            kafka_brokers: stack.brokers().to_owned(),
            database_url: stack.database_url().to_owned(),
            http: None,
        };
        let site = Site { addresses, folder: stack.path().join("bench"), settings };
        let report = bench::run(&site, &sizes).await;
        stack.stop().await;
        return Ok(report?);
    };
    let folder = tempfile::tempdir().context("no temporary directory")?;
    let site = Site { addresses, folder: folder.path().to_owned(), settings };
    Ok(bench::run(&site, &sizes).await?)
}

fn sizes(args: &Args) -> Sizes {
    let mut measures = args.only.clone();
    if measures.is_empty() {
        let is_built =
            |measure: &Measure| *measure != Measure::Functions || factfold_registry::Registry::RUNS;
        measures.extend(Measure::value_variants().iter().copied().filter(is_built));
    }
    Sizes {
        measures,
        rounds: args.rounds as usize,
        commands: args.commands as usize,
        events: args.events as usize,
        single: args.single as usize,
        clients: args.clients as usize,
        seconds: u64::from(args.seconds),
    }
}

/// The settings of the roles, as the environment and the settings file have them.
fn settings(args: &Args) -> anyhow::Result<Settings> {
    let flags = [("partitions", args.partitions.to_string()), ("replication", args.replication.to_string())];
    let sourced = Sourced::read(Sources {
        file: args.config.clone(),
        running: vec![("log", "warn".to_owned())],
        environment: std::env::vars().filter(|(name, _)| name.starts_with("FACTFOLD_")).collect(),
        flags: flags.into(),
        ..Sources::default()
    })?;
    Ok(sourced.settings)
}
