//! CloudEvents 1.0 on Kafka: the protocol binding, without Kafka. Read in binary or structured mode, written in binary.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>

use std::{borrow::Cow, fmt, io::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A Kafka record as this crate reads it, borrowed from whoever holds it.
#[derive(Debug, Clone, Default)]
pub struct Incoming<'a> {
    /// The partition it lies in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The record's time, in milliseconds since 1970: the broker's where the topic says `LogAppendTime`.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; absent in a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// A Kafka record as this crate writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outgoing {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Headers,
}

impl Outgoing {
    /// This record as its reader sees it, at the beginning of a partition.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().collect(),
            ..Incoming::default()
        }
    }
}

/// Headers, in order. Their values lie in one piece of memory: a record has many small ones.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Headers {
    /// Each name, and where its value ends; it begins where the one before it ends.
    names: Vec<(Cow<'static, str>, usize)>,
    values: Vec<u8>,
}

impl Headers {
    /// Adds a header.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<[u8]>) {
        self.values.extend_from_slice(value.as_ref());
        self.names.push((name.into(), self.values.len()));
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        let mut begin = 0;
        self.names.iter().map(move |(name, end)| {
            let value = &self.values[begin..*end];
            begin = *end;
            (name.as_ref(), value)
        })
    }
}

impl<N: Into<Cow<'static, str>>, V: AsRef<[u8]>> Extend<(N, V)> for Headers {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, headers: I) {
        headers.into_iter().for_each(|(name, value)| self.push(name, value));
    }
}

impl<N: Into<Cow<'static, str>>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::default();
        all.extend(headers);
        all
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

/// The media type of structured mode.
const STRUCTURED: &[u8] = b"application/cloudevents+json";

/// A CloudEvent: its attributes by name (without the `ce_` of Kafka's headers) and its data.
#[derive(Debug, Clone)]
pub struct CloudEvent<'a> {
    attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The data, JSON where it is ours.
    pub data: Cow<'a, [u8]>,
}

/// A record that is no CloudEvent.
#[derive(Debug, thiserror::Error)]
pub enum NotACloudEvent {
    /// A header that begins with `ce_` is no text.
    #[error("the header `{0}` is not UTF-8")]
    NotText(String),
    /// The record has no value.
    #[error("the record has no value")]
    NoValue,
    /// The value of a structured record is not an event in JSON.
    #[error("the value is not a CloudEvent in JSON: {0}")]
    NotStructured(String),
}

impl<'a> CloudEvent<'a> {
    /// Reads a record in either mode. Which attributes must be there is for the caller to say: a command needs no more
    /// than a type.
    pub fn read(record: &Incoming<'a>) -> Result<Self, NotACloudEvent> {
        let value = record.value.ok_or(NotACloudEvent::NoValue)?;
        let structured = record
            .headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("content-type") && value.starts_with(STRUCTURED));
        if structured { Self::read_structured(value) } else { Self::read_binary(record, value) }
    }

    fn read_binary(record: &Incoming<'a>, value: &'a [u8]) -> Result<Self, NotACloudEvent> {
        let mut attributes = Vec::with_capacity(record.headers.len());
        for &(name, value) in &record.headers {
            if let Some(attribute) = name.strip_prefix("ce_") {
                let text =
                    std::str::from_utf8(value).map_err(|_| NotACloudEvent::NotText(name.to_owned()))?;
                attributes.push((Cow::Borrowed(attribute), Cow::Borrowed(text)));
            }
        }
        Ok(Self { attributes, data: Cow::Borrowed(value) })
    }

    /// Reads an event in the JSON format, with its data inside.
    pub fn read_structured(value: &[u8]) -> Result<CloudEvent<'static>, NotACloudEvent> {
        let wrong = |what: String| NotACloudEvent::NotStructured(what);
        let event: serde_json::Map<String, Value> =
            serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
        let mut attributes = Vec::with_capacity(event.len());
        let mut data = Vec::new();
        for (name, value) in event {
            match (name.as_str(), value) {
                ("data", value) => data = value.to_string().into_bytes(),
                ("data_base64", _) => return Err(wrong("`data_base64` is not JSON: use `data`".to_owned())),
                (_, Value::Null) => {}
                (_, Value::String(text)) => attributes.push((Cow::Owned(name), Cow::Owned(text))),
                (_, value @ (Value::Bool(_) | Value::Number(_))) => {
                    attributes.push((Cow::Owned(name), Cow::Owned(value.to_string())));
                }
                _ => return Err(wrong(format!("the attribute `{name}` is neither a text nor a number"))),
            }
        }
        Ok(CloudEvent { attributes, data: Cow::Owned(data) })
    }

    /// The attribute of this name; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(n, _)| n == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The names of the attributes that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_ref())
    }
}

/// Writes the headers of a record in binary mode.
#[derive(Debug)]
pub struct HeaderWriter(Headers);

impl HeaderWriter {
    /// Begins with what every event must have.
    pub fn new(id: impl fmt::Display, type_name: &str, source: impl fmt::Display) -> Self {
        // More than nearly all records need.
        let headers = Headers { names: Vec::with_capacity(20), values: Vec::with_capacity(640) };
        Self(headers)
            .with("content-type", "application/json")
            .with("ce_specversion", "1.0")
            .with("ce_id", id)
            .with("ce_type", type_name)
            .with("ce_source", source)
    }

    /// Adds a header, named as Kafka sees it (`ce_time`).
    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl fmt::Display) -> Self {
        write!(self.0.values, "{value}").expect("memory takes everything");
        self.0.names.push((Cow::Borrowed(header), self.0.values.len()));
        self
    }

    /// Adds a header if there is something to say.
    #[must_use]
    pub fn with_some(self, header: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(header, value),
            None => self,
        }
    }

    /// The headers.
    pub fn finish(self) -> Headers {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_modes_say_the_same() {
        let binary = Incoming {
            value: Some(br#"{"a":1}"#),
            headers: vec![("ce_type", b"PayOrder"), ("ce_id", b"1"), ("other", b"\xff"), ("ce_source", b"")],
            ..Incoming::default()
        };
        let structured = Incoming {
            value: Some(br#"{"specversion":"1.0","type":"PayOrder","id":"1","data":{"a":1}}"#),
            headers: vec![("Content-Type", b"application/cloudevents+json; charset=UTF-8")],
            ..Incoming::default()
        };
        for record in [binary, structured] {
            let event = CloudEvent::read(&record).expect("an event");
            assert_eq!(event.get("type"), Some("PayOrder"));
            assert_eq!(event.get("id"), Some("1"));
            assert_eq!(event.get("source"), None);
            assert_eq!(&*event.data, br#"{"a":1}"#);
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let not_text =
            Incoming { value: Some(b"{}"), headers: vec![("ce_type", b"\xff")], ..Incoming::default() };
        assert!(matches!(CloudEvent::read(&not_text), Err(NotACloudEvent::NotText(_))));
        assert!(matches!(CloudEvent::read(&Incoming::default()), Err(NotACloudEvent::NoValue)));
        for wrong in ["[]", "{", r#"{"id":{}}"#, r#"{"data_base64":"AA=="}"#] {
            assert!(CloudEvent::read_structured(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
