//! `factfold verify`: whether what people read is what happened.

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
};

use factfold_projections::{
    Difference, Error, Projection, Verified,
    auditing::{self, Audited},
    log_reader::{Bound, Lane, Log},
    verify,
};
use factfold_schemas::{kafka::Cluster, position::Position, topics::Service};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::arguments;
use crate::{
    blocking::{self, interrupted, unless_interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Check the log, fold it again, and name every row that people see and that is not what happened
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold verify
  factfold verify goods orders --json > report.json

First the log: each command has one trace, which names it rightly; versions have no gaps; stock and money add up to the
unit; whatever is stored can be read, and says nothing else when it is written again. Then all of it is folded again,
beside what is shown and while that goes on, and the two are compared at one position. Nothing that is shown is touched.
Exit code 1 when something is wrong. Whether the rules of this build would decide the same is for `factfold shadow`.")]
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
    /// Whether nothing is wrong, and nothing differs.
    sound: bool,
    logs: Vec<OfLog>,
    read_models: Vec<Finding>,
}

/// What was found on the topics of a service.
#[derive(Debug, Serialize)]
struct OfLog {
    service: &'static str,
    /// The first offset of each partition that is still there.
    from: Vec<Position>,
    /// Everything below these offsets was read.
    to: Vec<Position>,
    records: u64,
    /// How many findings there are; not more than a thousand of them are listed.
    found: u64,
    findings: Vec<Blamed>,
}

/// A record that no decider wrote, or one that has no trace.
#[derive(Debug, Serialize)]
struct Blamed {
    at: Position,
    what: String,
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
    let mut logs = Vec::new();
    for service in
        Service::ALL.into_iter().filter(|service| names.iter().any(|name| name.is_fed_by(*service)))
    {
        let audited = audited(service, &cluster).await?;
        if !args.json {
            say_log(&audited)?;
        }
        logs.push(audited);
    }
    let mut findings = Vec::with_capacity(names.len());
    for projection in names {
        let finding = of(projection, &cluster, url, &log).await?;
        if !args.json {
            say(&finding)?;
        }
        findings.push(finding);
    }
    let sound = logs.iter().all(|log| log.found == 0)
        && findings.iter().all(|found| found.different == 0 && found.contradiction.is_none());
    let report = Report { began, ended: Timestamp::now(), sound, logs, read_models: findings };
    if args.json {
        output::json(&report)?;
    }
    Ok(ExitCode::from(u8::from(!report.sound)))
}

async fn audited(service: Service, cluster: &Cluster) -> Result<OfLog, Failure> {
    let cluster = cluster.clone();
    let audited = blocking::run(move |stop| {
        let log = Log::open_for_many(&cluster, notice)?;
        let lanes = auditing::lanes(&log, service)?;
        let bar = bar(format!("records of {service}"), &lanes);
        let audited = auditing::audit(&log, service, &lanes, stop, |records| bar.inc(records as u64));
        bar.finish_and_clear();
        audited?.ok_or_else(interrupted)
    });
    let Audited { service, from, to, records, found, findings } = audited.await?;
    let findings = findings.into_iter().map(|auditing::Finding { at, what }| Blamed { at, what });
    Ok(OfLog { service: service.name(), from, to, records, found, findings: findings.collect() })
}

async fn of(projection: Projection, cluster: &Cluster, url: &str, log: &Log) -> Result<Finding, Failure> {
    let lanes = log.lanes(&projection.topics(), None, &Bound::Beginning, &Bound::End)?;
    let bar = bar(format!("records of {projection}"), &lanes);
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

fn bar(of: String, lanes: &[Lane]) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let records = lanes.iter().map(|lane| lane.end - lane.low).sum::<i64>().unsigned_abs();
    output::bar(records, of)
}

/// A line for each service, and one for each finding.
fn say_log(log: &OfLog) -> anyhow::Result<()> {
    let OfLog { service, records, found, .. } = log;
    if *found == 0 {
        return output::line(&format!("{service}: {records} records add up"));
    }
    output::line(&format!("{service}: {found} findings in {records} records"))?;
    for Blamed { at, what } in &log.findings {
        output::line(&format!("  {at}: {what}"))?;
    }
    say_untold(*found, log.findings.len())
}

fn say_untold(all: u64, told: usize) -> anyhow::Result<()> {
    match all - told as u64 {
        0 => Ok(()),
        untold => output::line(&format!("  … and {untold} more")),
    }
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
    say_untold(all, told.len())
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
