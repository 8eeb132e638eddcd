//! What the users service refuses, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{NAME_CHARS_MAX, REASON_CHARS_MAX, Status};
use crate::{
    ids::UserId,
    rejection::{Reject, RejectionKind},
};

/// Why the users service said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Rejection {
    /// The effect is already there.
    #[error("nothing to do: it is so already")]
    NoChange,
    /// The id is taken.
    #[error("a user with this id exists already")]
    UserExists,
    /// Nothing with this id.
    #[error("there is no user with this id")]
    UserNotFound,
    /// Somebody else's account: to the caller it is not there.
    #[error("there is no user with this id")]
    NotYou,
    /// Not a command for this kind of stream.
    #[error("{command} is not for a stream of this kind: accounts are user-<id>, addresses email-<id>")]
    WrongStream {
        /// The command's type.
        command: String,
    },
    /// It is no address.
    #[error("`email` {}", crate::email::InvalidEmail)]
    InvalidEmail,
    /// It is empty or too long.
    #[error("`name` has 1 to {NAME_CHARS_MAX} characters, and no control characters")]
    InvalidName,
    /// A reason is empty or too long.
    #[error("`reason` has 1 to {REASON_CHARS_MAX} characters")]
    InvalidReason,
    /// It is no argon2id hash, or a weak one, or one that costs too much to check.
    #[error("`password_hash` must be an argon2id hash in PHC form, m=19456 to 65536, t=2 to 10, p=1 to 4")]
    InvalidPasswordHash,
    /// Another account has the address.
    #[error("an account with this e-mail address exists already: log in, or use another address")]
    EmailTaken {
        /// The account that wanted it.
        user_id: UserId,
    },
    /// The account is not open, or not any more.
    #[error("the account is {status}, so this cannot be done")]
    UserNotActive {
        /// Where the account is in its life.
        status: Status,
    },
    /// The session is not there, or not any more.
    #[error("the session has ended: log in again")]
    SessionOver,
    /// The password changed while it was being checked.
    #[error("the password was changed meanwhile: log in again")]
    PasswordOutdated,
    /// Too many wrong passwords.
    #[error("too many wrong passwords for this address: try again at {blocked_until}")]
    TooManyAttempts {
        /// Until when nobody comes in with this address.
        blocked_until: Timestamp,
    },
}

impl Reject for Rejection {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::NoChange => RejectionKind::NoChange,
            Self::UserNotFound | Self::NotYou => RejectionKind::NotFound,
            Self::WrongStream { .. }
            | Self::InvalidEmail
            | Self::InvalidName
            | Self::InvalidReason
            | Self::InvalidPasswordHash => RejectionKind::Invalid,
            Self::UserExists
            | Self::EmailTaken { .. }
            | Self::UserNotActive { .. }
            | Self::SessionOver
            | Self::PasswordOutdated
            | Self::TooManyAttempts { .. } => RejectionKind::Conflict,
        }
    }

    fn pointer(&self) -> Option<String> {
        let field = match self {
            Self::InvalidEmail => "/email",
            Self::InvalidName => "/name",
            Self::InvalidReason => "/reason",
            Self::InvalidPasswordHash => "/password_hash",
            _ => return None,
        };
        Some(field.to_owned())
    }
}
