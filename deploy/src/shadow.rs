//! Shadow replay: reads the recorded commands of a service, and what they came to, and has this build decide them again. One
//! partition after the other, so that memory holds one at a time. It must never write to the log.

use std::iter;

use anyhow::{Context as _, anyhow};
use factfold_consumers::{
    decider::Decider,
    worker::{
        self,
        deciding::shadow::{Replayed, Shadow, turn},
    },
};
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop, merge::Next};
use factfold_schemas::topics::Service;

use crate::failure::Failure;

/// What is recorded of a service: its commands from one place to another, and all that commands came to.
pub struct Recorded {
    partitions: i32,
    commands: Vec<Lane>,
    histories: Vec<Lane>,
}

impl Recorded {
    /// Looks where that begins and ends. States come from all events, so these are read from the first on.
    ///
    /// # Errors
    /// When the log is out of reach, or a bound is nowhere in it.
    pub fn of(log: &Log, service: Service, from: &Bound, to: &Bound) -> Result<Self, Failure> {
        let mut commands = log.lanes(&[service.commands()], None, from, to)?;
        let partitions = commands.len().try_into().context("partitions")?;
        commands.retain(|lane| lane.next < lane.end);
        // Later than the commands, so that what these came to is there.
        let topics = [service.events(), service.outcomes()];
        let mut histories = log.lanes(&topics, None, &Bound::Beginning, &Bound::End)?;
        histories.retain(|history| commands.iter().any(|lane| lane.partition == history.partition));
        Ok(Self { partitions, commands, histories })
    }

    /// The commands of each partition that has some.
    pub fn commands(&self) -> &[Lane] {
        &self.commands
    }

    /// How many records there are to read, at most.
    pub fn records(&self) -> u64 {
        self.commands
            .iter()
            .chain(&self.histories)
            .map(|lane| lane.end - lane.next)
            .sum::<i64>()
            .unsigned_abs()
    }

    /// Decides all commands again; `each` hears what became of them, `read` how many records were read since it was last
    /// told. Returns whether all were decided (and nobody wanted to stop before).
    ///
    /// # Errors
    /// When the log is out of reach, or contradicts itself.
    pub fn replay<D: Decider>(
        &self,
        log: &Log,
        settings: &worker::Settings,
        stop: &Stop,
        mut each: impl FnMut(Replayed),
        mut read: impl FnMut(u64),
    ) -> Result<bool, Failure> {
        for commands in &self.commands {
            let histories = self.histories.iter().filter(|lane| lane.partition == commands.partition);
            let mut lanes: Vec<_> = iter::once(commands).chain(histories).cloned().collect();
            let folder = tempfile::tempdir().context("a folder for what does not fit into memory")?;
            let settings = worker::Settings { state_dir: Some(folder.path().to_owned()), ..settings.clone() };
            let mut shadow = Shadow::<D>::new(commands.partition, self.partitions, &settings)
                .context("deciding commands again")?;
            let mut before = read_to(&lanes);
            log.read_in_turn(&mut lanes, stop, turn_of, |record, lanes| -> Result<_, Failure> {
                let now = read_to(lanes);
                read(now.abs_diff(before));
                before = now;
                if turn_of(&record) >= commands.end {
                    return Ok(Next::Enough);
                }
                let replayed = shadow.take(record.topic, &record.incoming());
                replayed.map_err(|error| Failure::Refused(anyhow!(error)))?.into_iter().for_each(&mut each);
                Ok(Next::Go)
            })?;
            if stop.is_wanted() {
                return Ok(false);
            }
            shadow.finish().into_iter().for_each(&mut each);
        }
        Ok(true)
    }
}

fn turn_of(record: &Record<'_>) -> i64 {
    turn(record.topic, &record.incoming())
}

fn read_to(lanes: &[Lane]) -> i64 {
    lanes.iter().map(|lane| lane.next).sum()
}
