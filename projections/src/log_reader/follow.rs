//! Going on where reading ended: live records, as they come.

use std::time::Duration;

use rdkafka::{consumer::Consumer as _, message::Message as _};

use super::{
    Doing as _, Lane, Log, LogError, Record, Stop, assignment,
    merge::{Next, tolerate},
};

/// How soon a wish to stop is seen.
const POLL: Duration = Duration::from_millis(100);

/// What comes next.
#[derive(Debug)]
pub enum Live<'a> {
    /// A record.
    Record(Record<'a>),
    /// Nothing, for a moment.
    Quiet,
}

impl Log {
    /// Reads on from these lanes until `each` has enough, or somebody wants to stop.
    pub fn follow<E: From<LogError>>(
        &self,
        lanes: &[Lane],
        stop: &Stop,
        mut each: impl FnMut(Live<'_>) -> Result<Next, E>,
    ) -> Result<(), E> {
        let consumer = self.consumer(&[("fetch.wait.max.ms", "100")])?;
        consumer.assign(&assignment(lanes)?).doing("assigning partitions")?;
        let mut is_away = false;
        while !stop.is_wanted() {
            let next = match consumer.poll(POLL) {
                None => each(Live::Quiet)?,
                Some(Err(error)) => {
                    lanes.first().map_or(Ok(()), |lane| tolerate(error, lane))?;
                    if !std::mem::replace(&mut is_away, true) {
                        (self.notice)("Kafka does not answer: waiting for it");
                    }
                    Next::Go
                }
                Some(Ok(message)) => {
                    is_away = false;
                    let lane = lanes.iter().find(|lane| lane.name == message.topic());
                    match lane {
                        Some(lane) => each(Live::Record(Record { topic: lane.topic, message: &message }))?,
                        None => Next::Go,
                    }
                }
            };
            if next == Next::Enough {
                return Ok(());
            }
        }
        Ok(())
    }
}
