//! What can go wrong: things that are away and come back, and a log that contradicts what was folded from it.

use factfold_schemas::{ids::StreamId, position::Position, record::Unreadable};
use rdkafka::error::KafkaError;

use crate::Projection;

/// Why the read side or a projector could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres is away, or too busy: to be tried again.
    #[error("Postgres is out of reach: {0}")]
    Unavailable(sqlx::Error),
    /// Postgres refused a statement, or a row is not what it must be.
    #[error("Postgres: {0}")]
    Database(sqlx::Error),
    /// The tables could not be made.
    #[error("the catalogue could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database's URL is none.
    #[error("the database URL cannot be used: {0}")]
    DatabaseUrl(sqlx::Error),
    /// With this namespace the names of schemas would be longer than Postgres takes.
    #[error("the namespace is too long: `{0}` has more than 63 characters")]
    NamespaceTooLong(String),
    /// Kafka is away, or refused something.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// What is in the log contradicts what was folded.
    #[error("the projection {projection} stopped: {violation}")]
    Violation {
        /// The read model that stopped.
        projection: Projection,
        /// Where, and what.
        violation: Box<Violation>,
    },
    /// Postgres takes no row that some records give.
    #[error("the projection {projection} stopped: {detail}")]
    Refused {
        /// The read model that stopped.
        projection: Projection,
        /// Which records, and why.
        detail: String,
    },
    /// The log is not the one that was folded.
    #[error("the projection {projection} stopped: {detail}")]
    LogReplaced {
        /// The read model that stopped.
        projection: Projection,
        /// What was expected, and what is there.
        detail: String,
    },
    /// Something that runs within this process ended unexpectedly.
    #[error("a task of this process ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether it can pass by itself: something is away, and nothing is wrong with the question.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Kafka(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) { Self::Unavailable(error) } else { Self::Database(error) }
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // 08 connection, 53 resources, 57 operator intervention, 58 system, 25006 a standby that was asked to write.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| matches!(code.get(..2), Some("08" | "53" | "57" | "58")) || code == "25006"),
        _ => false,
    }
}

/// A record that contradicts what was folded before it. The projection stops there: to go on would be to guess.
#[derive(Debug, thiserror::Error)]
#[error("{at}{}: {contradiction}", .stream.as_ref().map(|s| format!(" ({s})")).unwrap_or_default())]
pub struct Violation {
    /// The record.
    pub at: Position,
    /// Whose history it belongs to, where that could be read.
    pub stream: Option<StreamId>,
    /// What is wrong.
    pub contradiction: Contradiction,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum Contradiction {
    /// It cannot be read.
    #[error("the record cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// Versions of a stream are 1, 2, 3 … without gaps.
    #[error("expected version {expected} of the stream, found {found}")]
    Version {
        /// What must come next.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Decided positions rise within a partition.
    #[error("it was decided at {found}, but {last} was decided before it: decided positions must rise")]
    DecidedFalls {
        /// The decided position before.
        last: Position,
        /// The one of this record.
        found: Position,
    },
    /// A record lies in the partition of the command that it follows from.
    #[error("it says it was decided at {found}, which belongs to another topic or partition")]
    DecidedElsewhere {
        /// The decided position of this record.
        found: Position,
    },
    /// A command leaves exactly one trace.
    #[error("the command at {decided} has left a trace before")]
    SecondTrace {
        /// The command.
        decided: Position,
    },
    /// A history begins with the event that brings something into being, and has only one of it.
    #[error("{event} does not fit here: {why}")]
    Misfit {
        /// The type of the event.
        event: &'static str,
        /// Why.
        why: &'static str,
    },
}

impl Contradiction {
    /// Checks that `found` is the version after `last`.
    pub(crate) const fn check_version(last: u64, found: u64) -> Result<(), Self> {
        let expected = last + 1;
        if found == expected { Ok(()) } else { Err(Self::Version { expected, found }) }
    }
}
