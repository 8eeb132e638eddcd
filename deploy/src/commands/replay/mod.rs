//! `factfold replay`: the events of one service or more in one order, the same every time: as lines of JSON, as files for
//! analysts, or as records of another topic.

mod ocel;
mod output;
mod parquet;
mod progress;
mod sink;
mod target;
mod topic;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use factfold_projections::log_reader::{Bound, Filter, Lane, Log, Stop, bound::listed, merge};
use factfold_schemas::{ids::StreamId, kafka::Cluster, partitioner::partition_of, topics::Service};

use self::{progress::Progress, sink::Way, target::Target};
use super::arguments;
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    system::{Flags, System},
};

/// Replay the events of a service in order: as lines of JSON, into files for analysts, or into another topic
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold replay --service orders --from 2026-01-01T00:00:00Z --type OrderPaid > paid.ndjson
         factfold replay --service orders --service goods --into events.parquet
         factfold replay --service orders --service goods --service users --format ocel --into log.json
         factfold replay --service orders --into topic:copy.orders.events
         factfold replay --service orders --into kafka://kafka.example.org:9092/orders.events

The order is that of the broker's time; within a partition it is that of the log. It depends on
the log alone: the same range gives the same lines every time. --from is included, --to is not.

A place is `beginning`, `end`, a time, how long ago (15m), or positions, separated by commas
(orders.events/0@42); partitions that are not named begin, or end, where that record has its turn
(of several, the first). At its end it says on stderr where to go on; --resume FILE remembers that
by itself.

A file that --into names must not be there yet. It is there when it is whole, and its owner alone
can read it; what is interrupted leaves none, and --resume then stays where it was.

A topic is named as Kafka names it: with its namespace, if it has one. It must be empty, and have
as many partitions as the one that is read; on another cluster the FACTFOLD_KAFKA_… settings hold
too. Keys, values, headers and partitions stay as they are, passwords' hashes included. So does a
record's time, but not where the topic has LogAppendTime, as factfold's events have: there it is
when the copy was made. Each record comes once, whatever dies: the topic knows how far it is, and
the same command goes on there. Nobody else may write to it meanwhile.")]
pub(super) struct Args {
    /// The service; can be repeated
    #[arg(long = "service", value_name = "SERVICE", required = true, value_parser = arguments::service())]
    services: Vec<Service>,
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
    /// How to write them; without it ndjson, or parquet where a file is named so
    #[arg(long)]
    format: Option<Format>,
    /// Where to write them, if not to stdout: FILE, topic:NAME or kafka://HOST:PORT[,HOST:PORT]/NAME
    #[arg(long, value_name = "TARGET")]
    into: Option<Target>,
    /// Go on from the place in this file, and keep it up to date there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// CloudEvents, one line of JSON each
    Ndjson,
    /// A table for DuckDB, pandas and Spark
    Parquet,
    /// An object-centric event log (OCEL 2.0, JSON) for process mining
    Ocel,
}

impl Format {
    /// What somebody expects in a file of this name.
    fn of_file(file: Option<&Path>) -> Self {
        let extension = file.and_then(Path::extension);
        if extension.is_some_and(|is| is == "parquet") { Self::Parquet } else { Self::Ndjson }
    }
}

/// Runs the command.
pub(super) async fn run(mut args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    if let Some(stream) = &args.stream {
        let of_stream = Service::of_stream(stream).filter(|service| args.services.contains(service));
        let names = args.services.iter().map(|service| service.name()).collect::<Vec<_>>().join(" or ");
        let wrong = || Failure::Usage(anyhow!("--stream {stream}: this is no stream of the {names} service"));
        args.services = vec![of_stream.ok_or_else(wrong)?];
    }
    // However they are named: what is asked for is the same.
    args.services.sort_unstable();
    args.services.dedup();
    let known: Vec<_> = args.services.iter().flat_map(|s| arguments::type_names(*s, "events")).collect();
    arguments::check_types(&args.types, &known)?;
    if let Some(file) = args.resume.as_deref().filter(|file| file.exists()) {
        args.from = saved(file).map_err(Failure::Usage)?;
    }
    let cluster = System::find(data, &args.flags)?.cluster()?;
    blocking::run(move |stop| replay(&args, &cluster, stop)).await
}

fn replay(args: &Args, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let (mut way, from) = sink::open(args, &log, stop)?;
    let topics: Vec<_> = args.services.iter().map(|service| service.events()).collect();
    let only = match &args.stream {
        Some(stream) => Some(partition_of(stream.as_bytes(), log.partitions(&cluster.topic(topics[0]))?)),
        None => None,
    };
    let filter = Filter { stream: args.stream.as_deref().map(StreamId::new), types: args.types.clone() };
    let mut lanes = log.lanes(&topics, only, &from, &args.to)?;
    say_what_is_gone(&from, &lanes);
    let mut progress = Progress::new(args, &lanes);
    let ended = match &mut way {
        Way::Lines(output) => log.lines(&mut lanes, &filter, stop, |lines, lanes| -> anyhow::Result<_> {
            output.put(&lines.bytes)?;
            progress.look(lanes, || output.settle())
        })?,
        Way::Records(sink) => log.read(&mut lanes, stop, |record, lanes| -> anyhow::Result<_> {
            if filter.lets_through(&record) {
                sink.write(&record)?;
            }
            progress.tick(lanes, || sink.settle(lanes))?;
            Ok(merge::Next::Go)
        })?,
    };
    if ended {
        way.finish(&lanes)?;
        progress.finish(&lanes)?;
        return Ok(ExitCode::SUCCESS);
    }
    if way.settle(&lanes)? {
        progress.finish(&lanes)?;
    }
    Err(interrupted())
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
