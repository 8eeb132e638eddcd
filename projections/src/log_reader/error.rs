//! Why the log cannot be read.

use factfold_schemas::position::Position;
use rdkafka::error::KafkaError;

use super::merge::CAUSES;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No broker answers.
    #[error("no Kafka answers at {brokers} within {seconds} s ({why})")]
    Unreachable {
        /// Who was asked.
        brokers: String,
        /// For how long.
        seconds: u64,
        /// What the library says.
        why: String,
    },
    /// A topic that must be there is not.
    #[error("the topic {0} does not exist: factfold topics create")]
    NoTopic(String),
    /// A place that is nowhere in the log: whoever asked for it is wrong.
    #[error("{0}")]
    NoSuchPlace(String),
    /// A partition does not go on.
    #[error("{at} stands still before its end at {end}: {CAUSES}")]
    Stall {
        /// How far it was read.
        at: Position,
        /// How far it was to be read.
        end: i64,
    },
    /// The system gives no thread to read with.
    #[error("no thread to read with: {0}")]
    Thread(String),
    /// Kafka, or the library, refuses something.
    #[error("{doing}: {error}")]
    Kafka {
        /// What was being done.
        doing: String,
        /// Why it was refused.
        error: KafkaError,
    },
}

/// Says what was being done when Kafka refused.
pub(super) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, LogError>;
    fn doing_with(self, what: impl FnOnce() -> String) -> Result<T, LogError>;
}

impl<T> Doing<T> for Result<T, KafkaError> {
    fn doing(self, what: &str) -> Result<T, LogError> {
        self.doing_with(|| what.to_owned())
    }

    fn doing_with(self, what: impl FnOnce() -> String) -> Result<T, LogError> {
        self.map_err(|error| LogError::Kafka { doing: what(), error })
    }
}
