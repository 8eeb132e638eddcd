//! How far it is, for whoever watches, and for the next run.

use std::{
    io::{IsTerminal as _, stderr, stdout},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use factfold_projections::log_reader::{Lane, bound::listed};
use indicatif::ProgressBar;

use super::Args;
use crate::{data_dir::write_private, output};

/// How often progress is shown, and the place to go on from is saved.
const TICK: Duration = Duration::from_millis(250);
/// Looking at the clock for every record would cost more than the record.
const RECORDS_PER_LOOK: u64 = 256;

/// How far a replay is.
pub(super) struct Progress {
    resume: Option<PathBuf>,
    bar: Option<ProgressBar>,
    first: i64,
    records: u64,
    looked: Instant,
}

impl Progress {
    /// Of a replay of these lanes.
    pub(super) fn new(args: &Args, lanes: &[Lane]) -> Self {
        let first = read_to(lanes);
        let total = lanes.iter().map(|lane| lane.end.max(lane.next)).sum::<i64>() - first;
        // Among lines on the same terminal a bar would only flicker.
        let is_watched = stderr().is_terminal() && (args.into.is_some() || !stdout().is_terminal());
        let bar = is_watched.then(|| output::bar(total.unsigned_abs(), "records"));
        Self { resume: args.resume.clone(), bar, first, records: 0, looked: Instant::now() }
    }

    /// One more record was read.
    pub(super) fn tick(&mut self, lanes: &[Lane], settle: impl FnOnce() -> Result<bool>) -> Result<()> {
        self.records += 1;
        if self.records.is_multiple_of(RECORDS_PER_LOOK) { self.look(lanes, settle) } else { Ok(()) }
    }

    /// Many more were read. What `settle` does makes them last, and says whether they do.
    pub(super) fn look(&mut self, lanes: &[Lane], settle: impl FnOnce() -> Result<bool>) -> Result<()> {
        if self.looked.elapsed() < TICK {
            return Ok(());
        }
        self.looked = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_position((read_to(lanes) - self.first).unsigned_abs());
        }
        // What the file says was written must have been.
        if settle()? {
            self.save(lanes)?;
        }
        Ok(())
    }

    /// All of it is done, or as much as is to be done.
    pub(super) fn finish(&self, lanes: &[Lane]) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("next: --from {}", listed(lanes.iter().map(Lane::position)));
        self.save(lanes)
    }

    fn save(&self, lanes: &[Lane]) -> Result<()> {
        let Some(file) = &self.resume else { return Ok(()) };
        write_private(file, &format!("{}\n", listed(lanes.iter().map(Lane::position))))
    }
}

fn read_to(lanes: &[Lane]) -> i64 {
    lanes.iter().map(|lane| lane.next).sum()
}
