//! `factfold schemas`: the JSON Schemas of everything that is stored or sent, and whether what was stored under older ones
//! still reads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use factfold_schemas::{
    compatibility::{incompatible, is_stored},
    json,
};
use serde_json::Value;

use crate::{failure::Failure, output};

/// Print the JSON Schema of a type, or the names of all; or check that they fit older ones
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Example: factfold schemas CreateOrder")]
pub(super) struct Args {
    /// A type (`CreateOrder`), or a path as the list has it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(subcommand)]
    check: Option<Check>,
}

#[derive(Debug, clap::Subcommand)]
enum Check {
    /// Name every change after which a stored event could not be read: exit 1 if there is one
    #[command(after_help = "Example: git worktree add ../before v1.0 && \
                            factfold schemas check --against ../before/schemas/json")]
    Check {
        /// The schemas of an older version: `schemas/json` of its checkout
        #[arg(long, value_name = "DIR")]
        against: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match (&args.check, &args.name) {
        (Some(Check::Check { against, json }), _) => check(against, *json),
        (None, Some(name)) => show(name),
        (None, None) => {
            json::all().keys().try_for_each(|path| output::line(path.trim_end_matches(".json")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(name: &str) -> Result<ExitCode, Failure> {
    let all = json::all();
    let is_it = |path: &str| {
        let path = path.trim_end_matches(".json");
        let versionless = path.trim_end_matches(".1");
        [path, versionless].contains(&name) || versionless.rsplit('/').next() == Some(name)
    };
    let (_, schema) = all
        .iter()
        .find(|(path, _)| is_it(path))
        .ok_or_else(|| Failure::Usage(anyhow!("there is no type `{name}`: factfold schemas lists them")))?;
    output::json(schema)?;
    Ok(ExitCode::SUCCESS)
}

fn check(against: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let mut old = BTreeMap::new();
    read(against, "", &mut old).map_err(Failure::Usage)?;
    let stored = old.keys().filter(|path| is_stored(path)).count();
    if stored == 0 {
        let folder = against.display();
        return Err(Failure::Usage(anyhow!(
            "there is no schema of an event in {folder}: name the folder `schemas/json` of a checkout"
        )));
    }
    let found: Vec<_> = incompatible(&old, &json::all()).collect();
    for incompatible in &found {
        output::line(&match as_json {
            true => serde_json::to_string(incompatible).context("a finding as JSON")?,
            false => incompatible.to_string(),
        })?;
    }
    match found.len() {
        0 => {
            eprintln!("{stored} schemas of what is stored: whatever fits them still reads");
            Ok(ExitCode::SUCCESS)
        }
        changes => Err(Failure::Refused(anyhow!(
            "{changes} changes after which what is stored could not be read: give what changed a new name beside the old one"
        ))),
    }
}

/// Every schema below this folder, by its path there.
fn read(folder: &Path, below: &str, found: &mut BTreeMap<String, Value>) -> anyhow::Result<()> {
    let unreadable = |path: &Path| format!("{} cannot be read", path.display());
    for entry in fs::read_dir(folder).with_context(|| unreadable(folder))? {
        let path = entry.with_context(|| unreadable(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            read(&path, &format!("{below}{name}/"), found)?;
        } else if name.ends_with(".json") {
            let text = fs::read_to_string(&path).with_context(|| unreadable(&path))?;
            let schema = serde_json::from_str(&text)
                .with_context(|| format!("{} is no JSON Schema", path.display()))?;
            found.insert(format!("{below}{name}"), schema);
        }
    }
    Ok(())
}
