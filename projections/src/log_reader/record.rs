//! One record, as Kafka holds it.

use factfold_schemas::{cloudevents::Incoming, kafka::incoming, position::Position, topics::Topic};
use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers as _, Message, OwnedMessage};

/// A record, and which of our topics it lies on. It belongs to whoever reads it, or to somebody who keeps it for others.
#[derive(Debug)]
pub struct Record<'a, M = BorrowedMessage<'a>> {
    /// The topic.
    pub topic: Topic,
    /// The record.
    pub message: &'a M,
}

/// A record that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    topic: Topic,
    message: OwnedMessage,
}

impl Kept {
    /// Where it lies.
    pub fn position(&self) -> Position {
        self.record().position()
    }

    /// The record.
    pub fn record(&self) -> Record<'_, OwnedMessage> {
        Record { topic: self.topic, message: &self.message }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let headers = self.message.headers();
        let headers = headers.into_iter().flat_map(|headers| headers.iter());
        let headers: usize = headers.map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len)).sum();
        let parts = [self.message.key(), self.message.payload()];
        let parts: usize = parts.into_iter().flatten().map(<[u8]>::len).sum();
        size_of::<Self>() + parts + headers
    }
}

impl<'a, M: Message> Record<'a, M> {
    /// Where it lies.
    pub fn position(&self) -> Position {
        Position::new(self.topic, self.message.partition(), self.message.offset())
    }

    /// When the broker stored it.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millisecond(self.message.timestamp().to_millis().unwrap_or(0)).unwrap_or_default()
    }

    /// The key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.message.key()
    }

    /// The value.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.message.payload()
    }

    /// The first header of this name, if it is a text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let headers = self.message.headers()?;
        let value = headers.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    }
}

impl<'a> Record<'a> {
    /// The record, to be kept.
    pub fn keep(&self) -> Kept {
        Kept { topic: self.topic, message: self.message.detach() }
    }

    /// The record as the codec reads it.
    pub fn incoming(&self) -> Incoming<'a> {
        incoming(self.message)
    }
}
