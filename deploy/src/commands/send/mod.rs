//! `factfold send`: commands, one or many, written to Kafka as a gateway writes them, and what became of them.

mod example;
mod many;
mod one;
mod outcome;
mod replies;
mod seal;
pub(super) mod sender;
mod until;
pub(super) mod vocabulary;

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::ArgGroup;
use factfold_schemas::{json::Misfit, orders::Status};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use self::{seal::Seal, vocabulary::Vocabulary};
use super::arguments;
use crate::{
    blocking,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Send a command, and say what became of it
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["type_name", "file", "example"]))]
#[command(after_help = "\
Examples:
  factfold send AddGoods --data '{\"name\":\"Tea\",\"price\":{\"amount\":250,\"currency\":\"EUR\"},\"stock\":10}'
  factfold send PayOrder --stream order-0190e5b2-7c1d-7a90-b0c1-5d3f9a7e2c41 --data @payment.json
  factfold send CancelOrder --stream order-0190e5b2-7c1d-7a90-b0c1-5d3f9a7e2c41 --data @late.json --not-before 15m
  factfold send --example CreateOrder
  factfold send --file commands.ndjson --id-prefix import-7

A line of a file is {\"type\":…, \"stream\":…, \"id\":…, \"data\":…}; stream and id can be left out.
The whole file is checked before anything is sent. With --id (or --id-prefix, which numbers the
lines) it can be sent again safely, for 24 hours: what was decided is not decided twice, and
creates the same resource.

Whoever may write to Kafka is trusted: these commands act for anyone. The data directory is named
before the command here: factfold --data DIR send …")]
pub(super) struct Args {
    /// The command's type: AddGoods, CreateOrder, PayOrder …
    #[arg(value_name = "TYPE", requires = "data_text")]
    type_name: Option<String>,
    /// Which stream: its name, or its UUID; a creating command without one gets a fresh one
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
    /// The command's data
    #[arg(id = "data_text", long = "data", value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Names the command, so that it can be sent again safely
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Wait until the order has this status, or a final one (30 s at most, unless --wait says otherwise)
    #[arg(long, value_name = "STATUS")]
    until: Option<Status>,
    /// Send the commands in this file, one line of JSON each; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stream", "data_text", "id", "until"])]
    file: Option<PathBuf>,
    /// Names the commands of the file that have no id: <PREFIX>-<number of the line>
    #[arg(long, value_name = "PREFIX", requires = "file")]
    id_prefix: Option<String>,
    /// Print a body for this type
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["stream", "data_text", "id", "until"])]
    example: Option<String>,
    /// Let it wait: it is decided then, and not before
    #[arg(long, value_name = "TIME", value_parser = arguments::moment, conflicts_with_all = ["file", "example"])]
    not_before: Option<Timestamp>,
    /// How long to wait for the decision, or for the status [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    wait: Option<Duration>,
    /// Print JSON; with --file a line for each command
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    if let Some(type_name) = &args.example {
        let example = example::of(type_name).ok_or_else(|| unknown_type(type_name))?;
        output::json(&example)?;
        return Ok(ExitCode::SUCCESS);
    }
    // What is wrong with the command is said also where no Kafka runs.
    if let Some(file) = &args.file {
        let job = many::Job::read(file, args.id_prefix.clone())?;
        let system = System::find(data, &args.flags)?;
        let cluster = system.cluster()?;
        let seal = Seal::new(&cluster, system.sealing_file_in_use());
        return blocking::run(move |stop| job.run(&args, &cluster, &seal, stop)).await;
    }
    let command = one::Job::read(&args)?;
    let system = System::find(data, &args.flags)?;
    let cluster = system.cluster()?;
    let seal = Seal::new(&cluster, system.sealing_file_in_use());
    blocking::run(move |stop| command.sealed(&seal)?.run(&args, &cluster, stop)).await
}

impl Args {
    fn wait(&self) -> Duration {
        self.wait.unwrap_or(Duration::from_secs(5))
    }

    /// The data, from wherever it is.
    fn read_data(&self) -> Result<Value, Failure> {
        read_json(self.data.as_deref().unwrap_or_default()).map_err(Failure::Usage)
    }
}

/// JSON as it stands here, in a file (`@FILE`), or on stdin (`-`).
pub(super) fn read_json(text: &str) -> anyhow::Result<Value> {
    let text = match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).context("--data -: reading stdin")?;
            text
        }
        (_, Some(file)) => fs::read_to_string(file).with_context(|| format!("--data @{file}"))?,
        _ => text.to_owned(),
    };
    serde_json::from_str(&text).context("--data is not JSON")
}

/// What is wrong with a command.
fn misfits(what: &str, misfits: &[Misfit]) -> Failure {
    Failure::Usage(anyhow!("{what} was not sent:\n{}", misfits_said(misfits)))
}

/// A line for each field that is wrong.
pub(super) fn misfits_said(misfits: &[Misfit]) -> String {
    misfits.iter().map(said).collect::<Vec<_>>().join("\n")
}

fn said(misfit: &Misfit) -> String {
    format!("  {} {}", misfit.pointer, misfit.detail)
}

fn unknown_type(type_name: &str) -> Failure {
    match Vocabulary::new().service(type_name) {
        Err(misfit) => Failure::Usage(anyhow!("{}", misfit.detail)),
        Ok(_) => Failure::Usage(anyhow!("`{type_name}` has no example")),
    }
}

/// The UUID of what a command creates: a fresh one, or always the same for a command with a name.
fn fresh(type_name: &str, id: Option<&str>) -> Uuid {
    let named =
        |id| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{type_name}/{id}", sender::source()).as_bytes());
    id.map_or_else(Uuid::now_v7, named)
}
