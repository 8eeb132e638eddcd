//! A moment: in each partition the offset up to which it goes. Half a command is in no moment, as it never was in what people saw.

use std::{collections::BTreeMap, str::FromStr};

use factfold_schemas::{
    position::Position,
    topics::{Topic, TopicKind},
};
use jiff::{SignedDuration, Timestamp};

use super::PastError;
use crate::{
    Projection,
    log_reader::{Bound, Lane, Log, LogError, Stop, merge::Next},
};

/// How far before a record the first event of its command can lie: a command gives some hundred events at most.
const COMMAND_OFFSETS: i64 = 512;
const DECIDED: &str = "ce_decidedposition";

/// A moment, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// What the broker had stored by then.
    Time(Timestamp),
    /// When the trace of this command was stored.
    Command(Position),
    /// Everything below these offsets; in the other partitions what comes before the first that is named.
    Events(Vec<Position>),
}

/// A text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a time (2026-01-31T12:00:00Z), how long ago (15m), the position of a command (orders.commands/7@1042), or the \
     positions of events (orders.events/0@42,orders.events/1@17)"
)]
pub struct InvalidAt;

impl FromStr for At {
    type Err = InvalidAt;

    fn from_str(text: &str) -> Result<Self, InvalidAt> {
        match text.parse::<Bound>() {
            Ok(Bound::Time(time)) => Ok(Self::Time(time)),
            Ok(Bound::Positions(positions)) => match positions.as_slice() {
                [command] if command.topic.kind == TopicKind::Commands => Ok(Self::Command(*command)),
                events => {
                    let is_trace = |position: &Position| {
                        matches!(position.topic.kind, TopicKind::Events | TopicKind::Outcomes)
                    };
                    if events.iter().all(is_trace) { Ok(Self::Events(positions)) } else { Err(InvalidAt) }
                }
            },
            _ => Err(InvalidAt),
        }
    }
}

/// How far each partition goes that one of these read models is folded from.
pub(super) fn find(
    log: &Log,
    projections: &[Projection],
    at: &At,
) -> Result<BTreeMap<(Topic, i32), i64>, PastError> {
    let named = if let At::Events(positions) = at { positions.as_slice() } else { &[] };
    let mut topics: Vec<_> = projections.iter().flat_map(|projection| projection.topics()).collect();
    let wanted = topics.clone();
    topics.extend(named.iter().map(|position| position.topic));
    topics.sort_unstable();
    topics.dedup();
    // What was stored within this millisecond is in it.
    let until = |time: Timestamp| Bound::Time(time + SignedDuration::from_millis(1));
    let bound = match at {
        At::Time(time) => until(*time),
        At::Command(command) => until(trace(log, *command)?),
        At::Events(positions) => Bound::Positions(positions.clone()),
    };
    let ends = log.lanes(&topics, None, &Bound::Beginning, &Bound::End)?;
    let lanes = log.lanes(&topics, None, &Bound::Beginning, &bound)?;
    let wanted = lanes.into_iter().zip(ends).filter(|(lane, _)| wanted.contains(&lane.topic));
    wanted
        .map(|(lane, whole)| {
            let end = if lane.end < whole.end { first_after(log, &lane, whole.end)? } else { whole.end };
            Ok(((lane.topic, lane.partition), end.max(lane.low)))
        })
        .collect()
}

/// When the trace of a command was stored: the last of its events.
fn trace(log: &Log, command: Position) -> Result<Timestamp, PastError> {
    let service = command.topic.service;
    let stored = log.lanes_from(&[command])?;
    let time = of_first(log, stored)?.ok_or(PastError::NoTrace(command))?;
    let topics = [service.events(), service.outcomes()];
    let mut lanes = log.lanes(&topics, Some(command.partition), &Bound::Time(time), &Bound::End)?;
    let (decided, mut found) = (command.to_string(), None);
    log.read(&mut lanes, &Stop::default(), |record, _| -> Result<_, LogError> {
        if record.header(DECIDED) == Some(&decided) {
            found = Some(record.time());
        } else if found.is_some() {
            return Ok(Next::Enough);
        }
        Ok(Next::Go)
    })?;
    found.ok_or(PastError::NoTrace(command))
}

/// When the first record of these was stored.
fn of_first(log: &Log, mut lanes: Vec<Lane>) -> Result<Option<Timestamp>, LogError> {
    let mut time = None;
    log.read(&mut lanes, &Stop::default(), |record, _| -> Result<_, LogError> {
        time = Some(record.time());
        Ok(Next::Enough)
    })?;
    Ok(time)
}

/// Where the first record lies that is not in the moment: the one at the end of this lane or after it; where that goes on with a
/// command, the first of its events. So moments between which nothing happened are the same.
fn first_after(log: &Log, lane: &Lane, whole_end: i64) -> Result<i64, LogError> {
    let mut around =
        [Lane { next: (lane.end - COMMAND_OFFSETS).max(lane.low), end: whole_end, ..lane.clone() }];
    let mut last: Option<(String, i64)> = None;
    let mut first = whole_end;
    log.read(&mut around, &Stop::default(), |record, _| -> Result<_, LogError> {
        let offset = record.position().offset;
        let decided = record.header(DECIDED).unwrap_or_default();
        let goes_on = last.as_ref().filter(|(of, _)| of == decided).map(|(_, begin)| *begin);
        if offset >= lane.end {
            first = goes_on.unwrap_or(offset);
            return Ok(Next::Enough);
        }
        if goes_on.is_none() {
            last = Some((decided.to_owned(), offset));
        }
        Ok(Next::Go)
    })?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_can_be_said_in_many_ways() {
        let parse = |text: &str| text.parse::<At>().ok();
        let time = "2026-01-31T12:00:00Z".parse().expect("a time");
        assert_eq!(parse("2026-01-31T13:00:00+01:00"), Some(At::Time(time)));
        assert!(matches!(parse("15m"), Some(At::Time(_))));
        let position = |text: &str| text.parse::<Position>().expect("a position");
        assert_eq!(parse("orders.commands/7@1042"), Some(At::Command(position("orders.commands/7@1042"))));
        let events = ["orders.events/0@42", "orders.outcomes/1@7"];
        assert_eq!(parse(&events.join(",")), Some(At::Events(events.map(position).to_vec())));
        for wrong in ["", "end", "beginning", "orders.commands/0@1,orders.commands/1@2", "orders.timers/0@1"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
