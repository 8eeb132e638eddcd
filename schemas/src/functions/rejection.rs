//! Why the functions service said no.

use serde::{Deserialize, Serialize};

use super::{CODE_BYTES_MAX, REVISIONS_KEPT, SCHEMA_BYTES_MAX, TYPES_MAX};
use crate::rejection::{Reject, RejectionKind};

/// Why the functions service said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Rejection {
    /// The effect is already there.
    #[error("nothing to do: it is so already")]
    NoChange,
    /// Nothing with this name.
    #[error("there is no function with this name: deploy one first")]
    FunctionNotFound,
    /// No revision with this number, or one that is too long ago.
    #[error("there is no revision {revision} to go back to: {REVISIONS_KEPT} are kept")]
    RevisionNotFound {
        /// The one that was asked for.
        revision: u32,
    },
    /// The digest or the length of the code cannot be.
    #[error(
        "the code is named by its SHA-256, 64 lower-case hexadecimal digits, and has 1 to {CODE_BYTES_MAX} bytes"
    )]
    InvalidCode,
    /// A path that a function cannot have.
    #[error(
        "a path is `/` and then letters, digits, `-`, `_`, `.` and `/`, at most 200, and does not begin with one of the gateway's own"
    )]
    InvalidPath,
    /// A limit is out of bounds.
    #[error(
        "a call may take 10 to 30000 ms, 1 MiB to 1 GiB of memory and 1 byte to 1 MiB of output, and 1 to 1000 may run at once"
    )]
    InvalidLimits,
    /// A schema is no object, or too long.
    #[error("a schema is a JSON object of at most {SCHEMA_BYTES_MAX} bytes")]
    InvalidSchema,
    /// The topic holds no events.
    #[error("a function is bound to a topic of events, as orders.events; `{topic}` is none")]
    InvalidTopic {
        /// The one that was named.
        topic: String,
    },
    /// Too many types, or one that is no name.
    #[error("at most {TYPES_MAX} types can be named, each with 1 to 100 characters")]
    InvalidTypes,
    /// It is bound already.
    #[error("it is bound to {topic} already: unbind it first")]
    AlreadyBound {
        /// The topic.
        topic: String,
    },
    /// A name that is none, too much, or a secret that everybody could read.
    #[error("the {field} of a function: {detail}")]
    InvalidConfiguration {
        /// Which of them.
        field: ConfigurationField,
        /// What is wrong.
        detail: String,
    },
    /// No such times, or too much is to be said at each of them.
    #[error("the {field} of a schedule: {detail}")]
    InvalidSchedule {
        /// The field.
        field: ScheduleField,
        /// What is wrong with it.
        detail: String,
    },
    /// It has a schedule already.
    #[error("it is scheduled already ({cron}, {time_zone}): unschedule it first")]
    AlreadyScheduled {
        /// When it ticks.
        cron: String,
        /// By whose clock.
        time_zone: String,
    },
}

/// A part of a function's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ConfigurationField {
    /// What everybody may see.
    Settings,
    /// What nobody may see.
    Secrets,
}

/// A field of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ScheduleField {
    /// When.
    Cron,
    /// By whose clock.
    TimeZone,
    /// What each tick says.
    Input,
}

impl Reject for Rejection {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::NoChange => RejectionKind::NoChange,
            Self::FunctionNotFound | Self::RevisionNotFound { .. } => RejectionKind::NotFound,
            Self::InvalidCode
            | Self::InvalidPath
            | Self::InvalidLimits
            | Self::InvalidSchema
            | Self::InvalidTopic { .. }
            | Self::InvalidTypes
            | Self::InvalidConfiguration { .. }
            | Self::InvalidSchedule { .. } => RejectionKind::Invalid,
            Self::AlreadyBound { .. } | Self::AlreadyScheduled { .. } => RejectionKind::Conflict,
        }
    }

    fn pointer(&self) -> Option<String> {
        let pointer = match self {
            Self::InvalidCode => "/code",
            Self::InvalidPath => "/path",
            Self::InvalidLimits => "/limits",
            Self::InvalidTopic { .. } => "/topic",
            Self::InvalidTypes => "/types",
            Self::InvalidConfiguration { field, .. } => return Some(format!("/{field}")),
            Self::InvalidSchedule { field, .. } => return Some(format!("/{field}")),
            _ => return None,
        };
        Some(pointer.to_owned())
    }
}
