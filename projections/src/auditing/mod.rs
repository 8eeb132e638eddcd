//! Auditing the log itself: whether what lies on a service's topics can have come from its deciders. Nothing is compared with Postgres
//! here, and nothing is decided again.
//!
//! Each partition is read once, its commands, events and outcomes in the order in which they were decided ([`traces`]); [`reading`]
//! looks at each record alone. What must hold within a stream is kept for one partition at a time ([`streams`], with [`money`] and
//! [`stock`]), and nothing else is.

pub mod money;
mod reading;
pub mod stock;
mod streams;
mod traces;

use factfold_schemas::{position::Position, topics::Service};

use crate::log_reader::{Bound, Lane, Log, LogError, Stop};

/// The most findings that are told; all are counted.
const TOLD_MAX: usize = 1_000;

/// Something that no decider wrote, or that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record to blame.
    pub at: Position,
    /// What is wrong with it.
    pub what: String,
}

/// What was found on the topics of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The service.
    pub service: Service,
    /// From where: the first offset of each partition that is still there.
    pub from: Vec<Position>,
    /// Up to where: the next offset of each partition.
    pub to: Vec<Position>,
    /// How many records were read.
    pub records: u64,
    /// How many findings there are.
    pub found: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Audited {
    fn add(&mut self, at: Position, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < TOLD_MAX {
            self.findings.push(Finding { at, what: what.into() });
        }
    }
}

/// What an audit of this service reads. Where events end is asked first, where commands do last: whatever led to an event is then
/// there, and so are the outcomes before it.
pub fn lanes(log: &Log, service: Service) -> Result<Vec<Lane>, LogError> {
    let lanes = |topic| log.lanes(&[topic], None, &Bound::Beginning, &Bound::End);
    let (events, outcomes) = (lanes(service.events())?, lanes(service.outcomes())?);
    Ok([events, outcomes, lanes(service.commands())?].concat())
}

/// Audits these lanes of a service; `each` hears how many records were read since. `None` when it was told to stop. It blocks.
///
/// # Errors
/// When Kafka cannot be asked.
pub fn audit(
    log: &Log,
    service: Service,
    lanes: &[Lane],
    stop: &Stop,
    each: impl Fn(usize),
) -> Result<Option<Audited>, LogError> {
    let (from, to) = lanes.iter().map(|lane| (lane.position(), lane.end_position())).unzip();
    let mut audited = Audited { service, from, to, records: 0, found: 0, findings: Vec::new() };
    let partitions = lanes.iter().map(|lane| lane.partition).max().map_or(0, |last| last + 1);
    for partition in 0..partitions {
        let mut of: Vec<_> = lanes.iter().filter(|lane| lane.partition == partition).cloned().collect();
        traces::audit(log, service, &mut of, partitions, stop, &each, &mut audited)?;
        if stop.is_wanted() {
            return Ok(None);
        }
    }
    Ok(Some(audited))
}
