//! `factfold functions configure`

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use factfold_schemas::functions::FunctionName;
use serde_json::{Map, Value, json};

use super::api::Api;
use crate::{failure::Failure, output};

/// Change the settings and the secrets of a function: its context has them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold functions configure add currency=EUR rates='{\"GBP\":1.2}'
  factfold functions configure add --secret TOKEN < token.txt
  factfold functions configure add --unset currency --unset-secret TOKEN

JavaScript finds them as context.settings.currency and context.secrets.TOKEN, Python as context[\"settings\"][\"currency\"].
What is not named stays as it is. A value that is no JSON is taken as a text. Secrets are read from standard input, a line for
each, so that no list of processes shows them; they are stored sealed, and nobody is shown them again.")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// A setting and its value
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, Value)>,
    /// Take a setting away
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Set a secret, to the next line of standard input
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// Take a secret away
    #[arg(long, value_name = "NAME")]
    unset_secret: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let null = |name: String| (name, Value::Null);
    let settings: Map<_, _> = args.settings.into_iter().chain(args.unset.into_iter().map(null)).collect();
    let mut secrets: Map<_, _> = args.unset_secret.into_iter().map(null).collect();
    let mut lines = io::stdin().lock().lines();
    for name in args.secret {
        let line = lines.next().transpose().context("reading standard input")?;
        let secret = line.filter(|line| !line.is_empty());
        let missing = || Failure::Usage(anyhow!("standard input has no line for the secret {name}"));
        secrets.insert(name.clone(), secret.ok_or_else(missing)?.into());
    }
    if settings.is_empty() && secrets.is_empty() {
        return Err(Failure::Usage(anyhow!("nothing to change: name a setting or a secret")));
    }
    let body = json!({ "settings": settings, "secrets": secrets });
    let function = api.change("PATCH", args.name, "/configuration", Some(body)).await?;
    let names = |names: Vec<&String>| {
        if names.is_empty() {
            return "none".to_owned();
        }
        names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let configuration = &function.configuration;
    let (settings, secrets) =
        (names(configuration.settings.keys().collect()), names(configuration.secrets.keys().collect()));
    output::line(&format!("{}: settings {settings}; secrets {secrets}", function.name))?;
    Ok(ExitCode::SUCCESS)
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("say NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
