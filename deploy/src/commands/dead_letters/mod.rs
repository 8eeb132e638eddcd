//! `factfold dead-letters`: what workers could not read, and what is done about it.
//!
//! A dead letter stays on its topic as it came. What is done about it is a *marker*: a record on the same partition whose key
//! is the letter's position, with the headers `factfold_marker` (`published` or `dropped`) and `factfold_marks` (the
//! position), and who did it in its value. The list shows the letters without one.

mod giving;
mod letter;
mod marking;
mod mending;

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use factfold_projections::log_reader::{Log, Stop};
use factfold_schemas::{
    kafka::Cluster,
    position::Position,
    topics::{Service, TopicKind},
};

use self::{letter::Case, marking::Desk, mending::Mending};
use super::{Within, arguments, send::misfits_said};
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output::{self, Lines},
    system::{Flags, System},
};

/// What could not be read: list it, mend it and publish it again, or drop it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold dead-letters list")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(Within<List>),
    Show(Within<Show>),
    // Here --data is the command's own; the directory's stands before the command's name.
    Publish(Publish),
    Drop(Within<Drop>),
}

/// Those that nobody has dealt with
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold dead-letters list --service orders --json")]
struct List {
    /// Only of this service
    #[arg(long, value_name = "SERVICE", value_parser = arguments::service())]
    service: Option<Service>,
    /// Also those that were published or dropped
    #[arg(long)]
    all: bool,
    /// Print one line of JSON each
    #[arg(long)]
    json: bool,
}

/// One of them, with everything that is known about it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold dead-letters show orders.dead-letters/0@12")]
struct Show {
    /// Where it lies, as the list says
    #[arg(value_name = "POSITION", value_parser = position)]
    position: Position,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Send it again as a command, mended if need be, or give a function its event once more; never twice
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold dead-letters publish orders.dead-letters/0@12 --type PayOrder
  factfold dead-letters publish functions.dead-letters/0@3   # once the function is mended

It goes to where its key belongs, in one transaction with the marker that says so: whatever
happens on the way, it is published once or not at all. An event comes behind those that the
function was given meanwhile. The data directory is named before the
command here: factfold --data DIR dead-letters publish …")]
struct Publish {
    /// Where they lie, as the list says
    #[arg(value_name = "POSITION", required = true, value_parser = position)]
    positions: Vec<Position>,
    /// Other data for the command
    #[arg(id = "new_data", long = "data", value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Another stream, by its name or its UUID
    #[arg(long, value_name = "STREAM")]
    key: Option<String>,
    /// Another type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
}

/// Deal with it by doing nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: factfold dead-letters drop orders.dead-letters/0@12 --reason 'a test of ours'"
)]
struct Drop {
    /// Where they lie, as the list says
    #[arg(value_name = "POSITION", required = true, value_parser = position)]
    positions: Vec<Position>,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Runs the command.
pub(super) async fn run(args: Args, before: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let cluster = |data: DataDir| System::find(data, &args.flags)?.cluster();
    match args.command {
        Command::List(within) => {
            let (list, data) = within.split(before)?;
            let cluster = cluster(data)?;
            blocking::run(move |stop| list.run(&cluster, stop)).await
        }
        Command::Show(within) => {
            let (show, data) = within.split(before)?;
            let cluster = cluster(data)?;
            blocking::run(move |stop| show.run(&cluster, stop)).await
        }
        Command::Publish(publish) => {
            let cluster = cluster(DataDir::locate(before.as_deref())?)?;
            let mending = Mending::read(publish.data.as_deref(), publish.key, publish.type_name)?;
            if publish.positions.len() > 1 && !mending.is_nothing() {
                return Err(Failure::Usage(anyhow!(
                    "--data, --key and --type mend one dead letter at a time"
                )));
            }
            blocking::run(move |stop| publish_all(&cluster, &publish.positions, &mending, stop)).await
        }
        Command::Drop(within) => {
            let (drop, data) = within.split(before)?;
            let cluster = cluster(data)?;
            blocking::run(move |_| drop_all(&cluster, &drop.positions, &drop.reason)).await
        }
    }
}

/// The position of a dead letter.
fn position(text: &str) -> Result<Position, String> {
    let position = text.parse::<Position>().map_err(|error| error.to_string())?;
    if position.topic.kind != TopicKind::DeadLetters {
        return Err(format!(
            "expected the position of a dead letter, as in {}/0@12",
            Service::Orders.dead_letters()
        ));
    }
    Ok(position)
}

impl List {
    fn run(&self, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
        let log = Log::open(cluster, notice)?;
        let (mut out, mut shown, mut marked) = (Lines::new(), 0_u64, 0_u64);
        for service in Service::ALL.into_iter().filter(|service| self.service.is_none_or(|s| s == *service)) {
            let markers = letter::markers(&log, service, stop)?;
            let ended = letter::each(&log, service, stop, |letter| {
                let marker = markers.get(&letter.position);
                marked += u64::from(marker.is_some());
                if marker.is_some() && !self.all {
                    return Ok(());
                }
                shown += 1;
                let text = if self.json {
                    serde_json::to_string(&Case { letter: &letter, marker })?
                } else {
                    letter.summary(marker)
                };
                out.write(format!("{text}\n").as_bytes())
            })?;
            if !ended {
                return Err(interrupted());
            }
        }
        out.flush()?;
        eprintln!("{shown} dead letters; {marked} were dealt with");
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(&self, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
        let (letter, markers) = letter::find(&Log::open(cluster, notice)?, self.position, stop)?;
        if self.json {
            output::json(&Case { letter: &letter, marker: markers.first() })?;
        } else {
            output::line(&letter.described(&markers))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn publish_all(
    cluster: &Cluster,
    positions: &[Position],
    mending: &Mending,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    for position in positions {
        let desk = Desk::open(&log, *position)?;
        if desk.letter().is_event() {
            if !mending.is_nothing() {
                return Err(Failure::Usage(anyhow!(
                    "{position} is an event: it is given as it is, without --data, --key or --type"
                )));
            }
            giving::check(&log, desk.letter(), stop)?;
            let function = desk.letter().binding.map(|(name, _)| name.to_string()).unwrap_or_default();
            desk.give_again()?;
            output::line(&format!("published {position}: {function} is given its event once more"))?;
            continue;
        }
        let command = mending.mend(desk.letter()).map_err(|wrong| {
            let said = misfits_said(&wrong);
            Failure::Refused(anyhow!(
                "{position} would be a dead letter again: mend it with --data, --key or --type, or drop it\n{said}"
            ))
        })?;
        let header = mending::header(desk.letter());
        let (type_name, stream) = (command.type_name.clone(), command.stream.to_string());
        desk.publish(&header, &command)?;
        output::line(&format!("published {position} as {type_name} to {stream}, with the id {}", header.id))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn drop_all(cluster: &Cluster, positions: &[Position], reason: &str) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    for position in positions {
        Desk::open(&log, *position)?.drop_letter(reason)?;
        output::line(&format!("dropped {position}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
