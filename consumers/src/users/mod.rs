//! Users: an address belongs to one account at most, and what is over stays over. Two kinds of stream: [`account`] and
//! [`address`]. Here is only which command is for which.

mod account;
mod address;
mod password;

use factfold_schemas::{
    codec::Named as _,
    ids::{EmailId, UserId},
    topics::Service,
    users::{Command, Event, Rejection},
};
use factfold_vault::{Unprotected, Vault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{Asked, Decider, Entry, Events};

/// An aggregate of the users service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Id {
    /// An account.
    Account(UserId),
    /// An address.
    Address(EmailId),
}

/// What the rules know. Workers store it as it is: whoever changes its shape raises [`Decider::VERSION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Of an account.
    Account(account::Account),
    /// Of an address.
    Address(address::Address),
}

/// The decider of the users service.
#[derive(Debug)]
pub struct UsersDecider;

impl Decider for UsersDecider {
    const SERVICE: Service = Service::Users;
    const VERSION: u32 = 1;
    type Id = Id;
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn aggregate(stream: &str) -> Option<Id> {
        UserId::of_stream(stream).map(Id::Account).or_else(|| EmailId::of_stream(stream).map(Id::Address))
    }

    fn protect(command: &mut Command, id: Id, vault: &Vault) -> Result<(), Unprotected<Rejection>> {
        match id {
            Id::Account(user) => vault.protect(user, command),
            Id::Address(_) => Ok(()),
        }
    }

    fn decide(
        id: Id,
        state: Option<&State>,
        command: &Command,
        asked: Asked<'_>,
    ) -> Result<Events<Event>, Rejection> {
        let is_for_addresses = matches!(
            command,
            Command::ClaimEmail(_)
                | Command::ConfirmEmail(_)
                | Command::ReleaseEmail(_)
                | Command::RecordLogin(_)
        );
        match (id, state) {
            (Id::Address(_), None) if is_for_addresses => {
                address::decide(&address::Address::default(), command, asked)
            }
            (Id::Address(_), Some(State::Address(address))) if is_for_addresses => {
                address::decide(address, command, asked)
            }
            (Id::Account(id), None) if !is_for_addresses => account::decide(id, None, command, asked),
            (Id::Account(id), Some(State::Account(account))) if !is_for_addresses => {
                account::decide(id, Some(account), command, asked)
            }
            _ => Err(Rejection::WrongStream { command: command.type_name().to_owned() }),
        }
    }

    fn evolve(state: Option<State>, event: &Event) -> Option<State> {
        match (state, event) {
            (
                state @ (None | Some(State::Address(_))),
                Event::EmailClaimed(_)
                | Event::EmailConfirmed(_)
                | Event::EmailReleased(_)
                | Event::LoginSucceeded(_)
                | Event::LoginFailed(_),
            ) => {
                let address = match state {
                    Some(State::Address(address)) => address,
                    _ => address::Address::default(),
                };
                Some(State::Address(address::evolve(address, event)))
            }
            (None, event) => account::evolve(None, event).map(State::Account),
            (Some(State::Account(account)), event) => {
                account::evolve(Some(account), event).map(State::Account)
            }
            // No decider writes an account's event onto an address.
            (address @ Some(State::Address(_)), _) => address,
        }
    }

    fn resource(id: Id, entry: &Entry<State>) -> Value {
        match (id, &entry.state) {
            (Id::Account(id), State::Account(account)) => account.resource(id, entry),
            (Id::Address(id), State::Address(address)) => address.resource(id, entry.version),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
#[path = "account_test.rs"]
mod account_tests;
#[cfg(test)]
#[path = "address_test.rs"]
mod address_tests;
