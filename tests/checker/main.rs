//! `checker`: reads all topics and read models of a running system, and prints what does not add up.
//!
//! Exit code 0: everything adds up; 1: something does not, or could not be read.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser;
use factfold_checker::{check, gather, quiescence, report::Report, shown};
use factfold_projections::ReadSide;
use factfold_schemas::{kafka::Cluster, topics::Namespace};

/// Prove that everything on the topics and in the read models adds up
#[derive(Debug, Parser)]
#[command(name = "checker")]
struct Args {
    /// Kafka's bootstrap servers
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
    /// PostgreSQL
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The prefix of topics, groups and schemas
    #[arg(long, env = "FACTFOLD_NAMESPACE", default_value = "")]
    namespace: String,
    /// Do not wait until all is quiet: check only what holds at any moment
    #[arg(long)]
    live: bool,
    /// How long to wait until all is quiet, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(report) => {
            println!("{report}");
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("checker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<Report> {
    let namespace = match args.namespace.as_str() {
        "" => Namespace::default(),
        name => name.parse()?,
    };
    let cluster = Cluster { brokers: args.brokers, namespace, ..Cluster::default() };
    let reads = ReadSide::connect(&cluster, &args.database_url, 8).await.context("the read models")?;
    if !args.live {
        quiescence::wait(&cluster, &reads, Duration::from_secs(args.patience)).await?;
    }
    let asked = cluster.clone();
    let (log, mut report) = tokio::task::spawn_blocking(move || {
        let mut report = Report::default();
        gather::read(&asked, !args.live, &mut report).map(|log| (log, report))
    })
    .await??;
    let shown = match args.live {
        true => None,
        false => Some(shown::ask(&reads, &cluster, &args.database_url, &log).await?),
    };
    report.merge(check(&log, shown.as_ref(), &[]));
    Ok(report)
}
