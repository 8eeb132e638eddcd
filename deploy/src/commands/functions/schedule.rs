//! `factfold functions schedule`

use std::process::ExitCode;

use factfold_schemas::functions::FunctionName;
use serde_json::{Value, json};

use super::api::Api;
use crate::{failure::Failure, output};

/// Let a function tick by the clock, each time once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold functions schedule report --cron '0 6 * * *' --zone Europe/Berlin

A tick is an event of the function itself. It is given them once it is bound to functions.events:
  factfold functions bind report --topic functions.events --type FunctionTicked
What is missed while nothing runs comes late, all of it.")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// When: minute, hour, day of the month, month, day of the week
    #[arg(long, value_name = "FIELDS")]
    cron: String,
    /// By whose clock: a name of the IANA time zone database
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// What each tick says, in JSON
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    input: Option<Value>,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let body = json!({ "cron": args.cron, "time_zone": args.zone, "input": args.input });
    let function = api.change("PUT", args.name, "/schedule", Some(body)).await?;
    let next = function.schedule.and_then(|schedule| schedule.next);
    let first = next.map(|time| format!(", first at {time}")).unwrap_or_default();
    output::line(&format!("{} ticks by {} in {}{first}", function.name, args.cron, args.zone))?;
    Ok(ExitCode::SUCCESS)
}

fn json_text(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}
