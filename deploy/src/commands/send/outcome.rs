//! What became of a command, for people and for machines.

use factfold_schemas::{
    position::Position,
    record::{Answer, Reply},
};
use serde::Serialize;
use serde_json::Value;

use super::vocabulary::Checked;

/// A command that was sent.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sent {
    /// The line of the file it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) stream: String,
    /// Where it lies; `None` while that is not known.
    pub(super) position: Option<Position>,
}

impl Sent {
    pub(super) fn new(line: Option<u64>, id: &str, command: &Checked) -> Self {
        let (type_name, stream) = (command.type_name.clone(), command.stream.to_string());
        Self { line, id: id.to_owned(), type_name, stream, position: None }
    }
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Fate {
    /// A worker has decided.
    Decided(Decided),
    /// Nobody has decided yet.
    Open {
        /// `pending`, or `not-stored`.
        status: &'static str,
        detail: String,
    },
}

/// A worker's answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Decided {
    #[serde(flatten)]
    pub(super) answer: Answer,
    pub(super) repeated: bool,
    pub(super) resource: Option<Value>,
}

/// A command, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    #[serde(flatten)]
    pub(super) sent: Sent,
    #[serde(flatten)]
    pub(super) fate: Fate,
}

impl Fate {
    pub(super) fn of(reply: Reply) -> Self {
        Self::Decided(Decided { answer: reply.answer, repeated: reply.repeated, resource: reply.resource })
    }

    pub(super) fn pending() -> Self {
        Self::Open {
            status: "pending",
            detail: "stored, but not decided in time: does a worker run?".to_owned(),
        }
    }

    pub(super) fn not_stored(error: &impl std::fmt::Display) -> Self {
        Self::Open { status: "not-stored", detail: error.to_string() }
    }
}

impl Outcome {
    /// `accepted  order-0190…  v1  orders.commands/2@17`
    pub(super) fn headline(&self) -> String {
        let Sent { stream, position, .. } = &self.sent;
        let position = position.map(|position| position.to_string()).unwrap_or_default();
        match &self.fate {
            Fate::Decided(Decided { answer: Answer::Accepted { version }, repeated, .. }) => {
                let again = if *repeated { "  (it had been decided before)" } else { "" };
                format!("accepted  {stream}  v{version}  {position}{again}")
            }
            Fate::Decided(Decided { answer: Answer::NoChange, .. }) => {
                format!("no change  {stream}  {position}")
            }
            Fate::Decided(Decided { answer: Answer::Scheduled { due }, .. }) => {
                format!("scheduled  {stream}  {due}  {position}")
            }
            Fate::Decided(_) | Fate::Open { .. } => format!("{}\n  {stream}  {position}", self.complaint()),
        }
    }

    /// Why it was not accepted.
    pub(super) fn complaint(&self) -> String {
        match &self.fate {
            Fate::Decided(Decided { answer: Answer::Rejected { rejection }, .. }) => {
                let place = rejection
                    .pointer
                    .as_ref()
                    .map(|pointer| format!(" (/data{pointer})"))
                    .unwrap_or_default();
                format!("rejected: {}: {}{place}", rejection.name, rejection.detail)
            }
            Fate::Decided(Decided { answer: Answer::DeadLettered { reason }, .. }) => {
                format!("dead letter: {}: {}", reason.name, reason.detail)
            }
            Fate::Decided(_) => String::new(),
            Fate::Open { status, detail } => format!("{status}: {detail}"),
        }
    }

    /// The exit code: 0 accepted (now, or to be decided later), 1 refused, 3 not known.
    pub(super) fn code(&self) -> u8 {
        match &self.fate {
            Fate::Decided(Decided {
                answer: Answer::Accepted { .. } | Answer::NoChange | Answer::Scheduled { .. },
                ..
            }) => 0,
            Fate::Decided(_) => 1,
            Fate::Open { .. } => 3,
        }
    }
}
