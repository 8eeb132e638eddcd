//! `factfold functions bind`

use std::process::ExitCode;

use factfold_schemas::functions::{FunctionName, Start};
use serde_json::json;

use super::{api::Api, start};
use crate::{failure::Failure, output};

/// Give a function every event of a topic, each once in effect
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold functions bind points --topic orders.events --type OrderPaid --from beginning

What the function returns is stored in the same transaction as its place: `commands`, `events` of
its own, and its `state` for this stream.")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// The topic: orders.events, goods.events …
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Only events of this type; can be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// From where on: beginning, now, or a time as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "START", default_value = "now", value_parser = start)]
    from: Start,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let body = json!({ "topic": args.topic, "types": args.types, "from": args.from });
    let function = api.change("PUT", args.name, "/binding", Some(body)).await?;
    output::line(&format!("{} is given the events of {}, from {} on", function.name, args.topic, args.from))?;
    Ok(ExitCode::SUCCESS)
}
