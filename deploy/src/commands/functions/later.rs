//! Calls that nobody waits for: `factfold functions call --async`, and `factfold functions result`.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use factfold_schemas::functions::FunctionName;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::api::{Api, Problem};
use crate::{failure::Failure, output};

/// Print what came of a call that nobody waited for
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: factfold functions result report 019ac0de-0000-7000-8000-00000000ca11 --wait 0"
)]
pub(super) struct Args {
    /// Of which function
    name: FunctionName,
    /// Which call: as `factfold functions call --async` printed it
    call: Uuid,
    /// How many seconds to wait for its end
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u8).range(..=30))]
    wait: u8,
}

/// As the gateway shows it.
#[derive(Deserialize)]
struct Call {
    call: Uuid,
    status: String,
    #[serde(default)]
    output: Value,
    problem: Option<Problem>,
}

/// Has a call taken, and says which it is.
pub(super) async fn take(
    name: FunctionName,
    api: &Api,
    request: RequestBuilder,
) -> Result<ExitCode, Failure> {
    let answer = api.answer(request.header("prefer", "respond-async")).await?;
    let taken: Call = answer.json().await.context("the gateway's answer").map_err(Failure::OutOfReach)?;
    output::line(&taken.call.to_string())?;
    eprintln!("it runs in its turn; what comes of it: factfold functions result {name} {}", taken.call);
    Ok(ExitCode::SUCCESS)
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let Args { name, call, wait } = args;
    let request = api.request(Method::GET, &format!("/v1/functions/{name}/calls/{call}"))?;
    let shown: Call = api.json(request.header("prefer", format!("wait={wait}"))).await?;
    match (shown.status.as_str(), shown.problem) {
        ("succeeded", _) => {
            output::json(&shown.output)?;
            Ok(ExitCode::SUCCESS)
        }
        (_, Some(problem)) => Err(Failure::Refused(anyhow!(problem.say()))),
        _ => Err(Failure::OutOfReach(anyhow!("{call} has not ended yet: ask again, it is kept for a day"))),
    }
}
