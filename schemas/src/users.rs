//! Users: who there is, what they may do, and how they come in. Two kinds of stream: `user-<id>` is an account,
//! `email-<id>` an address, which at most one account holds. Commands, events, rejections, and the resource that people see.
//!
//! The names of events and of their fields are the storage format: append-only.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    codec::Message,
    ids::{EmailId, SessionId, UserId},
    personal::Personal,
    rejection::{Reject, RejectionKind},
};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest reason that comes with a command, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// The most sessions of one user: beyond, the oldest ends.
pub const SESSIONS_MAX: usize = 20;

/// A request to the users service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Command {
    /// Make an account.
    RegisterUser(RegisterUser),
    /// Internal: the address is claimed for the account.
    ConfirmRegistration(ConfirmRegistration),
    /// Internal: the address could not be had.
    RejectRegistration(RejectRegistration),
    /// Internal: the registration took too long.
    ExpireRegistration(ExpireRegistration),
    /// Change one's name.
    UpdateProfile(UpdateProfile),
    /// Change one's password. Every session ends.
    ChangePassword(ChangePassword),
    /// Let somebody do more.
    GrantRole(GrantRole),
    /// Let somebody do less.
    RevokeRole(RevokeRole),
    /// Close an account for ever.
    DeactivateUser(DeactivateUser),
    /// Forget all that is known of a person, and close the account.
    ErasePersonalData(ErasePersonalData),
    /// Begin a session.
    OpenSession(OpenSession),
    /// Go on with a session.
    RefreshSession(RefreshSession),
    /// End a session.
    EndSession(EndSession),
    /// Internal: hold an address for an account.
    ClaimEmail(ClaimEmail),
    /// Internal: the account that holds the address is made.
    ConfirmEmail(ConfirmEmail),
    /// Internal: the account does not need the address any more.
    ReleaseEmail(ReleaseEmail),
    /// Write down that somebody tried to come in.
    RecordLogin(RecordLogin),
}

impl Message for Command {
    const FAMILY: &'static str = "users command";
}

impl Command {
    /// The types that say something about a person, which is sealed before it is stored.
    pub const PERSONAL: &'static [&'static str] = &["RegisterUser", "UpdateProfile"];
    /// The types that nobody sends as they are: only the system's own reactors and timers do, and the routes of the gateway
    /// that check a password first.
    pub const INTERNAL: &'static [&'static str] = &[
        "RegisterUser",
        "ConfirmRegistration",
        "RejectRegistration",
        "ExpireRegistration",
        "ChangePassword",
        "OpenSession",
        "RefreshSession",
        "EndSession",
        "ClaimEmail",
        "ConfirmEmail",
        "ReleaseEmail",
        "RecordLogin",
    ];
}

/// Make an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterUser {
    /// The address with which the user logs in.
    pub email: Personal,
    /// What the user is called.
    pub name: Personal,
    /// The password's argon2id hash, as a PHC string. The password itself never reaches a topic.
    pub password_hash: String,
    /// The address' pseudonym. Whoever cannot make it leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "EmailId")]
    pub email_id: Option<EmailId>,
}

/// The address is claimed for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRegistration {}

/// The address could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRegistration {}

/// The registration took too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireRegistration {}

/// Change one's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProfile {
    /// What the user is called.
    pub name: Personal,
}

/// Change one's password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The argon2id hash of the new one, as a PHC string.
    pub password_hash: String,
    /// The number of the password that was given as the present one.
    pub password_number: u32,
}

/// Let somebody do more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRole {
    /// What.
    pub role: Role,
}

/// Let somebody do less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRole {
    /// What.
    pub role: Role,
}

/// Close an account for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeactivateUser {
    /// Why, for the auditor.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// Forget all that is known of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasePersonalData {}

/// Begin a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// Its id.
    pub session_id: SessionId,
    /// The number of the password that was given.
    pub password_number: u32,
}

/// Go on with a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshSession {
    /// Its id.
    pub session_id: SessionId,
    /// How often it was refreshed before, as the refresh token says.
    pub number: u32,
}

/// End a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// Its id.
    pub session_id: SessionId,
}

/// Hold an address for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimEmail {
    /// The account.
    pub user_id: UserId,
}

/// The account that holds the address is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmEmail {
    /// The account.
    pub user_id: UserId,
}

/// The account does not need the address any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEmail {
    /// The account.
    pub user_id: UserId,
}

/// Write down that somebody tried to come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordLogin {
    /// The account that the address belongs to; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "UserId")]
    pub user_id: Option<UserId>,
    /// Whether the password was right.
    pub succeeded: bool,
}

/// What somebody may do. Roles are literal: none includes another, except that an admin may do everything.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::VariantArray,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// Orders goods.
    Customer,
    /// Offers goods, and gives money back.
    Merchant,
    /// Sees everything, changes nothing.
    Auditor,
    /// Runs the system.
    Operator,
    /// Deploys functions.
    Developer,
    /// Everything.
    Admin,
}

/// A fact of the users service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Event {
    /// Somebody wants an account; the address is not theirs yet.
    RegistrationStarted(RegistrationStarted),
    /// The account is made.
    UserRegistered(UserRegistered),
    /// There will be no account.
    RegistrationRejected(RegistrationRejected),
    /// The name changed.
    ProfileUpdated(ProfileUpdated),
    /// The password changed, and every session ended.
    PasswordChanged(PasswordChanged),
    /// The user may do more.
    RoleGranted(RoleGranted),
    /// The user may do less.
    RoleRevoked(RoleRevoked),
    /// The account is closed, and every session ended.
    UserDeactivated(UserDeactivated),
    /// What was known of the person is to be forgotten; every session ended.
    PersonalDataErased(PersonalDataErased),
    /// A session began.
    SessionOpened(SessionOpened),
    /// A session goes on.
    SessionRefreshed(SessionRefreshed),
    /// A session ended.
    SessionEnded(SessionEnded),
    /// The address is held for an account that is being made.
    EmailClaimed(EmailClaimed),
    /// The account that holds the address is made.
    EmailConfirmed(EmailConfirmed),
    /// The address can be had again.
    EmailReleased(EmailReleased),
    /// Somebody came in with this address.
    LoginSucceeded(LoginSucceeded),
    /// Somebody tried to come in with this address, and did not have the password.
    LoginFailed(LoginFailed),
}

impl Message for Event {
    const FAMILY: &'static str = "users event";
}

/// Somebody wants an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationStarted {
    /// The address, sealed.
    pub email: Personal,
    /// Its pseudonym.
    pub email_id: EmailId,
    /// The name, sealed.
    pub name: Personal,
    /// The password's argon2id hash.
    pub password_hash: String,
}

/// The account is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The address' pseudonym.
    pub email_id: EmailId,
    /// What the user may do from the first.
    pub roles: Vec<Role>,
}

/// There will be no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationRejected {
    /// The address' pseudonym.
    pub email_id: EmailId,
    /// Why.
    pub reason: RegistrationFailure,
}

/// Why there is no account.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RegistrationFailure {
    /// Another account has the address.
    EmailTaken,
    /// It took too long.
    Expired,
}

/// The name changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileUpdated {
    /// The name, sealed.
    pub name: Personal,
}

/// The password changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// The argon2id hash of the new one.
    pub password_hash: String,
    /// How often it was changed, this time included.
    pub password_number: u32,
}

/// The user may do more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleGranted {
    /// What.
    pub role: Role,
}

/// The user may do less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleRevoked {
    /// What.
    pub role: Role,
}

/// The account is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserDeactivated {
    /// The address' pseudonym: another account can have it.
    pub email_id: EmailId,
    /// Why.
    pub reason: String,
}

/// What was known of the person is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonalDataErased {
    /// The address' pseudonym: another account can have it.
    pub email_id: EmailId,
}

/// A session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpened {
    /// Its id.
    pub session_id: SessionId,
    /// When it ends if it is not refreshed.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// A session goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRefreshed {
    /// Its id.
    pub session_id: SessionId,
    /// How often it was refreshed, this time included.
    pub number: u32,
    /// Until when the refresh token before this may come again: its answer may have got lost.
    #[schemars(with = "String")]
    pub repeatable_until: Timestamp,
    /// When it ends if it is not refreshed.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// A session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Its id.
    pub session_id: SessionId,
    /// Why.
    pub reason: SessionEnd,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionEnd {
    /// The user logged out.
    LoggedOut,
    /// A refresh token came a second time: somebody has stolen it.
    TokenReused,
    /// The user has too many of them.
    TooMany,
}

/// The address is held for an account that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailClaimed {
    /// The account.
    pub user_id: UserId,
}

/// The account that holds the address is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailConfirmed {
    /// The account.
    pub user_id: UserId,
}

/// The address can be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailReleased {
    /// The account that held it.
    pub user_id: UserId,
}

/// Somebody came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginSucceeded {
    /// The account.
    pub user_id: UserId,
}

/// Somebody did not have the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginFailed {
    /// The account that the address belongs to, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// How often in a row.
    pub failures: u32,
    /// Until when nobody comes in with this address, whatever the password is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub blocked_until: Option<Timestamp>,
}

/// Where an account is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Status {
    /// The address is being claimed.
    Registering,
    /// The user can log in.
    Active,
    /// The address could not be had.
    Rejected,
    /// Closed for ever.
    Deactivated,
    /// Closed for ever, and the person is forgotten.
    Erased,
}

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

/// A user as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The id: the `sub` of the user's tokens.
    pub id: UserId,
    /// The version of the last event of the stream.
    pub version: u64,
    /// When the registration started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
    /// Where the account is in its life.
    pub status: Status,
    /// The address; none once the person is forgotten.
    pub email: Option<Personal>,
    /// The name; none once the person is forgotten.
    pub name: Option<Personal>,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// Where the user is logged in, from the oldest.
    pub sessions: Vec<ShownSession>,
}

/// A session as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShownSession {
    /// The id: the `sid` of its tokens.
    pub id: SessionId,
    /// How often it was refreshed.
    pub refreshed: u32,
    /// When it ends if it is not refreshed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Timestamp,
}
