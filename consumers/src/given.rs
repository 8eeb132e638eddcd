//! Given these events, when this command comes, then those events follow, or this rejection: how the rules are tested.
//! And [`History`], one aggregate that is sent command after command, for properties that hold whatever comes.
//!
//! Only for tests; it knows no service.

use std::fmt::Debug;

use factfold_schemas::{
    codec::{Named, decode, encode},
    command::{Auth, Digest, Header},
    ids::{Id, Kind, StreamId, UserId},
    money::Money,
    position::Position,
    record::{Cause, Recorded},
    rejection::Reject,
    topics::Service,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::decider::{Asked, Decider, Entry};

/// A decider whose answers can be compared.
pub(crate) trait Rules:
    Decider<
        State: PartialEq,
        Command: Debug,
        Event: PartialEq + Clone,
        Rejection: PartialEq + Debug + DeserializeOwned,
    >
{
}

impl<D> Rules for D where
    D: Decider<
            State: PartialEq,
            Command: Debug,
            Event: PartialEq + Clone,
            Rejection: PartialEq + Debug + DeserializeOwned,
        >
{
}

/// What has happened so far.
pub(crate) struct Given<D: Rules>(History<D>);

/// What has happened so far, and what is asked now.
pub(crate) struct When<D: Rules> {
    given: Given<D>,
    command: D::Command,
    by: Option<Auth>,
    at: Option<Timestamp>,
}

impl<D: Rules> Given<D> {
    /// These events have happened.
    pub(crate) fn events(id: D::Id, events: impl IntoIterator<Item = D::Event>) -> Self {
        let mut history = History::new(id);
        events.into_iter().for_each(|event| history.append(event));
        Self(history)
    }

    /// Somebody who may act for anyone asks for this.
    pub(crate) fn when(self, command: D::Command) -> When<D> {
        When { given: self, command, by: None, at: None }
    }

    /// The aggregate as people see it.
    pub(crate) fn resource<R: DeserializeOwned>(&self) -> R {
        self.0.resource().expect("something has happened")
    }
}

impl<D: Rules> When<D> {
    /// It is asked on behalf of somebody.
    pub(crate) fn by(self, auth: Auth) -> Self {
        Self { by: Some(auth), ..self }
    }

    /// It is asked at this time, not right after what has happened.
    pub(crate) fn at(self, time: Timestamp) -> Self {
        Self { at: Some(time), ..self }
    }

    /// Then exactly these events follow.
    #[track_caller]
    pub(crate) fn then(self, events: impl IntoIterator<Item = D::Event>) {
        self.check(Ok(events.into_iter().collect()));
    }

    /// Then it is refused for this reason, which survives being stored.
    #[track_caller]
    pub(crate) fn rejected(self, rejection: D::Rejection) {
        let stored = rejection.to_rejection();
        assert_eq!(stored.typed().as_ref(), Some(&rejection), "it is read as it was stored: {stored:?}");
        self.check(Err(rejection));
    }

    #[track_caller]
    fn check(mut self, expected: Result<Vec<D::Event>, D::Rejection>) {
        let history = &mut self.given.0;
        let at = self.at.unwrap_or_else(|| history.now());
        let decision = history.send_at(&self.command, Asked { by: self.by.as_ref(), at });
        assert_eq!(decision, expected, "the decision on {:?} by {:?}", self.command, self.by);
    }
}

/// One aggregate, and all that has happened to it.
pub(crate) struct History<D: Rules> {
    id: D::Id,
    /// Every event, from the first.
    pub(crate) events: Vec<D::Event>,
    /// The state to which they were folded, one by one.
    pub(crate) entry: Option<Entry<D::State>>,
}

impl<D: Rules> History<D> {
    /// Nothing has happened.
    pub(crate) const fn new(id: D::Id) -> Self {
        Self { id, events: Vec::new(), entry: None }
    }

    /// This has happened.
    pub(crate) fn append(&mut self, event: D::Event) {
        let before = self.entry.take();
        let version = before.as_ref().map_or(1, |entry| entry.version + 1);
        let updated_at = time(version);
        let created_at = before.as_ref().map_or(updated_at, |entry| entry.created_at);
        let state = D::evolve(before.map(|entry| entry.state), &event);
        self.entry = state.map(|state| Entry { version, created_at, updated_at, state });
        self.events.push(event);
    }

    /// Right after what has happened.
    fn now(&self) -> Timestamp {
        time(self.events.len() as u64 + 1)
    }

    /// This is asked: the events that follow are appended, a rejection changes nothing.
    pub(crate) fn send(
        &mut self,
        command: &D::Command,
        by: Option<&Auth>,
    ) -> Result<Vec<D::Event>, D::Rejection> {
        self.send_at(command, Asked { by, at: self.now() })
    }

    fn send_at(&mut self, command: &D::Command, asked: Asked<'_>) -> Result<Vec<D::Event>, D::Rejection> {
        let decide = || {
            let decision = D::decide(self.id, self.state(), command, asked);
            decision.map(|events| events.into_iter().collect::<Vec<_>>())
        };
        let decision = decide();
        assert_eq!(decision, decide(), "the same question has the same answer");
        let events = decision?;
        for event in &events {
            self.append(event.clone());
        }
        Ok(events)
    }

    /// What the rules know; `None` before the first event.
    pub(crate) fn state(&self) -> Option<&D::State> {
        self.entry.as_ref().map(|entry| &entry.state)
    }

    /// The aggregate as people see it; `None` before the first event.
    pub(crate) fn resource<R: DeserializeOwned>(&self) -> Option<R> {
        let entry = self.entry.as_ref()?;
        Some(
            serde_json::from_value(D::resource(self.id, entry))
                .expect("a resource is read as it was written"),
        )
    }

    /// Whoever reads the events back from the log and folds them comes to the same end.
    pub(crate) fn check_refolded(&self) {
        let read =
            |event: &D::Event| decode(event.type_name(), &encode(event)).expect("an event is readable");
        let mut refolded = Self::new(self.id);
        self.events.iter().map(read).for_each(|event| refolded.append(event));
        assert_eq!(refolded.events, self.events, "events are read as they were written");
        assert_eq!(refolded.entry, self.entry, "folding again gives the same state");
        let version = self.entry.as_ref().map_or(0, |entry| entry.version);
        assert_eq!(version, self.events.len() as u64, "versions count the events");
        let resource = |history: &Self| history.resource::<serde_json::Value>();
        assert_eq!(resource(&refolded), resource(self), "and shows the same");
    }
}

/// The cause of a record that some command left behind: a user's, at offset 42 of the service's commands.
pub(crate) fn cause(service: Service) -> Cause {
    let header = Header {
        auth: Some(Auth::User(UserId::new(Uuid::nil()).to_string())),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..Header::new("the command", "/clients/anna")
    };
    Cause::of(&header, Digest::of("Any", b"{}"), Position::new(service.commands(), 0, 42), time(0))
}

/// An event as it is stored, the third of its stream.
pub(crate) fn recorded<E>(service: Service, stream: StreamId, data: E) -> Recorded<E> {
    Recorded { stream, version: 3, cause: cause(service), data }
}

/// The time of the event with this version.
pub(crate) fn time(version: u64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + version as i64).expect("a time")
}

/// The `n`th id of its kind.
pub(crate) const fn id<K: Kind>(n: u128) -> Id<K> {
    Id::new(Uuid::from_u128(n))
}

/// So many cents.
pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

/// So many cents of the other kind.
pub(crate) fn usd(amount: i64) -> Money {
    Money::new(amount, "USD".parse().expect("a currency"))
}
