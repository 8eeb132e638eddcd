//! Shadow replay: recorded commands, decided again by this build, and what becomes of each beside what history says. It is the
//! worker's own way from a record to its trace (reading, forwarding, repeats, timers, rules); only that nothing is written.
//!
//! Each command is decided on what history says came before it, never on what was decided here: one decision that is another
//! must not drag the next ones after it.

use std::sync::Arc;

use factfold_schemas::{
    cloudevents::Incoming,
    codec::{Message, decode_command, encode},
    ids::StreamId,
    position::Position,
    record::{Outcome, Recorded, RecordedOutcome},
    topics::{Topic, TopicKind},
};
use factfold_vault::{Vault, VaultError};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Deciding,
    read::{self, Read, read},
};
use crate::{
    changes::{Change, between},
    decider::Decider,
    worker::{
        error::Error,
        layout::Layout,
        processor::{Hydrate as _, Processor as _, Produce, Target},
        settings::Settings,
        store::Store,
    },
};

/// Decides the commands of one partition again.
pub struct Shadow<D: Decider> {
    deciding: Deciding<D>,
    partition: i32,
    vault: Arc<Vault>,
    open: Option<Open>,
}

/// The last command, whose trace comes next.
struct Open {
    at: Position,
    command: String,
    command_id: String,
    stream: Option<StreamId>,
    was: Vec<Said>,
    /// `None` where it cannot be made again.
    would_be: Option<Vec<Said>>,
}

/// What a command came to, here and in history.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    /// The same.
    Same,
    /// Not the same.
    Different(Box<Difference>),
    /// That cannot be said.
    LeftOut(LeftOut),
}

/// Why a command was not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// It was about a person, in the clear, and the worker sealed that with a key that is not here.
    Sealed,
    /// History has no trace of it: it is not decided yet, or its outcome is not kept any more.
    NoTrace,
}

/// A command that this build decides differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The record that is decided.
    pub position: Position,
    /// Its type; nothing where that cannot be read.
    pub command: String,
    /// Its id.
    pub command_id: String,
    /// Its key, where that is a text.
    pub stream: Option<StreamId>,
    /// What it came to.
    pub was: Vec<Said>,
    /// What this build would make of it.
    pub would_be: Vec<Said>,
}

/// A part of what a command came to: an event, or how it gave none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// `OrderPaid`, `rejected with wrong-amount`.
    pub what: String,
    /// The rest. Sentences for people are left out: whoever words one better decides nothing differently.
    pub data: Value,
}

/// In which turn this record is to be [taken](Shadow::take): a command by where it lies, what it came to right behind it.
pub fn turn(topic: Topic, record: &Incoming<'_>) -> i64 {
    if topic.kind == TopicKind::Commands {
        return record.offset;
    }
    let decided = record.headers.iter().find(|(name, _)| *name == "ce_decidedposition");
    let decided = decided.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<Position>().ok());
    // What was not written by a decider comes at once, and is refused.
    decided.map_or(i64::MIN, |position| position.offset)
}

impl<D: Decider> Shadow<D> {
    /// The beginning of this partition, one of so many. Of the settings those count that a decision may rest on, and a
    /// `state_dir` that is nobody else's, in which what does not fit into memory is put.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(partition: i32, partitions: i32, settings: &Settings) -> Result<Self, VaultError> {
        // One whose keys nobody else has: it tells what is plain, and whether that is an address or a name at all.
        let vault = Arc::new(Vault::in_memory()?);
        let settings = &Settings { vault: Some(vault.clone()), ..settings.clone() };
        let folder = settings.state_dir.as_deref();
        let store = folder.and_then(|dir| Store::open(dir, "shadow", &partition.to_string(), "shadow"));
        let commands = D::SERVICE.commands();
        let mut deciding = Deciding::new(Layout::even(partitions, 0), settings, commands.to_string(), store);
        let state = deciding.open((commands, partition));
        deciding.adopt((commands, partition), state);
        Ok(Self { deciding, partition, vault, open: None })
    }

    /// The next record: a command, an event or an outcome, each in its [`turn`]. What became of the last command is told once
    /// all of its trace has come.
    ///
    /// # Errors
    /// When the history contradicts itself.
    pub fn take(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<Option<Replayed>, Error> {
        if topic.kind == TopicKind::Commands {
            let last = self.finish();
            self.open = Some(self.decide(topic, record)?);
            return Ok(last);
        }
        let decided = turn(topic, record);
        let last = self.open.take_if(|open| open.at.offset < decided).map(Open::replayed);
        self.fold(topic, record)?;
        if let Some(open) = self.open.as_mut().filter(|open| open.at.offset == decided) {
            open.was.extend(said::<D>(topic, record));
        }
        Ok(last)
    }

    /// What became of the last command.
    pub fn finish(&mut self) -> Option<Replayed> {
        self.open.take().map(Open::replayed)
    }

    fn fold(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<(), Error> {
        let state = self.deciding.partitions.get_mut(&self.partition);
        state.map_or(Ok(()), |state| state.fold(topic, record))
    }

    fn decide(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<Open, Error> {
        let at = Position::new(topic, record.partition, record.offset);
        let (header, command, is_plain) = match read(record, at) {
            Ok(command) => {
                let is_plain = self.is_plain(&command);
                (command.header, command.type_name, is_plain)
            }
            Err(unreadable) => {
                let header = unreadable.header.map_or_else(|| read::anonymous(at), |header| *header);
                (header, unreadable.type_name, false)
            }
        };
        let would_be = if is_plain { None } else { Some(self.process(topic, record)?) };
        let stream = record.key.and_then(read::stream);
        Ok(Open { at, command, command_id: header.id, stream, was: Vec::new(), would_be })
    }

    /// Whether it says something about a person that is not sealed yet.
    fn is_plain(&self, command: &Read<'_>) -> bool {
        let Some(id) = D::aggregate(command.stream.as_str()) else { return false };
        let Ok(mut message) = decode_command::<D::Command>(&command.type_name, &command.value) else {
            return false;
        };
        let before = encode(&message);
        // What is refused is refused under any key.
        D::protect(&mut message, id, &self.vault).is_ok() && encode(&message) != before
    }

    fn process(&mut self, topic: Topic, record: &Incoming<'_>) -> Result<Vec<Said>, Error> {
        let mut out = Vec::new();
        let processed = self.deciding.process(topic, record, &mut out);
        self.deciding.discarded();
        processed?;
        let trace = |Produce { target, record, .. }: &Produce| match target {
            Target::Topic(topic) => said::<D>(*topic, &record.incoming()),
            Target::Replies | Target::SubjectKeys => None,
        };
        Ok(out.iter().filter_map(trace).collect())
    }
}

impl Open {
    fn replayed(self) -> Replayed {
        let Self { at, command, command_id, stream, was, would_be } = self;
        match would_be {
            None => Replayed::LeftOut(LeftOut::Sealed),
            Some(_) if was.is_empty() => Replayed::LeftOut(LeftOut::NoTrace),
            Some(would_be) if would_be == was => Replayed::Same,
            Some(would_be) => Replayed::Different(Box::new(Difference {
                position: at,
                command,
                command_id,
                stream,
                was,
                would_be,
            })),
        }
    }
}

impl Difference {
    /// What it was and what it would be, in the words that are the same for all of its kind.
    pub fn kind(&self) -> (String, String) {
        let (was, would_be) = (names(&self.was), names(&self.would_be));
        if was != would_be {
            return (was, would_be);
        }
        let is_one = self.was.len() == 1;
        let mut places: Vec<_> = self
            .changes()
            .map(|(said, change)| {
                let path = unnumbered(&change.path);
                if is_one { path } else { format!("{}{path}", said.what) }
            })
            .collect();
        places.sort();
        places.dedup();
        (was, format!("{would_be} with another {}", places.join(", ")))
    }

    /// Where the parts differ, where they are the same but for their data.
    pub fn changes(&self) -> impl Iterator<Item = (&Said, Change)> {
        let is_alike = names(&self.was) == names(&self.would_be);
        let pairs = self.was.iter().zip(&self.would_be).filter(move |_| is_alike);
        pairs.flat_map(|(was, would_be)| {
            between(&was.data, &would_be.data).into_iter().map(move |change| (was, change))
        })
    }
}

fn names(said: &[Said]) -> String {
    let names: Vec<_> = said.iter().map(|said| said.what.as_str()).collect();
    names.join(" and ")
}

/// `/lines/*/quantity`: in which line is no matter of kind.
fn unnumbered(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// What a record of a trace says; nothing where it is none.
fn said<D: Decider>(topic: Topic, record: &Incoming<'_>) -> Option<Said> {
    match topic.kind {
        TopicKind::Events => Some(of_event(&Recorded::<D::Event>::read(record).ok()?.data)),
        TopicKind::Outcomes => Some(of_outcome(RecordedOutcome::read(record).ok()?.outcome)),
        TopicKind::Commands
        | TopicKind::DeadLetters
        | TopicKind::Timers
        | TopicKind::Emitted
        | TopicKind::State => None,
    }
}

/// In today's shape, whichever it was stored in.
fn of_event<E: Message>(event: &E) -> Said {
    let data = serde_json::from_slice(&encode(event)).expect("the codec writes JSON");
    Said { what: event.type_name().to_owned(), data }
}

fn of_outcome(outcome: Outcome) -> Said {
    let (what, data) = match outcome {
        Outcome::Rejected(rejected) => {
            let rejection = rejected.rejection;
            let data = json!({
                "kind": rejection.kind, "pointer": rejection.pointer, "data": rejection.data,
            });
            (format!("rejected with {}", rejection.name), data)
        }
        Outcome::NoChange(_) => ("no change".to_owned(), json!({})),
        Outcome::Repeated(repeated) => ("a repeat".to_owned(), json!({ "first": repeated.first })),
        Outcome::Forwarded(forwarded) => {
            ("forwarded".to_owned(), json!({ "from": forwarded.from, "to": forwarded.to }))
        }
        Outcome::DeadLettered(dead) => (format!("a dead letter ({})", dead.reason.name), json!({})),
        Outcome::Scheduled(scheduled) => ("put off".to_owned(), json!({ "due": scheduled.due })),
    };
    Said { what, data }
}

#[cfg(test)]
#[path = "shadow_test.rs"]
mod tests;
