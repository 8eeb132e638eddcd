//! `factfold functions call`

use std::{
    fs,
    io::{self, Read as _},
    process::ExitCode,
};

use anyhow::Context as _;
use factfold_schemas::functions::FunctionName;
use reqwest::Method;
use serde_json::Value;

use super::{api::Api, later};
use crate::{failure::Failure, output};

/// Call a function, and print what it returns
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold functions call add '{\"a\":1,\"b\":2}'
  factfold functions call report @orders.json --async   # prints the call's id, for `factfold functions result`")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// Its input, as JSON; @FILE reads a file, - standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    input: String,
    /// Do not wait for its end: the call is stored, and runs in its turn
    #[arg(long = "async")]
    later: bool,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let text = read(&args.input).map_err(Failure::Usage)?;
    let input: Value =
        serde_json::from_str(&text).context("the input is not JSON").map_err(Failure::Usage)?;
    let request = api.request(Method::POST, &format!("/fn/{}", args.name))?.json(&input);
    if args.later {
        return later::take(args.name, api, request).await;
    }
    let output: Value = api.json(request).await?;
    output::json(&output)?;
    Ok(ExitCode::SUCCESS)
}

fn read(given: &str) -> anyhow::Result<String> {
    match given.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).with_context(|| format!("reading {file}")),
        None if given == "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("reading standard input")?;
            Ok(text)
        }
        None => Ok(given.to_owned()),
    }
}
