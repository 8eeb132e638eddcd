//! `factfold history`: all that happened to one stream.

use std::process::ExitCode;

use anyhow::anyhow;
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop, bound::listed, envelope, merge};
use factfold_schemas::{
    ids::{GoodsId, OrderId},
    kafka::Cluster,
    partitioner::partition_of,
    topics::Service,
};

use super::readable;
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output::{self, Lines},
    system::{Flags, System},
};

/// Show all that happened to one stream: what, when, by whom, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold history order-0190e5b2-7c1d-7a90-b0c1-5d3f9a7e2c41 --outcomes")]
pub(super) struct Args {
    /// The stream: order-<uuid>, goods-<uuid>
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Show also the commands that gave no events: rejected, repeated …
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
    let service = service_of(&args.stream).ok_or_else(|| {
        Failure::Usage(anyhow!("`{}` is no stream: expected order-<uuid> or goods-<uuid>", args.stream))
    })?;
    let cluster = System::find(data, &args.flags)?.cluster()?;
    blocking::run(move |stop| history(&args, service, &cluster, stop)).await
}

/// The service whose stream this is.
pub(super) fn service_of(stream: &str) -> Option<Service> {
    if OrderId::of_stream(stream).is_some() {
        Some(Service::Orders)
    } else {
        GoodsId::of_stream(stream).map(|_| Service::Goods)
    }
}

fn history(args: &Args, service: Service, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let partitions = log.partitions(&cluster.topic(service.events()))?;
    let home = partition_of(args.stream.as_bytes(), partitions);
    let outcomes = args.outcomes.then(|| service.outcomes());
    let topics: Vec<_> = [service.events()].into_iter().chain(outcomes).collect();
    // A command may lie, and be answered, where its key does not belong.
    let only = (!args.outcomes).then_some(home);
    let mut lanes = log.lanes(&topics, only, &Bound::Beginning, &Bound::End)?;
    lanes.retain(|lane| lane.topic != service.events() || lane.partition == home);
    let gone: Vec<_> = lanes.iter().filter(|lane| lane.low > 0).map(Lane::position).collect();
    if !gone.is_empty() {
        eprintln!("the log begins at {}: what was before is gone", listed(gone));
    }
    let (mut rows, mut lines, mut found) = (Vec::new(), args.json.then(Lines::new), false);
    let mut line = Vec::new();
    let ended = log.read(&mut lanes, stop, |record, _| -> anyhow::Result<_> {
        if record.key() == Some(args.stream.as_bytes()) {
            found = true;
            match &mut lines {
                None => rows.push((row(&record), readable::data(&record))),
                Some(lines) => {
                    line.clear();
                    envelope::write(&record, &mut line);
                    lines.write(&line)?;
                }
            }
        }
        Ok(merge::Next::Go)
    })?;
    lines.as_mut().map_or(Ok(()), Lines::flush)?;
    drop(lines);
    if !ended {
        return Err(interrupted());
    }
    if !found {
        return Err(Failure::Refused(anyhow!("nothing ever happened to {}", args.stream)));
    }
    if !args.json {
        print(rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Version, time, type, by whom, the command, the correlation.
type Row = [String; 6];

fn row(record: &Record<'_>) -> Row {
    let header = |name| record.header(name).unwrap_or_default().to_owned();
    let who = match (record.header("ce_authtype"), record.header("ce_authid")) {
        (Some(kind), Some(id)) => format!("{kind} {id}"),
        (Some(kind), None) => kind.to_owned(),
        // Whoever may write to the topic was trusted.
        (None, _) => header("ce_causationsource"),
    };
    [
        header("ce_streamversion"),
        envelope::time(record.time()),
        header("ce_type"),
        who,
        header("ce_causationid"),
        header("ce_correlationid"),
    ]
}

/// A line for each event, and its data below; a correlation that no event has gets no column.
fn print(rows: Vec<(Row, String)>) -> anyhow::Result<()> {
    let (rows, data): (Vec<Row>, Vec<String>) = rows.into_iter().unzip();
    let header = ["v", "time", "type", "by", "command", "correlation"];
    let mut lines: Box<dyn Iterator<Item = String>> = if rows.iter().all(|row| row[5].is_empty()) {
        let without = |[v, time, name, who, command, _]: Row| [v, time, name, who, command];
        Box::new(output::table_lines(["v", "time", "type", "by", "command"], rows.into_iter().map(without)))
    } else {
        Box::new(output::table_lines(header, rows))
    };
    lines.next().map_or(Ok(()), |header| output::line(&header))?;
    for (line, data) in lines.zip(data) {
        output::line(&line)?;
        let width = output::width().map_or(usize::MAX, usize::from);
        output::line(&output::shortened(&format!("     {data}"), width))?;
    }
    Ok(())
}
