//! An address: at most one account holds it, and whoever tries passwords on it is slowed down. Both are decided here, so
//! they hold through any number of gateways, and also for addresses that nobody has.

use factfold_schemas::{
    ids::{EmailId, UserId},
    users::{
        ClaimEmail, Command, ConfirmEmail, EmailClaimed, EmailConfirmed, EmailReleased, Event, LoginFailed,
        LoginSucceeded, RecordLogin, Rejection, ReleaseEmail,
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::decider::{Asked, Events};

/// How many wrong passwords in a row are nobody's fault.
const FREE_FAILURES: u32 = 4;
/// The longest that an address is blocked after one more.
const BLOCK_TIME_MAX: SignedDuration = SignedDuration::from_mins(15);
/// How long after a block its failures are forgotten.
const FORGET_TIME: SignedDuration = SignedDuration::from_hours(1);

/// What the rules know about an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Address {
    holder: Option<Holder>,
    /// Wrong passwords in a row.
    failures: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::nanosecond::optional")]
    blocked_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    user_id: UserId,
    /// Whether the account is made.
    is_confirmed: bool,
}

pub(super) fn decide(
    address: &Address,
    command: &Command,
    asked: Asked<'_>,
) -> Result<Events<Event>, Rejection> {
    match command {
        Command::ClaimEmail(command) => claim(address, command),
        Command::ConfirmEmail(command) => confirm(address, command),
        Command::ReleaseEmail(command) => release(address, command),
        Command::RecordLogin(command) => record_login(address, command, asked.at),
        _ => Err(Rejection::NoChange),
    }
}

pub(super) fn evolve(mut address: Address, event: &Event) -> Address {
    match event {
        Event::EmailClaimed(event) => {
            address.holder = Some(Holder { user_id: event.user_id, is_confirmed: false });
        }
        Event::EmailConfirmed(event) => {
            address.holder = Some(Holder { user_id: event.user_id, is_confirmed: true });
        }
        Event::EmailReleased(_) => address.holder = None,
        Event::LoginSucceeded(_) => (address.failures, address.blocked_until) = (0, None),
        Event::LoginFailed(event) => {
            (address.failures, address.blocked_until) = (event.failures, event.blocked_until);
        }
        _ => {}
    }
    address
}

impl Address {
    /// What the gateway is told; nobody else sees it.
    pub(super) fn resource(&self, id: EmailId, version: u64) -> Value {
        json!({ "id": id, "version": version, "failures": self.failures, "blocked_until": self.blocked_until })
    }

    fn is_held_by(&self, user_id: UserId) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.user_id == user_id)
    }
}

fn claim(address: &Address, command: &ClaimEmail) -> Result<Events<Event>, Rejection> {
    let user_id = command.user_id;
    if address.is_held_by(user_id) {
        return Err(Rejection::NoChange);
    }
    if address.holder.is_some() {
        return Err(Rejection::EmailTaken { user_id });
    }
    Ok(Event::EmailClaimed(EmailClaimed { user_id }).into())
}

fn confirm(address: &Address, command: &ConfirmEmail) -> Result<Events<Event>, Rejection> {
    match &address.holder {
        Some(holder) if holder.user_id == command.user_id && !holder.is_confirmed => {
            Ok(Event::EmailConfirmed(EmailConfirmed { user_id: command.user_id }).into())
        }
        _ => Err(Rejection::NoChange),
    }
}

fn release(address: &Address, command: &ReleaseEmail) -> Result<Events<Event>, Rejection> {
    if !address.is_held_by(command.user_id) {
        return Err(Rejection::NoChange);
    }
    Ok(Event::EmailReleased(EmailReleased { user_id: command.user_id }).into())
}

/// While an address is blocked, the right password is as good as a wrong one: else it could be told from them.
fn record_login(
    address: &Address,
    command: &RecordLogin,
    now: Timestamp,
) -> Result<Events<Event>, Rejection> {
    if let Some(blocked_until) = address.blocked_until.filter(|until| now < *until) {
        return Err(Rejection::TooManyAttempts { blocked_until });
    }
    if let (true, Some(user_id)) = (command.succeeded, command.user_id) {
        return Ok(Event::LoginSucceeded(LoginSucceeded { user_id }).into());
    }
    let is_long_ago = address.blocked_until.is_some_and(|until| now.duration_since(until) > FORGET_TIME);
    let failures = if is_long_ago { 1 } else { address.failures.saturating_add(1) };
    let blocked_until = block_time(failures).map(|time| now.saturating_add(time).unwrap_or(Timestamp::MAX));
    Ok(Event::LoginFailed(LoginFailed { user_id: command.user_id, failures, blocked_until }).into())
}

/// 1 s after the first failure that counts, then twice as long each time.
fn block_time(failures: u32) -> Option<SignedDuration> {
    let counted = failures.checked_sub(FREE_FAILURES + 1)?;
    Some(SignedDuration::from_secs(1 << counted.min(20)).min(BLOCK_TIME_MAX))
}
