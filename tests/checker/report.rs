//! What was checked, and what does not hold.

use std::{collections::BTreeMap, fmt};

use factfold_consumers::decider::Decider;
use factfold_schemas::{position::Position, topics::Service};

use crate::history::ServiceLog;

/// How many findings of one check are printed.
const SHOWN_MAX: usize = 20;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// Where it shows; `None` for what lies in no topic.
    pub at: Option<Position>,
    /// What is wrong, in a sentence.
    pub what: String,
}

/// How much there was to check: a report without findings over nothing would prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records on the commands topic.
    pub commands: usize,
    /// Records on the events topic.
    pub events: usize,
    /// Records on the outcomes topic.
    pub outcomes: usize,
    /// Records on the dead-letter topic.
    pub dead_letters: usize,
}

/// The result of a check of everything.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What does not hold. Nothing, if all is well.
    pub findings: Vec<Finding>,
    /// What was read.
    pub counts: BTreeMap<Service, Counts>,
    /// How many answers to clients were compared.
    pub told: usize,
}

impl Report {
    /// Writes a finding down.
    pub fn add(&mut self, check: &'static str, at: impl Into<Option<Position>>, what: impl Into<String>) {
        self.findings.push(Finding { check, at: at.into(), what: what.into() });
    }

    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what another report says.
    pub fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.counts.extend(other.counts);
        self.told += other.told;
    }

    pub(crate) fn count<D: Decider>(&mut self, log: &ServiceLog<D>) {
        let counts = Counts {
            commands: log.commands.len(),
            events: log.events.len(),
            outcomes: log.outcomes.len(),
            dead_letters: log.dead_letters.len(),
        };
        self.counts.insert(D::SERVICE, counts);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "[{}] {at}: {}", self.check, self.what),
            None => write!(f, "[{}] {}", self.check, self.what),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (service, counts) in &self.counts {
            let Counts { commands, events, outcomes, dead_letters } = counts;
            writeln!(
                f,
                "{service}: {commands} commands, {events} events, {outcomes} outcomes, {dead_letters} dead letters"
            )?;
        }
        if self.told > 0 {
            writeln!(f, "{} answers to clients", self.told)?;
        }
        let mut of_check = BTreeMap::<&str, usize>::new();
        for finding in &self.findings {
            let seen = of_check.entry(finding.check).or_default();
            *seen += 1;
            if *seen <= SHOWN_MAX {
                writeln!(f, "{finding}")?;
            }
        }
        for (check, seen) in of_check.into_iter().filter(|(_, seen)| *seen > SHOWN_MAX) {
            writeln!(f, "[{check}] and {} more", seen - SHOWN_MAX)?;
        }
        match self.findings.len() {
            0 => write!(f, "everything adds up"),
            findings => write!(f, "{findings} findings"),
        }
    }
}
