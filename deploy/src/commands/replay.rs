//! `factfold replay`: the events of a service in one order, the same every time, as lines of JSON.

use std::{
    fs,
    io::{IsTerminal as _, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use factfold_projections::log_reader::{Bound, Filter, Lane, Log, Stop, bound::listed, envelope, merge};
use factfold_schemas::{ids::StreamId, kafka::Cluster, partitioner::partition_of, topics::Service};
use indicatif::ProgressBar;

use super::arguments;
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::{DataDir, write_private},
    failure::Failure,
    output::{self, Lines},
    system::{Flags, System},
};

/// How often progress is shown, and the place to go on from is saved.
const TICK: Duration = Duration::from_millis(250);
/// Looking at the clock for every record would cost more than the record.
const RECORDS_PER_LOOK: u64 = 256;

/// Print all events of a service in order, as CloudEvents, one line of JSON each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold replay --service orders --from 2026-01-01T00:00:00Z --type OrderPaid > paid.ndjson

The order is that of the broker's time; within a partition it is that of the log. It depends on
the log alone: the same range gives the same lines every time. --from is included, --to is not.

A place is `beginning`, `end`, a time, how long ago (15m), or positions, separated by commas
(orders.events/0@42); partitions that are not named begin, or end, at the time of the first that
is. At its end it says on stderr where to go on; --resume FILE remembers that by itself.")]
pub(super) struct Args {
    /// The service
    #[arg(long, value_name = "SERVICE", value_parser = arguments::service())]
    service: Service,
    /// Where to begin
    #[arg(long, value_name = "PLACE", default_value = "beginning")]
    from: Bound,
    /// Where to end
    #[arg(long, value_name = "PLACE", default_value = "end")]
    to: Bound,
    /// Only events of this type; can be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this stream
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// How to write them
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "parquet", "ocel"])]
    format: String,
    /// Where to write them, if not to stdout
    #[arg(long, value_name = "TARGET")]
    into: Option<String>,
    /// Go on from the place in this file, and keep it up to date there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(mut args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    if args.format != "ndjson" {
        return Err(Failure::Usage(anyhow!("--format {}: not built yet (ndjson is)", args.format)));
    }
    if args.into.is_some() {
        return Err(Failure::Usage(anyhow!("--into: not built yet (stdout is)")));
    }
    if let Some(stream) = &args.stream
        && Service::of_stream(stream) != Some(args.service)
    {
        return Err(Failure::Usage(anyhow!(
            "--stream {stream}: this is no stream of the {} service",
            args.service
        )));
    }
    arguments::check_types(&args.types, &arguments::type_names(args.service, "events"))?;
    if let Some(file) = args.resume.as_deref().filter(|file| file.exists()) {
        args.from = saved(file).map_err(Failure::Usage)?;
    }
    let cluster = System::find(data, &args.flags)?.cluster()?;
    blocking::run(move |stop| replay(&args, &cluster, stop)).await
}

fn replay(args: &Args, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let topic = args.service.events();
    let partitions = log.partitions(&cluster.topic(topic))?;
    let only = args.stream.as_ref().map(|stream| partition_of(stream.as_bytes(), partitions));
    let filter = Filter { stream: args.stream.as_deref().map(StreamId::new), types: args.types.clone() };
    let mut lanes = log.lanes(&[topic], only, &args.from, &args.to)?;
    say_what_is_gone(&args.from, &lanes);
    let mut progress = Progress::new(args.resume.as_deref(), &lanes);
    let (mut out, mut line) = (Lines::new(), Vec::with_capacity(4096));
    let ended = log.read(&mut lanes, stop, |record, lanes| -> anyhow::Result<_> {
        if filter.lets_through(&record) {
            line.clear();
            envelope::write(&record, &mut line);
            out.write(&line)?;
        }
        progress.tick(lanes, &mut out)?;
        Ok(merge::Next::Go)
    })?;
    out.flush()?;
    progress.finish(&lanes)?;
    if ended { Ok(ExitCode::SUCCESS) } else { Err(interrupted()) }
}

/// Retention takes the oldest records away; whoever asks for them should know.
fn say_what_is_gone(from: &Bound, lanes: &[Lane]) {
    let gone = lanes.iter().filter(|lane| lane.low > 0 && lane.next == lane.low);
    let gone: Vec<_> = gone.map(Lane::position).collect();
    if !gone.is_empty() && !matches!(from, Bound::End) {
        eprintln!("the log begins at {}: what was before is gone", listed(gone));
    }
}

fn saved(file: &Path) -> anyhow::Result<Bound> {
    let text = fs::read_to_string(file).with_context(|| format!("--resume {}", file.display()))?;
    text.trim().parse().map_err(|error| anyhow!("--resume {}: {error}", file.display()))
}

/// How far it is, for whoever watches, and for the next run.
struct Progress<'a> {
    resume: Option<&'a Path>,
    bar: Option<ProgressBar>,
    first: i64,
    records: u64,
    looked: Instant,
}

impl<'a> Progress<'a> {
    fn new(resume: Option<&'a Path>, lanes: &[Lane]) -> Self {
        let first = read_to(lanes);
        let total = lanes.iter().map(|lane| lane.end.max(lane.next)).sum::<i64>() - first;
        // Among lines on the same terminal a bar would only flicker.
        let is_watched = stderr().is_terminal() && !stdout().is_terminal();
        let bar = is_watched.then(|| output::bar(total.unsigned_abs(), "records"));
        Self { resume, bar, first, records: 0, looked: Instant::now() }
    }

    fn tick(&mut self, lanes: &[Lane], out: &mut Lines) -> anyhow::Result<()> {
        self.records += 1;
        if !self.records.is_multiple_of(RECORDS_PER_LOOK) || self.looked.elapsed() < TICK {
            return Ok(());
        }
        self.looked = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_position((read_to(lanes) - self.first).unsigned_abs());
        }
        if self.resume.is_some() {
            // What the file says was written must have been.
            out.flush()?;
        }
        self.save(lanes)
    }

    fn finish(&self, lanes: &[Lane]) -> anyhow::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("next: --from {}", listed(lanes.iter().map(Lane::position)));
        self.save(lanes)
    }

    fn save(&self, lanes: &[Lane]) -> anyhow::Result<()> {
        let Some(file) = self.resume else { return Ok(()) };
        write_private(file, &format!("{}\n", listed(lanes.iter().map(Lane::position))))
    }
}

fn read_to(lanes: &[Lane]) -> i64 {
    lanes.iter().map(|lane| lane.next).sum()
}
