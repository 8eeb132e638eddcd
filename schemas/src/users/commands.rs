//! What can be asked of the users service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::{
    codec::Message,
    ids::{EmailId, SessionId, UserId},
    personal::Personal,
};

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
