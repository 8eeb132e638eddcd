//! `factfold shadow`: what this build would decide otherwise than it was decided.

mod report;

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
};

use factfold_consumers::{
    functions::FunctionsDecider, goods::GoodsDecider, orders::OrdersDecider, users::UsersDecider, worker,
};
use factfold_projections::log_reader::{Bound, Log, Stop};
use factfold_schemas::{kafka::Cluster, topics::Service};
use indicatif::ProgressBar;

use self::report::Report;
use super::arguments;
use crate::{
    blocking::{self, interrupted},
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output,
    shadow::Recorded,
    system::{Flags, System},
};

/// Decide the recorded commands again, and name every one that this build decides differently
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold shadow --service orders
  factfold shadow --service orders --from 24h --json > report.json

Each command is decided by the rules of this build on what history says came before it, and what that gives is compared
with what history says: for trying a new rule before it is deployed. Nothing is written. Exit code 1 when something would
be decided differently. --from is included, --to is not; both are places of the commands, as `factfold replay` has them
(orders.commands/0@42). What is not there any more cannot be decided again: the report says what it covers.")]
pub(super) struct Args {
    /// The service
    #[arg(long, value_name = "SERVICE", value_parser = arguments::service())]
    service: Service,
    /// The first commands
    #[arg(long, value_name = "PLACE", default_value = "beginning")]
    from: Bound,
    /// The commands that are not decided again any more
    #[arg(long, value_name = "PLACE", default_value = "end")]
    to: Bound,
    /// Print a report in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let (cluster, settings) = (system.cluster()?, system.settings().worker("shadow"));
    blocking::run(move |stop| shadow(&args, &cluster, &settings, stop)).await
}

fn shadow(
    args: &Args,
    cluster: &Cluster,
    settings: &worker::Settings,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let recorded = Recorded::of(&log, args.service, &args.from, &args.to)?;
    let mut report = Report::new(args.service, recorded.commands());
    let bar = match stderr().is_terminal() {
        true => output::bar(recorded.records(), "records"),
        false => ProgressBar::hidden(),
    };
    let (each, read) = (|replayed| report.add(replayed), |records| bar.inc(records));
    let is_done = match args.service {
        Service::Functions => recorded.replay::<FunctionsDecider>(&log, settings, stop, each, read),
        Service::Goods => recorded.replay::<GoodsDecider>(&log, settings, stop, each, read),
        Service::Orders => recorded.replay::<OrdersDecider>(&log, settings, stop, each, read),
        Service::Users => recorded.replay::<UsersDecider>(&log, settings, stop, each, read),
    };
    bar.finish_and_clear();
    if !is_done? {
        return Err(interrupted());
    }
    let report = report.end();
    if args.json {
        output::json(&report)?
    } else {
        report.say()?
    }
    Ok(ExitCode::from(u8::from(report.different > 0)))
}
