//! `factfold history`: all that happened to one stream, and what that changed.

use std::{path::Path, process::ExitCode};

use anyhow::anyhow;
use factfold_consumers::changes::{Change, Changed, Changes};
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop, bound::listed, envelope, merge};
use factfold_schemas::{ids::UserId, kafka::Cluster, partitioner::partition_of, topics::Service};
use factfold_vault::{Secrets, Vault};
use serde_json::{Value, value::RawValue};

use super::readable;
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output::{self, Lines},
    system::{Flags, System},
};

/// Show all that happened to one stream: what, when, by whom, why, and what it changed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold history order-0190e5b2-7c1d-7a90-b0c1-5d3f9a7e2c41 --outcomes
  factfold history order-0190e5b2-7c1d-7a90-b0c1-5d3f9a7e2c41 --json --changes

With --changes each line is {\"event\": …, \"changes\": [{\"path\": \"/status\", \"before\": …, \"after\": …}]}: a CloudEvent,
and what it changed of the resource, by JSON pointers. The empty pointer is all of it.")]
pub(super) struct Args {
    /// The stream: order-<uuid>, goods-<uuid>, user-<uuid>, email-<uuid>, function-<name>
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Show also the commands that gave no events: rejected, repeated …
    #[arg(long)]
    outcomes: bool,
    /// Print CloudEvents, one line of JSON each
    #[arg(long)]
    json: bool,
    /// Print beside each CloudEvent what it changed
    #[arg(long, requires = "json")]
    changes: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let service = Service::of_stream(&args.stream).ok_or_else(|| {
        let expected = "order-<uuid>, goods-<uuid>, user-<uuid>, email-<uuid> or function-<name>";
        Failure::Usage(anyhow!("`{}` is no stream: expected {expected}", args.stream))
    })?;
    let system = System::find(data, &args.flags)?;
    let cluster = system.cluster()?;
    // Without the secrets what is sealed is shown so.
    let sealing_file = system.sealing_file_in_use().ok().filter(|file| file.exists());
    blocking::run(move |stop| {
        let subject = UserId::of_stream(&args.stream);
        let person =
            subject.zip(sealing_file).map(|(id, file)| Person::open(id, &file, &cluster)).transpose()?;
        history(&args, service, &cluster, person.as_ref(), stop)
    })
    .await
}

/// Whose history it is, and what opens what is said about them.
struct Person {
    id: UserId,
    vault: Vault,
}

impl Person {
    fn open(id: UserId, sealing_file: &Path, cluster: &Cluster) -> Result<Self, Failure> {
        let secrets = Secrets::load_or_create(sealing_file).map_err(|error| Failure::Usage(error.into()))?;
        let vault = Vault::open(cluster, secrets).map_err(|error| Failure::OutOfReach(error.into()))?;
        Ok(Self { id, vault })
    }

    /// The data of an event, as it may be seen.
    fn data(&self, data: &str) -> String {
        let Ok(mut value) = serde_json::from_str(data) else { return data.to_owned() };
        self.vault.reveal(self.id, &mut value);
        value.to_string()
    }

    /// What an event changed, as it may be seen.
    fn changes(&self, changes: &mut [Change]) {
        changes.iter_mut().for_each(|change| change.reveal(self.id, &self.vault));
    }

    /// An event on one line.
    fn line(&self, line: &mut Vec<u8>) {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else { return };
        self.vault.reveal(self.id, &mut event["data"]);
        *line = format!("{event}\n").into_bytes();
    }
}

fn history(
    args: &Args,
    service: Service,
    cluster: &Cluster,
    person: Option<&Person>,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
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
    let mut changes = Changes::of(service, &args.stream);
    let mut line = Vec::new();
    let ended = log.read(&mut lanes, stop, |record, _| -> anyhow::Result<_> {
        if record.key() == Some(args.stream.as_bytes()) {
            found = true;
            let is_event = record.topic == service.events();
            let mut changed = if is_event { changes.by(&record.incoming()) } else { Vec::new() };
            if let Some(person) = person {
                person.changes(&mut changed);
            }
            match &mut lines {
                None => {
                    let data = readable::data(&record);
                    let data = person.map_or(data.clone(), |person| person.data(&data));
                    // What made it changed all of it, and stands above.
                    changed.retain(|change| !change.path.is_empty());
                    rows.push(Told { row: row(&record), data, changed });
                }
                Some(lines) => {
                    line.clear();
                    envelope::write(&record, &mut line);
                    if let Some(person) = person {
                        person.line(&mut line);
                    }
                    if args.changes {
                        line = beside(&line, changed)?;
                    }
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

/// What is told of one record.
struct Told {
    row: Row,
    data: String,
    /// What it changed.
    changed: Vec<Change>,
}

/// An event on one line, with what it changed.
fn beside(event: &[u8], changes: Vec<Change>) -> anyhow::Result<Vec<u8>> {
    let event = RawValue::from_string(String::from_utf8_lossy(event.trim_ascii_end()).into_owned())?;
    let mut line = serde_json::to_vec(&Changed { event, changes })?;
    line.push(b'\n');
    Ok(line)
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

/// A line for each event, its data below, and what it changed; a correlation that no event has gets no column.
fn print(told: Vec<Told>) -> anyhow::Result<()> {
    let (rows, below): (Vec<Row>, Vec<_>) =
        told.into_iter().map(|told| (told.row, (told.data, told.changed))).unzip();
    let header = ["v", "time", "type", "by", "command", "correlation"];
    let mut lines: Box<dyn Iterator<Item = String>> = if rows.iter().all(|row| row[5].is_empty()) {
        let without = |[v, time, name, who, command, _]: Row| [v, time, name, who, command];
        Box::new(output::table_lines(["v", "time", "type", "by", "command"], rows.into_iter().map(without)))
    } else {
        Box::new(output::table_lines(header, rows))
    };
    lines.next().map_or(Ok(()), |header| output::line(&header))?;
    let width = output::width().map_or(usize::MAX, usize::from);
    for (line, (data, changed)) in lines.zip(below) {
        output::line(&line)?;
        output::line(&output::shortened(&format!("     {data}"), width))?;
        if !changed.is_empty() {
            let changed: Vec<_> = changed.iter().map(Change::to_string).collect();
            output::line(&output::shortened(&format!("     so {}", changed.join(", ")), width))?;
        }
    }
    Ok(())
}
