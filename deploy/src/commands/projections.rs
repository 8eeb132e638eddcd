//! `factfold projections`: which builds of the read models there are, and which one people see.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stderr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use factfold_projections::{
    Build, BuildEntry, BuildError, Catalogue, Comparison, Found, OF_NOBODY, Projection,
    log_reader::{Bound, Lane, Log},
};
use factfold_schemas::{kafka::Cluster, topics::Topic};
use serde::Serialize;

use super::{arguments, verify::say_differences};
use crate::{
    console::notice,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// How often to look at a build that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Rebuild read models beside themselves, switch, and go back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold projections list
  factfold projections rebuild goods --wait
  factfold projections back goods

A build is made beside the one that people see, by the projectors that run, and is shown once it has
come as far. The one before is kept, and kept up to date, until it is dropped.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the builds of all read models, and how far each has come
    #[command(after_help = "Example: factfold projections list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Build a read model anew, beside; it is shown once it has caught up
    #[command(after_help = "Example: factfold projections rebuild goods --wait")]
    Rebuild {
        /// Which read model
        #[arg(value_name = "NAME", value_parser = arguments::projection())]
        name: Projection,
        /// Wait until it is shown, and say how far it has come
        #[arg(long)]
        wait: bool,
        /// Do not show it by itself: `switch` does
        #[arg(long, conflicts_with = "wait")]
        hidden: bool,
    },
    /// Leave a build alone for now
    #[command(after_help = "Example: factfold projections pause goods 2")]
    Pause(Which),
    /// Go on with a build
    #[command(after_help = "Example: factfold projections resume goods 2")]
    Resume(Which),
    /// Give up a build that nobody has seen yet
    #[command(after_help = "Example: factfold projections cancel goods 2")]
    Cancel(Which),
    /// Show a build
    #[command(after_help = "Example: factfold projections switch goods 2")]
    Switch(Which),
    /// Show what was shown before
    #[command(after_help = "Example: factfold projections back goods")]
    Back {
        /// Which read model
        #[arg(value_name = "NAME", value_parser = arguments::projection())]
        name: Projection,
    },
    /// List where a build differed from the one that was shown, when it had caught up
    #[command(after_help = "Example: factfold projections differences goods 2")]
    Differences(Which),
    /// Throw a build away that is not shown
    #[command(after_help = "Example: factfold projections drop goods 1")]
    Drop(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Which read model
    #[arg(value_name = "NAME", value_parser = arguments::projection())]
    name: Projection,
    /// Which of its builds
    #[arg(value_name = "BUILD", value_parser = clap::value_parser!(i32).range(1..))]
    version: i32,
}

impl Which {
    fn build(&self) -> Build {
        Build { projection: self.name, version: self.version }
    }
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let cluster = system.cluster()?;
    let opened = Catalogue::open(&cluster, system.database()?).await;
    let opened = opened.context("the catalogue of read models: does a projector run?");
    let mut catalogue = opened.map_err(Failure::OutOfReach)?;
    let said = match args.command {
        Command::Differences(which) => return differences(&mut catalogue, which.build()).await,
        Command::List { json } => return list(&mut catalogue, &cluster, json).await,
        Command::Rebuild { name, wait, hidden } => {
            let build = catalogue.rebuild(name).await.map_err(refused)?;
            if hidden {
                catalogue.goes_live(build, false).await.map_err(refused)?;
            }
            if wait {
                until_shown(&mut catalogue, &cluster, build).await?;
                format!("{build} is shown")
            } else {
                format!("{build} is being built")
            }
        }
        Command::Pause(which) => {
            catalogue.pause(which.build(), true).await.map_err(refused)?;
            format!("{} is left alone", which.build())
        }
        Command::Resume(which) => {
            catalogue.pause(which.build(), false).await.map_err(refused)?;
            format!("{} goes on", which.build())
        }
        Command::Cancel(which) => {
            let build = which.build();
            let entries = catalogue.builds().await.map_err(refused)?;
            if entries.iter().any(|entry| entry.build == build && entry.shown_until.is_some()) {
                return Err(Failure::Refused(anyhow!("{build} was shown before: drop it, if it is to go")));
            }
            catalogue.drop_build(build).await.map_err(refused)?;
            format!("{build} is given up")
        }
        Command::Switch(which) => switch(&mut catalogue, which.build()).await?,
        Command::Back { name } => {
            let build = catalogue.previous(name).await.map_err(refused)?;
            switch(&mut catalogue, build).await?
        }
        Command::Drop(which) => {
            catalogue.drop_build(which.build()).await.map_err(refused)?;
            format!("{} is gone", which.build())
        }
    };
    output::line(&said)?;
    Ok(ExitCode::SUCCESS)
}

fn refused(error: impl Into<BuildError>) -> Failure {
    match error.into() {
        BuildError::Database(error) => Failure::OutOfReach(error.into()),
        error => Failure::Refused(error.into()),
    }
}

async fn switch(catalogue: &mut Catalogue, build: Build) -> Result<String, Failure> {
    catalogue.switch(build).await.map_err(refused)?;
    Ok(format!("{build} is shown"))
}

/// A build, as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    build: i32,
    fold: i32,
    state: &'static str,
    /// Records that it has folded, of those that are on its topics.
    folded: i64,
    of: i64,
    comparison: Option<Comparison>,
    failure: Option<String>,
}

async fn differences(catalogue: &mut Catalogue, build: Build) -> Result<ExitCode, Failure> {
    let entries = catalogue.builds().await.map_err(refused)?;
    let entry = entries.into_iter().find(|entry| entry.build == build);
    let entry = entry.ok_or_else(|| refused(BuildError::NoBuild(build)))?;
    let Some(comparison) = entry.comparison else {
        let why = "it has not caught up yet, or was the first";
        return Err(Failure::Refused(anyhow!("{build} was not compared: {why}")));
    };
    output::line(&format!("{build} and build {}: {comparison}", comparison.with))?;
    let Found { different, differences, .. } = comparison.found.unwrap_or_default();
    say_differences(&differences, different)?;
    Ok(ExitCode::from(u8::from(different > 0)))
}

async fn list(catalogue: &mut Catalogue, cluster: &Cluster, json: bool) -> Result<ExitCode, Failure> {
    let log = Log::open(cluster, notice)?;
    let entries = catalogue.builds().await.map_err(refused)?;
    let mut listed = Vec::with_capacity(entries.len());
    for entry in entries {
        let (folded, of) = progress(catalogue, &log, entry.build).await?;
        listed.push(Listed {
            name: entry.build.projection.name(),
            build: entry.build.version,
            fold: entry.fold,
            state: state(&entry),
            folded,
            of,
            comparison: entry.comparison,
            failure: entry.failure,
        });
    }
    if json {
        output::json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = listed.into_iter().map(|of| {
        let percent = if of.of == 0 { 100 } else { of.folded * 100 / of.of };
        let folded = format!("{percent}% of {}", of.of);
        [
            of.name.to_owned(),
            of.build.to_string(),
            of.fold.to_string(),
            of.state.to_owned(),
            folded,
            of.comparison.map_or_else(String::new, |comparison| comparison.to_string()),
            of.failure.unwrap_or_default(),
        ]
    });
    for line in
        output::table_lines(["read model", "build", "fold", "state", "folded", "compared", "why not"], rows)
    {
        output::line(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn state(entry: &BuildEntry) -> &'static str {
    match entry {
        BuildEntry { fold: OF_NOBODY, .. } => "being verified",
        BuildEntry { fold, .. } if *fold < OF_NOBODY => "of the past",
        BuildEntry { failure: Some(_), .. } => "stopped",
        BuildEntry { paused: true, .. } => "paused",
        BuildEntry { current: true, .. } => "shown",
        BuildEntry { shown_until: Some(_), .. } => "kept",
        BuildEntry { caught_up_at: Some(_), .. } => "ready",
        _ => "catching up",
    }
}

/// How many records a build has folded, and how many there are. (Markers count: offsets have gaps.)
async fn progress(catalogue: &mut Catalogue, log: &Log, build: Build) -> Result<(i64, i64), Failure> {
    let lanes: HashMap<(Topic, i32), Lane> = log
        .lanes(&build.projection.topics(), None, &Bound::Beginning, &Bound::End)?
        .into_iter()
        .map(|lane| ((lane.topic, lane.partition), lane))
        .collect();
    let of = lanes.values().map(|lane| lane.end - lane.low).sum();
    let known = catalogue.progress(build).await.map_err(refused)?;
    let folded = known.into_iter().filter_map(|(topic, partition, next)| {
        let lane = lanes.get(&(topic, partition))?;
        Some(next.clamp(lane.low, lane.end) - lane.low)
    });
    Ok((folded.sum(), of))
}

async fn until_shown(catalogue: &mut Catalogue, cluster: &Cluster, build: Build) -> Result<(), Failure> {
    let log = Log::open(cluster, notice)?;
    let bar = stderr().is_terminal().then(|| output::bar(0, format!("records of {build}")));
    loop {
        let entries = catalogue.builds().await.map_err(refused)?;
        let entry = entries.into_iter().find(|entry| entry.build == build);
        let entry = entry.ok_or_else(|| Failure::Refused(anyhow!("{build} was given up meanwhile")))?;
        if let Some(failure) = entry.failure {
            return Err(Failure::Refused(anyhow!("{build} has stopped: {failure}")));
        }
        if entry.current {
            return Ok(());
        }
        if let Some(bar) = &bar {
            let (folded, of) = progress(catalogue, &log, build).await?;
            bar.set_length(of.unsigned_abs());
            bar.set_position(folded.unsigned_abs());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::Refused(anyhow!("not waited for: {build} goes on being built")));
            }
        }
    }
}
