//! What was decided differently, by kind.

use std::collections::BTreeMap;

use factfold_consumers::worker::deciding::shadow::{Difference, LeftOut, Replayed, Said};
use factfold_projections::log_reader::{Lane, visible};
use factfold_schemas::{position::Position, topics::Service};
use indicatif::HumanCount;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::output::{line, shortened};

/// How many of a kind are shown.
const EXAMPLES: usize = 3;
/// As much of an event or a rejection as is shown to people.
const COLUMNS: usize = 200;

/// What whoever wrote a rule looks at.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    service: Service,
    began: Timestamp,
    ended: Timestamp,
    /// Which commands it is about.
    covers: Vec<Covered>,
    /// How many were decided again.
    decided: u64,
    /// How many of these would be decided differently.
    pub(super) different: u64,
    left_out: BTreeMap<LeftOut, u64>,
    kinds: Vec<Kind>,
}

/// Commands of one partition.
#[derive(Debug, Serialize)]
struct Covered {
    /// The first.
    from: Position,
    /// The first that it is not about.
    to: Position,
}

/// Commands that would be decided differently in the same way.
#[derive(Debug, Serialize)]
struct Kind {
    command: String,
    was: String,
    would_be: String,
    count: u64,
    examples: Vec<Difference>,
}

impl Report {
    /// Nothing of these commands is known yet.
    pub(super) fn new(service: Service, commands: &[Lane]) -> Self {
        let covers = commands.iter().map(|lane| Covered { from: lane.position(), to: lane.end_position() });
        Self {
            service,
            began: Timestamp::now(),
            ended: Timestamp::now(),
            covers: covers.collect(),
            decided: 0,
            different: 0,
            left_out: BTreeMap::new(),
            kinds: Vec::new(),
        }
    }

    /// This became of a command.
    pub(super) fn add(&mut self, replayed: Replayed) {
        match replayed {
            Replayed::LeftOut(why) => *self.left_out.entry(why).or_default() += 1,
            Replayed::Same => self.decided += 1,
            Replayed::Different(difference) => {
                self.decided += 1;
                self.different += 1;
                self.add_different(*difference);
            }
        }
    }

    fn add_different(&mut self, mut difference: Difference) {
        let (was, would_be) = difference.kind();
        let command = difference.command.clone();
        let known = self
            .kinds
            .iter()
            .position(|kind| (&kind.command, &kind.was, &kind.would_be) == (&command, &was, &would_be));
        let index = known.unwrap_or_else(|| {
            self.kinds.push(Kind { command, was, would_be, count: 0, examples: Vec::new() });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[index];
        kind.count += 1;
        if kind.examples.len() < EXAMPLES {
            let said = difference.was.iter_mut().chain(&mut difference.would_be);
            said.filter_map(|said| said.data.as_object_mut()).for_each(visible::hide);
            kind.examples.push(difference);
        }
    }

    /// That was all: what there is most of comes first.
    pub(super) fn end(mut self) -> Self {
        self.kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        self.ended = Timestamp::now();
        self
    }

    /// Tells people.
    pub(super) fn say(&self) -> anyhow::Result<()> {
        for kind in &self.kinds {
            let command = if kind.command.is_empty() { "no command" } else { &kind.command };
            line(&format!(
                "{command}: was {}, would be {}: {}",
                kind.was,
                kind.would_be,
                HumanCount(kind.count)
            ))?;
            kind.examples.iter().flat_map(told).try_for_each(|told| line(&told))?;
        }
        let topic = self.service.commands();
        let (decided, different) = (HumanCount(self.decided), HumanCount(self.different));
        line(&format!("{decided} commands of {topic} decided again, {different} differently"))?;
        for (why, count) in &self.left_out {
            line(&format!("{} left out: {}", HumanCount(*count), reason(*why)))?;
        }
        for Covered { from, to } in &self.covers {
            line(&format!("from {from} to {to}"))?;
        }
        Ok(())
    }
}

const fn reason(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Sealed => "about a person, and sealed with a key that is not here",
        LeftOut::NoTrace => "not decided yet, or what they came to is not kept any more",
    }
}

/// Where it is, and how it differs.
fn told(difference: &Difference) -> Vec<String> {
    let stream = difference.stream.as_ref().map_or("no stream", |stream| stream.as_str());
    let place = format!("  {}  {stream}  command {}", difference.position, difference.command_id);
    let changes: Vec<_> = difference.changes().map(|(_, change)| format!("    {change}")).collect();
    let lines = if changes.is_empty() {
        let said = |sign: char, all: &[Said]| {
            let line = |said: &Said| format!("    {sign} {}{}", said.what, data(&said.data));
            all.iter().map(line).collect::<Vec<_>>()
        };
        [said('-', &difference.was), said('+', &difference.would_be)].concat()
    } else {
        changes
    };
    let lines = lines.into_iter().map(|line| shortened(&line, COLUMNS));
    std::iter::once(place).chain(lines).collect()
}

fn data(data: &Value) -> String {
    match data.as_object() {
        Some(fields) if fields.is_empty() => String::new(),
        _ => format!(" {data}"),
    }
}
