//! What clients were told is what is in the log: what was stored lies where they were told, under its name, and left a
//! trace; and an answer is that of its trace, with the resource as that decision left it.
//!
//! Whoever sends the same command twice at the same time may get the answer of either, so an answer may be that of any
//! record that said the same under the same identity.

use std::collections::{BTreeMap, HashMap, HashSet};

use factfold_consumers::decider::Decider;
use factfold_schemas::{
    ids::StreamId,
    position::Position,
    record::{Outcome, Recorded},
    topics::Service,
};
use serde_json::Value;

use crate::{
    fold::{Folded, fold},
    history::{Log, ServiceLog, Trace},
    report::Report,
};

const NAME: &str = "told";

/// What a client was told about one command.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Where its command lies.
    pub position: Position,
    /// The command's id, where the client knows it.
    pub command_id: Option<String>,
    /// What became of it.
    pub answer: Answer,
}

/// What a client was told became of its command.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Nothing yet: it is stored.
    Stored,
    /// It is done, or was so already.
    Done {
        /// The resource, as it was shown.
        resource: Option<Value>,
    },
    /// It broke a rule.
    Rejected {
        /// The rule.
        name: String,
        /// In a sentence.
        detail: String,
    },
    /// It could not be read.
    DeadLettered {
        /// The reason.
        reason: String,
    },
}

/// Compares all answers with the log.
pub fn check(log: &Log, told: &[Told], report: &mut Report) {
    report.told = told.len();
    of_service(&log.goods, log.quiet, told, report);
    of_service(&log.orders, log.quiet, told, report);
    of_service(&log.users, log.quiet, told, report);
    of_service(&log.functions, log.quiet, told, report);
    for told in told.iter().filter(|told| told.position.topic != told.position.topic.service.commands()) {
        report.add(NAME, told.position, format!("no command can lie there: {told:?}"));
    }
}

fn of_service<D: Decider>(log: &ServiceLog<D>, quiet: bool, told: &[Told], report: &mut Report) {
    let of_service = |told: &&Told| told.position.topic == D::SERVICE.commands();
    let told: Vec<&Told> = told.iter().filter(of_service).collect();
    let known = Known::new(log, &told);
    for told in told {
        if let Err(what) = known.judge(told, quiet) {
            report.add(NAME, told.position, format!("{what}; told: {:?}", told.answer));
        }
    }
}

type Versions = BTreeMap<Position, u64>;
type Identity = (StreamId, String, String);

struct Known<'a, D: Decider> {
    log: &'a ServiceLog<D>,
    commands: BTreeMap<Position, &'a crate::read::Command>,
    traces: BTreeMap<Position, Trace<'a, D>>,
    /// The copy of what was forwarded.
    copies: BTreeMap<Position, Position>,
    /// The decided records of an identity.
    same: HashMap<Identity, Vec<Position>>,
    /// The version of a stream after a decided position that moved it.
    versions: HashMap<StreamId, Versions>,
    folded: Folded,
}

impl<'a, D: Decider> Known<'a, D> {
    fn new(log: &'a ServiceLog<D>, told: &[&Told]) -> Self {
        let mut versions = HashMap::<StreamId, Versions>::new();
        for Recorded { stream, version, cause, .. } in log.events.iter().map(|event| &event.record) {
            versions.entry(stream.clone()).or_default().insert(cause.decided, *version);
        }
        let mut copies = BTreeMap::new();
        let mut same = HashMap::<Identity, Vec<Position>>::new();
        for command in &log.commands {
            copies.extend(command.header().forwarded_from.map(|from| (from, command.at)));
            if let Some(identity) = command.identity() {
                same.entry(identity).or_default().push(command.at);
            }
        }
        let (commands, traces) = (log.commands_by_position(), log.traces());
        let folded = Folded { last: BTreeMap::new(), at: HashMap::new() };
        let mut known = Self { log, commands, traces, copies, same, versions, folded };
        let wanted: HashSet<(StreamId, u64)> =
            told.iter().flat_map(|told| known.candidates(told)).filter_map(|at| known.stand(at)).collect();
        known.folded = fold(log, &wanted);
        known
    }

    /// Where the answer can come from.
    fn candidates(&self, told: &Told) -> Vec<Position> {
        let decided = self.decided(told.position);
        let Some(command) = self.commands.get(&decided) else { return Vec::new() };
        let Some(identity) = command.identity() else { return vec![decided] };
        let same = self.same.get(&identity).into_iter().flatten().copied();
        let said_same = |at: &Position| self.commands[at].digest() == command.digest();
        let was_decided = |at: &Position| !self.copies.contains_key(at);
        same.filter(said_same).filter(was_decided).collect()
    }

    /// Where the command at this position was decided.
    fn decided(&self, stored: Position) -> Position {
        self.copies.get(&stored).copied().unwrap_or(stored)
    }

    /// The stream of the command that was decided here, and its version then.
    fn stand(&self, decided: Position) -> Option<(StreamId, u64)> {
        let (stream, ..) = self.commands.get(&decided)?.identity()?;
        let (_, version) = self.versions.get(&stream)?.range(..=decided).next_back()?;
        Some((stream, *version))
    }

    fn judge(&self, told: &Told, quiet: bool) -> Result<(), String> {
        let command = self.commands.get(&told.position).ok_or("it was stored, and is not there")?;
        let id = command.header().id;
        if told.command_id.as_ref().is_some_and(|told| *told != id) {
            return Err(format!("there lies another command: {id}"));
        }
        let decided = self.decided(told.position);
        if !self.traces.contains_key(&decided) {
            let pending = !quiet && !self.log.is_done(decided) && told.answer == Answer::Stored;
            return if pending { Ok(()) } else { Err(format!("it has no trace at {decided}")) };
        }
        if told.answer == Answer::Stored {
            return Ok(());
        }
        let candidates = self.candidates(told);
        let mut reasons = candidates.iter().map(|at| self.compare(*at, &told.answer));
        match reasons.try_fold(Vec::new(), |mut wrong, reason| match reason {
            Ok(()) => Err(()),
            Err(reason) => {
                wrong.push(reason);
                Ok(wrong)
            }
        }) {
            Err(()) => Ok(()),
            Ok(wrong) => Err(wrong.join(" / ")),
        }
    }

    /// Whether this is the answer that the record at this position got.
    fn compare(&self, at: Position, answer: &Answer) -> Result<(), String> {
        let first = |outcome: Option<&'a Outcome>| match outcome {
            Some(Outcome::Repeated(repeated)) => self.traces.get(&repeated.first).and_then(Trace::outcome),
            other => other,
        };
        let trace = self.traces.get(&at).ok_or_else(|| format!("nothing was decided at {at}"))?;
        match (answer, first(trace.outcome())) {
            (Answer::Done { resource: None }, None | Some(Outcome::NoChange(_))) => Ok(()),
            (Answer::Done { resource: Some(shown) }, None | Some(Outcome::NoChange(_))) => {
                let left = self.stand(at).and_then(|stand| self.folded.at.get(&stand));
                if left == Some(shown) { Ok(()) } else { Err(format!("{at} left {left:?}")) }
            }
            (Answer::Rejected { name, detail }, Some(Outcome::Rejected(rejected))) => {
                // That another's order is there is told to nobody.
                let stored = match (D::SERVICE, rejected.rejection.name.as_str()) {
                    (Service::Orders, "not-your-order") => "order-not-found",
                    (_, name) => name,
                };
                let same = name == stored && *detail == rejected.rejection.detail;
                if same { Ok(()) } else { Err(format!("{at} was rejected: {:?}", rejected.rejection)) }
            }
            (Answer::DeadLettered { reason }, Some(Outcome::DeadLettered(dead)))
                if *reason == dead.reason.name =>
            {
                Ok(())
            }
            _ => Err(format!("at {at} lies: {}", trace.said())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds_at, sound, told};

    #[test]
    fn what_is_true_is_no_finding() {
        let log = sound();
        let mut report = Report::default();
        check(&log, &told(&log), &mut report);
        assert_eq!(report.findings, []);
        assert!(report.told > 10);
    }

    #[test]
    fn a_stored_command_that_is_not_there_is_found() {
        let mut log = sound();
        let told = told(&log);
        let lost = log.goods.commands.pop().expect("a command").at;
        finds_at(NAME, lost, |report| check(&log, &told, report));
    }

    #[test]
    fn a_stored_command_without_a_trace_is_found() {
        let mut log = sound();
        let told = told(&log);
        let lost = log.goods.outcomes.pop().expect("an outcome").record.cause.decided;
        finds_at(NAME, lost, |report| check(&log, &told, report));
    }

    #[test]
    fn another_answer_than_the_logs_is_found() {
        let log = sound();
        let mut told = told(&log);
        let done = told.iter_mut().find_map(|told| match &mut told.answer {
            Answer::Done { resource: Some(resource) } => Some((told.position, resource)),
            _ => None,
        });
        let (at, resource) = done.expect("something was done");
        resource["version"] = Value::from(1000);
        finds_at(NAME, at, |report| check(&log, &told, report));

        let mut told = self::told(&log);
        let rejected = told.iter_mut().find(|told| matches!(told.answer, Answer::Rejected { .. }));
        let rejected = rejected.expect("something was rejected");
        rejected.answer = Answer::Done { resource: None };
        let at = rejected.position;
        finds_at(NAME, at, |report| check(&log, &told, report));
    }

    #[test]
    fn a_command_under_another_name_is_found() {
        let log = sound();
        let mut told = told(&log);
        told[0].command_id = Some("another".to_owned());
        let at = told[0].position;
        finds_at(NAME, at, |report| check(&log, &told, report));
    }
}
