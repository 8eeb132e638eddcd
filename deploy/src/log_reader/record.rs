//! One record, as Kafka holds it.

use factfold_schemas::{cloudevents::Incoming, kafka::incoming, position::Position, topics::Topic};
use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// A record, and which of our topics it lies on.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The topic.
    pub topic: Topic,
    /// The record.
    pub message: &'a BorrowedMessage<'a>,
}

impl<'a> Record<'a> {
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

    /// The record as the codec reads it.
    pub fn incoming(&self) -> Incoming<'a> {
        incoming(self.message)
    }
}
