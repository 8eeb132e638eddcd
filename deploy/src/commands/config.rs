//! `factfold config`: what is set, and where it came from.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Show the settings, or check them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold config show")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every key, its value, and where it came from; secrets are not shown
    #[command(after_help = "Example: factfold config show --json")]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what is wrong with them; exit code 2 when something is
    #[command(after_help = "Example: factfold config check --config /etc/factfold.toml")]
    Check,
}

/// Runs the command.
pub(super) fn run(args: &Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    match args.command {
        Command::Show { json: true } => {
            let entry = |(key, value, from): (String, String, String)| {
                // A secret is shown as stars, which are no JSON.
                let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
                (key, json!({ "value": value, "from": from }))
            };
            let shown: serde_json::Map<_, _> = system.sourced().shown().into_iter().map(entry).collect();
            output::json(&shown)?;
        }
        Command::Show { json: false } => {
            let rows =
                system.sourced().shown().into_iter().map(|(key, value, from)| [key, unquoted(&value), from]);
            output::table(["key", "value", "from"], rows)?;
        }
        Command::Check => output::line("the settings are fine")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A text as a person writes it; nothing as nothing.
fn unquoted(value: &str) -> String {
    match serde_json::from_str(value) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => "-".to_owned(),
        _ => value.to_owned(),
    }
}
