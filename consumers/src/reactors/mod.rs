//! Reactors: stateless functions from an event or outcome to commands. No state, no I/O: what is still missing stands in
//! the aggregates, so a crash at any point loses nothing.
//!
//! The commands' ids are made of their cause, so that twice is once.

pub mod order_stock;
pub mod reservations;

use factfold_schemas::{
    cloudevents::{Incoming, Outgoing},
    command::{Auth, Header},
    goods,
    ids::{GoodsId, OrderId, StreamId},
    orders,
    record::{Cause, Recorded, RecordedOutcome, Unreadable},
    topics::{Service, Topic, TopicKind},
};
use uuid::Uuid;

/// What a reactor looks at.
#[derive(Debug)]
pub enum Fact {
    /// An event of the goods service.
    Goods(Recorded<goods::Event>),
    /// An event of the orders service.
    Orders(Recorded<orders::Event>),
    /// The outcome of a command of this service that gave no events.
    Outcome(Service, RecordedOutcome),
}

/// A command that a reactor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// For the goods service.
    Goods(GoodsId, goods::Command),
    /// For the orders service.
    Orders(OrderId, orders::Command),
}

/// A stateless function from facts to requests. [`order_stock`] and [`reservations`] are the ones there are.
pub trait Reactor: Send + 'static {
    /// Part of stored ids and of the consumer group's name: it never changes.
    const NAME: &'static str;
    /// The topics it reads.
    const INPUTS: &'static [Topic];

    /// What this fact asks for, in this order.
    fn react(fact: &Fact) -> Vec<Request>;
}

impl Fact {
    /// Reads the record of this topic.
    pub fn read(topic: Topic, record: &Incoming<'_>) -> Result<Self, Unreadable> {
        Ok(match (topic.kind, topic.service) {
            (TopicKind::Events, Service::Goods) => Self::Goods(Recorded::read(record)?),
            (TopicKind::Events, Service::Orders) => Self::Orders(Recorded::read(record)?),
            (_, service) => Self::Outcome(service, RecordedOutcome::read(record)?),
        })
    }

    fn cause(&self) -> &Cause {
        match self {
            Self::Goods(event) => &event.cause,
            Self::Orders(event) => &event.cause,
            Self::Outcome(_, outcome) => &outcome.cause,
        }
    }

    /// The CloudEvents id of the record.
    fn id(&self) -> String {
        match self {
            Self::Goods(event) => event.id(),
            Self::Orders(event) => event.id(),
            Self::Outcome(_, outcome) => outcome.cause.decided.to_string(),
        }
    }

    fn stream(&self) -> Option<&StreamId> {
        match self {
            Self::Goods(event) => Some(&event.stream),
            Self::Orders(event) => Some(&event.stream),
            Self::Outcome(_, outcome) => outcome.stream.as_ref(),
        }
    }
}

impl Request {
    /// Whose command it is, and the stream it is for.
    pub fn target(&self) -> (Service, StreamId) {
        match self {
            Self::Goods(id, _) => (Service::Goods, id.stream()),
            Self::Orders(id, _) => (Service::Orders, id.stream()),
        }
    }

    /// The record of this request, the `ordinal`th that the reactor makes of this fact.
    pub fn record(&self, reactor: &str, fact: &Fact, ordinal: usize) -> Outgoing {
        let cause = fact.cause();
        let header = Header {
            correlation: cause.correlation.clone().or_else(|| fact.stream().map(StreamId::to_string)),
            causation: Some(fact.id()),
            traceparent: cause.traceparent.clone(),
            auth: Some(Auth::System(reactor.to_owned())),
            ..Header::new(command_id(&fact.id(), reactor, ordinal), format!("/reactors/{reactor}"))
        };
        let (service, stream) = self.target();
        match self {
            Self::Goods(_, command) => header.record_of(service, &stream, command),
            Self::Orders(_, command) => header.record_of(service, &stream, command),
        }
    }
}

/// UUIDv5 of cause, reactor and ordinal.
fn command_id(cause: &str, reactor: &str, ordinal: usize) -> String {
    /// The namespace of reactors' command ids: any fixed UUID; part of what is stored.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d1f_5c1e_8a40_5b7e_9d35_0c61_7e0a_41b2);
    Uuid::new_v5(&NAMESPACE, format!("{cause}\n{reactor}\n{ordinal}").as_bytes()).to_string()
}
