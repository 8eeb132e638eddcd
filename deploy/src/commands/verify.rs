//! `factfold verify`: whether what people read is what happened.

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
};

use factfold_projections::{
    Difference, Error, Projection, Verified,
    log_reader::{Bound, Lane, Log},
    verify,
};
use factfold_schemas::{kafka::Cluster, position::Position};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::arguments;
use crate::{
    blocking::{interrupted, unless_interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Fold the log again, and name every row that people see and that is not what happened
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold verify
  factfold verify goods orders --json > report.json

It folds everything again, beside what is shown and while that goes on, and compares the two at one position. Nothing
that is shown is touched. Exit code 1 when something differs, or when the log contradicts itself.")]
pub(super) struct Args {
    /// Only these read models
    #[arg(value_name = "NAME", value_parser = arguments::projection())]
    names: Vec<Projection>,
    /// Print a report in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// What an auditor files.
#[derive(Debug, Serialize)]
struct Report {
    /// When it was begun.
    began: Timestamp,
    /// When it was done.
    ended: Timestamp,
    /// Whether nothing differs.
    sound: bool,
    read_models: Vec<Finding>,
}

/// What was found of one read model.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    /// Which of its builds is shown.
    build: Option<i32>,
    /// Everything below these offsets was folded.
    positions: Vec<Position>,
    /// How many rows were compared.
    rows: u64,
    /// How many differences there are; not more than a thousand of them are listed.
    different: u64,
    differences: Vec<Difference>,
    /// Why it cannot be folded, where the log contradicts itself.
    contradiction: Option<String>,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let (cluster, url) = (system.cluster()?, system.database()?);
    let log = Log::open(&cluster, notice)?;
    let names = if args.names.is_empty() { Projection::ALL.to_vec() } else { args.names };
    let began = Timestamp::now();
    let mut findings = Vec::with_capacity(names.len());
    for projection in names {
        let finding = of(projection, &cluster, url, &log).await?;
        if !args.json {
            say(&finding)?;
        }
        findings.push(finding);
    }
    let sound = findings.iter().all(|found| found.different == 0 && found.contradiction.is_none());
    let report = Report { began, ended: Timestamp::now(), sound, read_models: findings };
    if args.json {
        output::json(&report)?;
    }
    Ok(ExitCode::from(u8::from(!report.sound)))
}

async fn of(projection: Projection, cluster: &Cluster, url: &str, log: &Log) -> Result<Finding, Failure> {
    let lanes = log.lanes(&projection.topics(), None, &Bound::Beginning, &Bound::End)?;
    let bar = bar(projection, &lanes);
    let (going_on, stopped) = watch::channel(());
    let counted = bar.clone();
    let each = move |records| counted.inc(records as u64);
    let verifying = verify(cluster, url, projection, stopped, each);
    let verified = unless_interrupted(going_on, verifying).await;
    bar.finish_and_clear();
    let nothing = |contradiction| Finding {
        name: projection.name(),
        build: None,
        positions: Vec::new(),
        rows: 0,
        different: 0,
        differences: Vec::new(),
        contradiction,
    };
    match verified {
        Ok(Some(verified)) => Ok(found(verified, nothing(None))),
        Ok(None) => Err(interrupted()),
        Err(error @ (Error::Violation { .. } | Error::LogReplaced { .. } | Error::Refused { .. })) => {
            Ok(nothing(Some(error.to_string())))
        }
        Err(error) => {
            let context = format!("verifying {projection}");
            Err(Failure::OutOfReach(anyhow::Error::from(error).context(context)))
        }
    }
}

fn found(verified: Verified, nothing: Finding) -> Finding {
    let positions = verified.positions.into_iter();
    let positions = positions.map(|(topic, partition, next)| Position::new(topic, partition, next));
    Finding {
        build: Some(verified.build.version),
        positions: positions.collect(),
        rows: verified.found.rows,
        different: verified.found.different,
        differences: verified.found.differences,
        ..nothing
    }
}

fn bar(projection: Projection, lanes: &[Lane]) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let records = lanes.iter().map(|lane| lane.end - lane.low).sum::<i64>().unsigned_abs();
    output::bar(records, format!("records of {projection}"))
}

/// A line for each read model, and one for each difference.
fn say(finding: &Finding) -> anyhow::Result<()> {
    let name = finding.name;
    if let Some(contradiction) = &finding.contradiction {
        return output::line(contradiction);
    }
    let rows = finding.rows;
    if finding.different == 0 {
        return output::line(&format!("{name}: {rows} rows are what happened"));
    }
    output::line(&format!("{name}: {} differences in {rows} rows", finding.different))?;
    say_differences(&finding.differences, finding.different)
}

/// A line for each of these, and one for the rest of all.
pub(super) fn say_differences(told: &[Difference], all: u64) -> anyhow::Result<()> {
    for difference in told {
        output::line(&format!("  {}", said(difference)))?;
    }
    match all - told.len() as u64 {
        0 => Ok(()),
        untold => output::line(&format!("  … and {untold} more")),
    }
}

fn said(Difference { table, key, column, folded, shown }: &Difference) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let key: Vec<_> = key.iter().map(|(column, value)| format!("{column} {}", text(value))).collect();
    let row = format!("{table}, {}", key.join(", "));
    let shown_as =
        |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    match (column, folded, shown) {
        (Some(column), folded, shown) => {
            format!("{row}: {column} is {}, and should be {}", shown_as(shown), shown_as(folded))
        }
        (None, Some(_), _) => format!("{row}: is missing"),
        (None, None, _) => format!("{row}: never happened"),
    }
}
