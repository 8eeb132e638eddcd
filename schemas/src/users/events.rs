//! What has happened in the users service. The names of events and of their fields are the storage format: append-only.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::{
    codec::Message,
    ids::{EmailId, SessionId, UserId},
    personal::Personal,
};

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
