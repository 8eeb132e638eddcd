//! `factfold doctor`: what is not fit for production, and the fix.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    data_dir::DataDir,
    doctor::{self, Finding},
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Say what of Kafka, PostgreSQL and the settings is not fit for production, and how to fix it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold doctor --json

Exit code 0 when nothing was found, 1 when something was, 3 when Kafka or PostgreSQL is out of reach.")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    // Without an address there is nothing to look at.
    let brokers = system.cluster()?.brokers;
    system.database()?;
    eprintln!("Kafka at {brokers} (from {})", system.source("brokers"));
    eprintln!("PostgreSQL (from {})", system.source("database_url"));
    let findings = doctor::examine(&system).await?;
    if args.json {
        output::json(&json!({ "private": system.is_private(), "findings": findings }))?;
    } else {
        for finding in &findings {
            output::line(&said(finding))?;
        }
        if findings.is_empty() {
            output::line("everything is fit for production")?;
        } else if findings.iter().all(|finding| finding.normal) {
            eprintln!("all of this is normal for a private node, and would not be for production");
        }
    }
    Ok(ExitCode::from(match findings.iter().any(|finding| finding.out_of_reach) {
        true => 3,
        false => u8::from(!findings.is_empty()),
    }))
}

fn said(finding: &Finding) -> String {
    let Finding { about, what, fix, normal, .. } = finding;
    let normal = if *normal { " (normal for a private node)" } else { "" };
    format!("{about:<10}  {what}{normal}. Fix: {fix}")
}
