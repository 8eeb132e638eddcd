//! `factfold schemas`: the JSON Schemas of everything that is stored or sent.

use std::process::ExitCode;

use anyhow::anyhow;
use factfold_schemas::json;

use crate::{failure::Failure, output};

/// Print the JSON Schema of a type, or the names of all
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold schemas CreateOrder")]
pub(super) struct Args {
    /// A type (`CreateOrder`), or a path as the list has it
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let all = json::all();
    let Some(name) = &args.name else {
        all.keys().try_for_each(|path| output::line(path.trim_end_matches(".json")))?;
        return Ok(ExitCode::SUCCESS);
    };
    let is_it = |path: &str| {
        let path = path.trim_end_matches(".json");
        let versionless = path.trim_end_matches(".1");
        [path, versionless].contains(&name.as_str()) || versionless.rsplit('/').next() == Some(name.as_str())
    };
    let (_, schema) = all
        .iter()
        .find(|(path, _)| is_it(path))
        .ok_or_else(|| Failure::Usage(anyhow!("there is no type `{name}`: factfold schemas lists them")))?;
    output::json(schema)?;
    Ok(ExitCode::SUCCESS)
}
