//! Rejections: the answer to a command that breaks a rule. Data, not an error: it is stored, replayed and shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What sort of answer a rejection is; every edge (HTTP, gRPC, CLI) has one status for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionKind {
    /// A field, amount or currency does not fit, whatever the state is.
    Invalid,
    /// The state forbids it.
    Conflict,
    /// What the command is about is not there, or is not for the caller to see.
    NotFound,
    /// The caller expected another version.
    Precondition,
    /// The effect is already there: not a failure.
    NoChange,
}

/// A rejection of any service, as it is stored and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// The problem's name in kebab-case: `wrong-amount`. Append-only, like every stored name.
    pub name: String,
    /// The sort of answer.
    pub kind: RejectionKind,
    /// One sentence for people: what happened, to which thing, and what to do.
    pub detail: String,
    /// JSON pointer into the command's data, where one field is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What the sentence speaks of, for machines: the amounts, the status, the line.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// What the rejections of each service have in common. Their names are their variants' (`#[serde(tag = "name")]`), their
/// sentences are their `Display`.
pub trait Reject: Serialize + std::fmt::Display {
    /// The sort of answer.
    fn kind(&self) -> RejectionKind;

    /// JSON pointer to the field to blame, if one is.
    fn pointer(&self) -> Option<String> {
        None
    }

    /// The form in which it is stored and answered.
    fn to_rejection(&self) -> Rejection {
        let mut data = match serde_json::to_value(self) {
            Ok(Value::Object(data)) => data,
            other => unreachable!("a rejection is an enum tagged by name: {other:?}"),
        };
        let name = match data.remove("name") {
            Some(Value::String(name)) => name,
            other => unreachable!("a rejection is an enum tagged by name: {other:?}"),
        };
        Rejection { name, kind: self.kind(), detail: self.to_string(), pointer: self.pointer(), data }
    }
}

impl Rejection {
    /// The typed rejection of a service; `None` when this is not one of its.
    pub fn typed<R: serde::de::DeserializeOwned>(&self) -> Option<R> {
        let mut data = self.data.clone();
        data.insert("name".to_owned(), Value::String(self.name.clone()));
        serde_json::from_value(Value::Object(data)).ok()
    }
}

/// Rejections that the worker itself gives, to commands of any service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Common {
    /// The command's `expirytime` had passed when it was stored.
    #[error("the command expired at {expired_at}, before it was stored: send it again with a new id")]
    Expired {
        /// The command's `expirytime`.
        expired_at: jiff::Timestamp,
    },
    /// The command's `notbefore` is further ahead than commands are kept for.
    #[error("the command is to wait until {not_before}, but no longer than until {latest}: send it later")]
    TooFarAhead {
        /// The command's `notbefore`.
        not_before: jiff::Timestamp,
        /// The latest that it can be.
        latest: jiff::Timestamp,
    },
    /// The same id came before with another content.
    #[error("a command with this id (or idempotency key) came before with another content: use a new one")]
    CommandIdReused,
    /// `If-Match` named another version.
    #[error("expected version {expected}, but it is at version {actual}: read it again, then decide")]
    VersionMismatch {
        /// The version that the command expects.
        expected: u64,
        /// The version that is there.
        actual: u64,
    },
}

impl Reject for Common {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::Expired { .. } => RejectionKind::Conflict,
            Self::TooFarAhead { .. } | Self::CommandIdReused => RejectionKind::Invalid,
            Self::VersionMismatch { .. } => RejectionKind::Precondition,
        }
    }
}
