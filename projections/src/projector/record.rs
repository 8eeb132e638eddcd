//! A record of an events or outcomes topic, decoded.

use factfold_schemas::{
    cloudevents::Incoming,
    functions, goods,
    ids::StreamId,
    orders,
    position::Position,
    record::{Cause, Recorded, RecordedOutcome, Unreadable},
    topics::{Service, Topic, TopicKind},
    users,
};

/// What the worker wrote.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// An event of the functions service.
    Functions(Recorded<functions::Event>),
    /// An event of the goods service.
    Goods(Recorded<goods::Event>),
    /// An event of the orders service.
    Orders(Recorded<orders::Event>),
    /// An event of the users service.
    Users(Recorded<users::Event>),
    /// A command of any service that gave no events.
    Outcome(RecordedOutcome),
}

impl Record {
    /// Reads a record of this topic.
    pub(crate) fn read(topic: Topic, record: &Incoming<'_>) -> Result<Self, Unreadable> {
        match (topic.kind, topic.service) {
            (TopicKind::Events, Service::Functions) => Recorded::read(record).map(Self::Functions),
            (TopicKind::Events, Service::Goods) => Recorded::read(record).map(Self::Goods),
            (TopicKind::Events, Service::Orders) => Recorded::read(record).map(Self::Orders),
            (TopicKind::Events, Service::Users) => Recorded::read(record).map(Self::Users),
            _ => RecordedOutcome::read(record).map(Self::Outcome),
        }
    }

    /// Which command it follows from.
    pub(crate) const fn cause(&self) -> &Cause {
        match self {
            Self::Functions(event) => &event.cause,
            Self::Goods(event) => &event.cause,
            Self::Orders(event) => &event.cause,
            Self::Users(event) => &event.cause,
            Self::Outcome(outcome) => &outcome.cause,
        }
    }

    /// Whose history it belongs to.
    pub(crate) const fn stream(&self) -> Option<&StreamId> {
        match self {
            Self::Functions(event) => Some(&event.stream),
            Self::Goods(event) => Some(&event.stream),
            Self::Orders(event) => Some(&event.stream),
            Self::Users(event) => Some(&event.stream),
            Self::Outcome(outcome) => outcome.stream.as_ref(),
        }
    }

    const fn is_event(&self) -> bool {
        !matches!(self, Self::Outcome(_))
    }
}

/// A record, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Where it is.
    pub(crate) at: Position,
    /// What it says.
    pub(crate) record: Record,
}

impl Entry {
    /// Whether both are events of one command.
    pub(crate) fn is_of_same_command(&self, other: &Self) -> bool {
        self.record.is_event()
            && other.record.is_event()
            && self.record.cause().decided == other.record.cause().decided
            && self.record.cause().command_id == other.record.cause().command_id
            && self.record.stream() == other.record.stream()
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    //! Records for the tests of folds.

    use factfold_schemas::{
        command::Digest,
        ids::{OrderId, UserId},
        orders::{Event, OrderCreated},
    };
    use uuid::Uuid;

    use super::*;

    /// A cause, decided at this offset of partition 0.
    pub(crate) fn cause(service: Service, command_id: &str, decided: i64) -> Cause {
        let decided = Position::new(service.commands(), 0, decided);
        Cause {
            command_id: command_id.to_owned(),
            source: "/tests".to_owned(),
            digest: Digest::of("Test", b"{}"),
            stored: decided,
            decided,
            time: jiff::Timestamp::from_second(1_800_000_000 + decided.offset).expect("a time"),
            correlation: None,
            traceparent: None,
            auth: None,
        }
    }

    /// An event of one and the same order.
    pub(crate) fn event(offset: i64, command_id: &str, decided: i64, version: u64) -> Entry {
        let data = Event::OrderCreated(OrderCreated { user_id: UserId::new(Uuid::nil()), lines: Vec::new() });
        let record = Recorded {
            stream: OrderId::new(Uuid::nil()).stream(),
            version,
            cause: cause(Service::Orders, command_id, decided),
            data,
        };
        Entry { at: Position::new(Service::Orders.events(), 0, offset), record: Record::Orders(record) }
    }
}
