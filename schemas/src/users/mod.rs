//! Users: who there is, what they may do, and how they come in. Two kinds of stream: `user-<id>` is an account,
//! `email-<id>` an address, which at most one account holds. Commands, events, rejections, and the resource that people see.

mod commands;
mod events;
mod rejection;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{commands::*, events::*, rejection::*};
use crate::{
    ids::{SessionId, UserId},
    personal::Personal,
};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest reason that comes with a command, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// The most sessions of one user: beyond, the oldest ends.
pub const SESSIONS_MAX: usize = 20;

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
