//! `factfold watch`: the events of a service as they happen.

use std::{fmt::Write as _, process::ExitCode};

use factfold_projections::log_reader::{Bound, Filter, Log, Record, Stop, envelope, follow::Live, merge};
use factfold_schemas::{kafka::Cluster, topics::Service};

use super::{arguments, readable};
use crate::{
    blocking,
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output::{self, Lines},
    system::{Flags, System},
};

/// Show the events of a service as they happen, until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold watch orders --from 15m --type OrderPaid

A place is `beginning`, `end`, a time (2026-01-31T12:00:00Z), how long ago (15m), or positions
(orders.events/0@42).")]
pub(super) struct Args {
    /// The service
    #[arg(value_name = "SERVICE", value_parser = arguments::service())]
    service: Service,
    /// Where to begin
    #[arg(long, value_name = "PLACE", default_value = "end")]
    from: Bound,
    /// Only this type; can be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Show also what became of commands that gave no events
    #[arg(long)]
    outcomes: bool,
    /// Print CloudEvents, one line of JSON each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let mut known = arguments::type_names(args.service, "events");
    if args.outcomes {
        known.extend(arguments::outcome_names());
    }
    arguments::check_types(&args.types, &known)?;
    let cluster = System::find(data, &args.flags)?.cluster()?;
    blocking::run(move |stop| watch(&args, &cluster, stop)).await
}

fn watch(args: &Args, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let outcomes = args.outcomes.then(|| args.service.outcomes());
    let topics: Vec<_> = [args.service.events()].into_iter().chain(outcomes).collect();
    let mut lanes = log.lanes(&topics, None, &args.from, &Bound::End)?;
    let (mut out, mut line) = (Lines::new(), Vec::new());
    let width = output::width().map(usize::from);
    let filter = Filter { types: args.types.clone(), ..Filter::default() };
    let mut show = |record: &Record<'_>, out: &mut Lines| {
        let name = record.header("ce_type").unwrap_or("?");
        if !filter.lets_through(record) {
            return Ok(());
        }
        line.clear();
        if args.json {
            envelope::write(record, &mut line);
        } else {
            let text = readable(record, name);
            let shown = width.map_or(text.clone(), |width| output::shortened(&text, width));
            line.extend_from_slice(shown.as_bytes());
            line.push(b'\n');
        }
        out.write(&line)
    };
    log.read(&mut lanes, stop, |record, _| -> anyhow::Result<_> {
        show(&record, &mut out)?;
        Ok(merge::Next::Go)
    })?;
    out.flush()?;
    log.follow(&lanes, stop, |live| -> anyhow::Result<_> {
        match live {
            Live::Record(record) => show(&record, &mut out)?,
            Live::Quiet => out.flush()?,
        }
        Ok(merge::Next::Go)
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// `2026-01-31T12:00:00.123Z  order-0190…  v3  OrderPaid  {"amount":…}`
fn readable(record: &Record<'_>, name: &str) -> String {
    let stream = record.key().map_or("-".into(), String::from_utf8_lossy);
    let mut text = format!("{}  {stream:<42}", envelope::time(record.time()));
    let version = record.header("ce_streamversion").map(|version| format!("v{version}")).unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(text, "  {version:<4}  {name:<16}  {}", readable::data(record));
    text
}
