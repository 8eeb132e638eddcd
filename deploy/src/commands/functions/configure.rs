//! `factfold functions configure`

use std::{
    io::{self, Read as _},
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
each, or all of it for one, so that no list of processes shows them; they are stored sealed, and not shown again. Whoever may
deploy functions can deploy code that tells them.")]
pub(super) struct Args {
    /// Which
    name: FunctionName,
    /// A setting and its value
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, Value)>,
    /// Take a setting away
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Set a secret, from standard input
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
    for (name, secret) in said(args.secret)? {
        secrets.insert(name, secret.into());
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

/// The secrets of these names, from standard input: a line for each, or all of it for one, which may have several lines.
fn said(names: Vec<String>) -> Result<Vec<(String, String)>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("reading standard input")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let secrets: Vec<_> = if names.len() == 1 { vec![text] } else { text.lines().collect() };
    if secrets.len() != names.len() || secrets.contains(&"") {
        let (lines, secrets) = (secrets.len(), names.len());
        return Err(Failure::Usage(anyhow!(
            "standard input has {lines} lines, for {secrets} secrets: say one for each, in order"
        )));
    }
    Ok(names.into_iter().zip(secrets.into_iter().map(str::to_owned)).collect())
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("say NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
