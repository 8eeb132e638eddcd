//! Why a session ends: something to wait for, or something that waiting does not mend.

use rdkafka::error::KafkaError;

use super::batch::Batch;
use crate::{Error, Projection, error::Violation};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Postgres is away, or a transaction met another (deadlock, serialization). Whether a commit that was under way
    /// succeeded is unknown: the checkpoint knows.
    #[error("Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// Kafka is away.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A topic is not there (yet).
    #[error("the topic `{0}` is not there: make it with `factfold topics create`")]
    NoTopic(String),
    /// The checkpoint had moved already.
    #[error("another projector moved the checkpoint")]
    Overtaken,
    /// A record contradicts what was folded.
    #[error(transparent)]
    Violation(#[from] Box<Violation>),
    /// Postgres takes no row that these records give.
    #[error("Postgres refuses what {records} give: {error}")]
    Refused {
        /// Which: ranges of offsets.
        records: String,
        /// Why.
        error: sqlx::Error,
    },
    /// The log is not the one that was folded.
    #[error("{0}")]
    LogReplaced(String),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(Box::new(violation))
    }
}

impl Stop {
    /// The error with which the work of this read model ends.
    pub(crate) fn into_error(self, projection: Projection) -> Error {
        match self {
            Self::Violation(violation) => Error::Violation { projection, violation },
            Self::Database(error) => error.into(),
            stop @ Self::Refused { .. } => Error::Refused { projection, detail: stop.to_string() },
            Self::Kafka(error) => error.into(),
            stop @ (Self::LogReplaced(_) | Self::NoTopic(_) | Self::Overtaken) => {
                Error::LogReplaced { projection, detail: stop.to_string() }
            }
        }
    }

    /// The name of this sort of reason, for metrics.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Database(_) => "postgres",
            Self::Kafka(_) => "kafka",
            Self::NoTopic(_) => "no-topic",
            Self::Overtaken => "overtaken",
            Self::Violation(_) => "violation",
            Self::Refused { .. } => "refused",
            Self::LogReplaced(_) => "log-replaced",
        }
    }

    /// The same, with the records that were to be written, where they are to blame.
    pub(super) fn blaming(self, batch: &Batch) -> Self {
        match self {
            Self::Database(error) if is_refusal(&error) => Self::Refused { records: batch.records(), error },
            stop => stop,
        }
    }

    /// Whether no amount of trying again will help: what is wrong is in the data.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Violation(_) | Self::LogReplaced(_) | Self::Refused { .. } => true,
            Self::Database(error) => is_refusal(error),
            _ => false,
        }
    }
}

/// 22: a value that no column takes, 23: a constraint that says no.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.get(..2), Some("22" | "23")))
}
