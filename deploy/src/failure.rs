//! Why a command ends with another exit code than 0. Codes are part of the contract; scripts
//! rely on them, so they are given here and nowhere else.

use std::io;
use std::process::ExitCode;

use factfold_projections::log_reader::LogError;

/// A command that did not do what it was asked to do.
///
/// The message says what happened, to which thing, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A check found something, or the command was refused. Exit code 1.
    #[error("{0:#}")]
    Refused(anyhow::Error),
    /// The command line or a setting is wrong. Exit code 2.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Something that is needed is out of reach: a broker, a database, a program, a port. Exit code 3.
    #[error("{0:#}")]
    OutOfReach(anyhow::Error),
}

/// What fails on the way, and says nothing else about itself, was out of reach.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::OutOfReach(error)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::NoSuchPlace(_) => Self::Usage(error.into()),
            _ => Self::OutOfReach(error.into()),
        }
    }
}

impl Failure {
    /// Whether whoever read our output has gone: `factfold replay … | head`. That is no failure.
    pub fn is_closed_output(&self) -> bool {
        let Self::OutOfReach(error) = self else { return false };
        let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        causes.into_iter().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code that the contract promises for this kind of failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::OutOfReach(_) => 3,
        })
    }
}
