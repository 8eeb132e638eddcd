//! What a decider is: a pure pair of functions, and the names it goes by. No clock, no I/O, no randomness: time comes
//! from the record, ids come in with the command, so the same log always gives the same events.

use std::{fmt::Debug, hash::Hash};

use factfold_schemas::{codec::Message, command::Auth, rejection::Reject, topics::Service};
use factfold_vault::{Unprotected, Vault};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// On whose behalf; `None` is somebody who may act for anyone.
    pub by: Option<&'a Auth>,
    /// The broker's time of the command: the decider's "now".
    pub at: Timestamp,
}

/// One aggregate's rules. [`crate::goods`], [`crate::orders`] and [`crate::users`] are the ones there are.
pub trait Decider: Send + 'static {
    /// Whose commands it decides.
    const SERVICE: Service;
    /// Changes when the same events give another state, or the state has another shape: what is cached under another
    /// version is thrown away.
    const VERSION: u32;
    /// Names an aggregate.
    type Id: Copy + Eq + Hash + Debug + Send + Serialize;
    /// What the rules must know about an aggregate; nothing more, since millions of them are kept.
    type State: Clone + Debug + Send + Serialize + DeserializeOwned;
    /// Requests.
    type Command: Message;
    /// Facts.
    type Event: Message + Debug;
    /// Ways to say no.
    type Rejection: Reject;

    /// The aggregate whose stream this is; `None` when it is no stream of this service.
    fn aggregate(stream: &str) -> Option<Self::Id>;

    /// Checks and seals what the command says about people, where the gateway has not done so: the command came straight
    /// onto the topic.
    fn protect(_: &mut Self::Command, _: Self::Id, _: &Vault) -> Result<(), Unprotected<Self::Rejection>> {
        Ok(())
    }

    /// What happens when this command meets this state: one event or more, or a rejection.
    fn decide(
        id: Self::Id,
        state: Option<&Self::State>,
        command: &Self::Command,
        asked: Asked<'_>,
    ) -> Result<Events<Self::Event>, Self::Rejection>;

    /// The state after this event. Total: whatever was stored once can be folded.
    fn evolve(state: Option<Self::State>, event: &Self::Event) -> Option<Self::State>;

    /// The aggregate as people see it.
    fn resource(id: Self::Id, entry: &Entry<Self::State>) -> Value;
}

/// The state of one aggregate, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<S> {
    /// The version of the last event.
    pub version: u64,
    /// The time of the first event.
    #[serde(with = "jiff::fmt::serde::timestamp::nanosecond::required")]
    pub created_at: Timestamp,
    /// The time of the last event.
    #[serde(with = "jiff::fmt::serde::timestamp::nanosecond::required")]
    pub updated_at: Timestamp,
    /// What the rules know.
    pub state: S,
}

/// One event or more: a decision that changes nothing is a rejection, so that every command leaves a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events<E> {
    first: E,
    rest: Vec<E>,
}

impl<E> Events<E> {
    /// This event, then those.
    pub const fn new(first: E, rest: Vec<E>) -> Self {
        Self { first, rest }
    }

    /// This event, then that.
    pub fn then(mut self, next: E) -> Self {
        self.rest.push(next);
        self
    }
}

impl<E> From<E> for Events<E> {
    fn from(event: E) -> Self {
        Self::new(event, Vec::new())
    }
}

impl<E> IntoIterator for Events<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::iter::Once<E>, std::vec::IntoIter<E>>;
    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.rest)
    }
}
