//! Deciding again: the commands of a partition, one after the other, through the pure deciders. It says what must have
//! become of each; it never looks at what did.

use std::collections::HashMap;

use factfold_consumers::decider::{Asked, Decider, Entry};
use factfold_schemas::{
    codec::{DecodeError, decode_command},
    command::{Digest, NOT_BEFORE_MAX},
    ids::StreamId,
    partitioner::partition_of,
    position::Position,
    record::{DeadLetterReason, DeadLettered, Forwarded, NoChange, Outcome, Rejected, Repeated, Scheduled},
    rejection::{Common, Reject as _, Rejection, RejectionKind},
};

use crate::{
    fold::evolve,
    history::{Trace, said, said_outcome},
    read::{Command, Readable, Unreadable},
};

/// For how long a repeat is known to be one, in the broker's time: the worker's default.
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;
/// Among how many later commands of its partition a repeat is surely known to be one: the worker's default.
pub const WINDOW_COUNT: u64 = 250_000;

/// What must have become of a command.
pub enum Verdict<D: Decider> {
    /// It gave these events.
    Events(Vec<D::Event>),
    /// It gave none.
    Outcome(Outcome),
}

impl<D: Decider> Verdict<D> {
    /// In words, as [`crate::history::Trace::said`] has them.
    pub fn said(&self) -> String {
        match self {
            Self::Events(events) => events.iter().map(said).collect::<Vec<_>>().join(", "),
            Self::Outcome(outcome) => said_outcome(outcome),
        }
    }
}

/// What the log says up to some command.
pub struct Replay<D: Decider> {
    partitions: i32,
    entries: HashMap<D::Id, Entry<D::State>>,
    firsts: HashMap<(StreamId, String, String), First>,
    remembered: u64,
}

struct First {
    at: Position,
    at_ms: i64,
    number: u64,
    digest: Digest,
    waits: bool,
}

impl<D: Decider> Replay<D> {
    /// The beginning of a log with so many partitions.
    pub fn new(partitions: i32) -> Self {
        Self { partitions, entries: HashMap::new(), firsts: HashMap::new(), remembered: 0 }
    }

    /// What must become of this command, and the digest that its trace must name. Where more than one thing would be
    /// right, what was `found` is, if it is among them.
    pub fn verdict(&self, command: &Command, found: Option<&Outcome>) -> (Verdict<D>, Digest) {
        let digest = command.digest();
        let dead = |reason: &str| {
            let reason = DeadLetterReason { name: reason.to_owned(), detail: String::new() };
            Verdict::Outcome(Outcome::DeadLettered(DeadLettered { reason }))
        };
        let readable = match &command.read {
            Err(Unreadable { reason, .. }) => return (dead(reason), digest),
            Ok(readable) => readable,
        };
        let Readable { stream, header, type_name, value } = readable;
        let raw_digest = command.raw_digest(type_name);
        let home = partition_of(stream.as_str().as_bytes(), self.partitions);
        if home != command.at.partition {
            return match header.forwarded_from {
                Some(_) => (dead("misplaced-again"), raw_digest),
                None => {
                    let forwarded = Forwarded { from: command.at.partition, to: home };
                    (Verdict::Outcome(Outcome::Forwarded(forwarded)), digest)
                }
            };
        }
        let Some(id) = D::aggregate(stream.as_str()) else { return (dead("wrong-key"), raw_digest) };
        if let Some(repeated) = self.repeat(command, type_name, digest, found) {
            return (Verdict::Outcome(repeated), digest);
        }
        let message = match decode_command::<D::Command>(type_name, value) {
            Ok(message) => message,
            Err(DecodeError::UnknownType { .. }) => return (dead("unknown-type"), raw_digest),
            Err(DecodeError::Invalid { .. } | DecodeError::Nul { .. }) => {
                return (dead("invalid-data"), raw_digest);
            }
        };
        if let Some(due) = header.not_before.filter(|due| *due > command.time())
            && due <= command.time() + NOT_BEFORE_MAX
        {
            let scheduled = Scheduled { command: type_name.clone(), due };
            return (Verdict::Outcome(Outcome::Scheduled(scheduled)), digest);
        }
        let verdict = match self.decide(id, &message, command, readable) {
            Ok(events) => Verdict::Events(events),
            Err(rejection) if rejection.kind == RejectionKind::NoChange => {
                Verdict::Outcome(Outcome::NoChange(NoChange { command: type_name.clone() }))
            }
            Err(rejection) => Verdict::Outcome(Outcome::Rejected(Rejected {
                command: type_name.clone(),
                rejection: *rejection,
            })),
        };
        (verdict, digest)
    }

    fn repeat(
        &self,
        command: &Command,
        type_name: &str,
        digest: Digest,
        found: Option<&Outcome>,
    ) -> Option<Outcome> {
        let first = self.firsts.get(&command.identity()?)?;
        if first.waits && first.digest == digest && command.header().scheduled_from == Some(first.at) {
            return None;
        }
        let outcome = if first.digest == digest {
            Outcome::Repeated(Repeated { command: type_name.to_owned(), first: first.at })
        } else {
            let rejection = Common::CommandIdReused.to_rejection();
            Outcome::Rejected(Rejected { command: type_name.to_owned(), rejection })
        };
        let age_ms = command.time().as_millisecond() - first.at_ms;
        let is_surely_known = age_ms < WINDOW_MS && self.remembered - first.number < WINDOW_COUNT / 2;
        (is_surely_known || found == Some(&outcome)).then_some(outcome)
    }

    fn decide(
        &self,
        id: D::Id,
        message: &D::Command,
        command: &Command,
        readable: &Readable,
    ) -> Result<Vec<D::Event>, Box<Rejection>> {
        let header = &readable.header;
        let latest = command.time() + NOT_BEFORE_MAX;
        if let Some(not_before) = header.not_before.filter(|not_before| *not_before > latest) {
            return Err(Box::new(Common::TooFarAhead { not_before, latest }.to_rejection()));
        }
        if let Some(expired_at) = header.expires.filter(|expires| *expires <= command.time()) {
            return Err(Box::new(Common::Expired { expired_at }.to_rejection()));
        }
        let entry = self.entries.get(&id);
        let asked = Asked { by: header.auth.as_ref(), at: command.time() };
        let decision = D::decide(id, entry.map(|entry| &entry.state), message, asked);
        let decision = decision.map_err(|rejection| Box::new(rejection.to_rejection()));
        let actual = entry.map_or(0, |entry| entry.version);
        match (header.expected_version, &decision) {
            // What the caller may not see has no version to tell.
            (_, Err(rejection)) if rejection.kind == RejectionKind::NotFound => decision,
            (Some(expected), _) if expected != actual => {
                Err(Box::new(Common::VersionMismatch { expected, actual }.to_rejection()))
            }
            _ => decision,
        }
        .map(|events| events.into_iter().collect())
    }

    /// This became of the command. What was stored counts, not what should have been.
    pub fn follow(&mut self, command: &Command, trace: &Trace<'_, D>) {
        for event in trace.events.iter().map(|event| &event.record) {
            if let Some(id) = D::aggregate(event.stream.as_str()) {
                evolve::<D>(&mut self.entries, id, event);
            }
        }
        if let (Some(identity), Some((_, cause)), true) =
            (command.identity(), trace.causes().next(), is_first(trace.outcome()))
        {
            let (at, at_ms) = (cause.decided, cause.time.as_millisecond());
            self.remembered += 1;
            let waits = matches!(trace.outcome(), Some(Outcome::Scheduled(_)));
            let first = First { at, at_ms, number: self.remembered, digest: cause.digest, waits };
            self.firsts.insert(identity, first);
        }
    }
}

/// Whether whoever is decided like this is the first under its identity.
pub fn is_first(outcome: Option<&Outcome>) -> bool {
    match outcome {
        None | Some(Outcome::NoChange(_) | Outcome::Scheduled(_)) => true,
        Some(Outcome::Rejected(rejected)) => {
            rejected.rejection.name != Common::CommandIdReused.to_rejection().name
        }
        Some(Outcome::Repeated(_) | Outcome::Forwarded(_) | Outcome::DeadLettered(_)) => false,
    }
}
