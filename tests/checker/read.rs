//! Reading a command's record, again and in other words than the worker does it: the checker must not be wrong where the
//! worker is.

use factfold_schemas::{
    cloudevents::CloudEvent,
    command::{ATTRIBUTE_BYTES_MAX, Digest, Header, VALUE_BYTES_MAX},
    ids::StreamId,
    position::Position,
    record::Cause,
};
use jiff::Timestamp;

use crate::log::Record;

/// A command that can be decided, if its type and value are known.
#[derive(Debug, Clone)]
pub struct Readable {
    /// The key.
    pub stream: StreamId,
    /// Everything around it.
    pub header: Header,
    /// `ce_type`.
    pub type_name: String,
    /// The JSON.
    pub value: Vec<u8>,
}

/// A record that is no command, and what can be read of it nevertheless.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// The name of the reason.
    pub reason: &'static str,
    /// What is around it, where that can be read.
    pub header: Option<Box<Header>>,
    /// The type, where there is one.
    pub type_name: String,
}

/// A record of a commands topic.
#[derive(Debug, Clone)]
pub struct Command {
    /// Where it lies.
    pub at: Position,
    /// The record, as it came.
    pub record: Record,
    /// As it reads.
    pub read: Result<Readable, Unreadable>,
}

impl Command {
    /// Reads the record that lies here.
    pub fn new(at: Position, record: Record) -> Self {
        let read = read(&record, at);
        Self { at, record, read }
    }

    /// The broker's time.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millisecond(self.record.timestamp_ms).unwrap_or_default()
    }

    /// The header, as far as there is one.
    pub fn header(&self) -> Header {
        let nobody = || Header::new(self.at.to_string(), format!("/topics/{}", self.at.topic));
        match &self.read {
            Ok(readable) => readable.header.clone(),
            Err(unreadable) => unreadable.header.as_deref().cloned().unwrap_or_else(nobody),
        }
    }

    /// What it says, when it is decided.
    pub fn digest(&self) -> Digest {
        match &self.read {
            Ok(readable) => Digest::of(&readable.type_name, &readable.value),
            Err(unreadable) => self.raw_digest(&unreadable.type_name),
        }
    }

    /// What it says, when it cannot be decided: the value as it came counts then.
    pub fn raw_digest(&self, type_name: &str) -> Digest {
        Digest::of(type_name, self.record.value.as_deref().unwrap_or_default())
    }

    /// The cause that its traces must name, if it says this.
    pub fn cause(&self, digest: Digest) -> Cause {
        Cause::of(&self.header(), digest, self.at, self.time())
    }

    /// Stream, source and id: what makes a repeat a repeat. `None` for what cannot be read.
    pub fn identity(&self) -> Option<(StreamId, String, String)> {
        let Readable { stream, header, .. } = self.read.as_ref().ok()?;
        Some((stream.clone(), header.source.clone(), header.id.clone()))
    }
}

/// The stream that this key names, if it is a text of a sensible length.
pub fn stream_of(key: Option<&[u8]>) -> Option<StreamId> {
    let text = std::str::from_utf8(key?).ok()?;
    (text.len() <= ATTRIBUTE_BYTES_MAX).then(|| StreamId::new(text))
}

fn read(record: &Record, at: Position) -> Result<Readable, Unreadable> {
    let refused = |reason| Unreadable { reason, header: None, type_name: String::new() };
    if record.key.is_none() {
        return Err(refused("no-key"));
    }
    let Some(stream) = stream_of(record.key.as_deref()) else { return Err(refused("wrong-key")) };
    if record.value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
        return Err(refused("too-large"));
    }
    let incoming = record.incoming();
    let Ok(event) = CloudEvent::read(&incoming) else { return Err(refused("no-cloud-event")) };
    let Ok(header) = Header::read(&event, at) else { return Err(refused("invalid-header")) };
    match event.get("type") {
        None => Err(Unreadable { header: Some(Box::new(header)), ..refused("no-type") }),
        Some(name) => {
            let type_name = name.to_owned();
            Ok(Readable { stream, header, type_name, value: event.data.into_owned() })
        }
    }
}
