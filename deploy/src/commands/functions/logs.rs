//! `factfold functions logs`

use std::{process::ExitCode, time::Duration};

use factfold_schemas::functions::FunctionName;
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::api::Api;
use crate::{failure::Failure, output, shutdown::Shutdown};

/// How often to look for more.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Show what a function said lately, and how calls of it failed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions logs add --follow")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// How many lines at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=200))]
    lines: u16,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Print each line as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    time: Timestamp,
    revision: u32,
    call: String,
    level: String,
    text: String,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let mut shutdown = Shutdown::listen().map_err(Failure::OutOfReach)?;
    let stop = shutdown.requested();
    tokio::pin!(stop);
    let mut since = None;
    loop {
        let since_then = since.map(|time: Timestamp| format!("&since={time}")).unwrap_or_default();
        let path = format!("/v1/functions/{}/logs?limit={}{since_then}", args.name, args.lines);
        let page: Page = api.json(api.request(Method::GET, &path)?).await?;
        for line in &page.items {
            say(line, args.json)?;
            since = Some(line.time);
        }
        if !args.follow {
            if page.items.is_empty() {
                eprintln!("{} has said nothing within the last hour", args.name);
            }
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = &mut stop => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn say(line: &Line, json: bool) -> anyhow::Result<()> {
    if json {
        return output::line(&serde_json::to_string(line)?);
    }
    let Line { time, revision, call, level, text } = line;
    let (call, text) = (output::scrubbed(call), output::scrubbed(text));
    output::line(&format!("{time} {level:<5} r{revision} {call}  {}", text.replace('\n', "\n    ")))
}
