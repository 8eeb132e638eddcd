//! CloudEvents 1.0 on Kafka: the protocol binding, without Kafka. Read in binary or structured mode, written in binary.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>

use std::borrow::Cow;

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(Cow<'static, str>, Vec<u8>)>,
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
pub struct HeaderWriter(Vec<(Cow<'static, str>, Vec<u8>)>);

impl HeaderWriter {
    /// Begins with what every event must have.
    pub fn new(id: &str, type_name: &str, source: &str) -> Self {
        let mut headers = Vec::with_capacity(20);
        headers.push((Cow::Borrowed("content-type"), b"application/json".to_vec()));
        headers.push((Cow::Borrowed("ce_specversion"), b"1.0".to_vec()));
        headers.push((Cow::Borrowed("ce_id"), id.as_bytes().to_vec()));
        headers.push((Cow::Borrowed("ce_type"), type_name.as_bytes().to_vec()));
        headers.push((Cow::Borrowed("ce_source"), source.as_bytes().to_vec()));
        Self(headers)
    }

    /// Adds a header, named as Kafka sees it (`ce_time`).
    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl AsRef<str>) -> Self {
        self.0.push((Cow::Borrowed(header), value.as_ref().as_bytes().to_vec()));
        self
    }

    /// Adds a header if there is something to say.
    #[must_use]
    pub fn with_some(self, header: &'static str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(header, value),
            None => self,
        }
    }

    /// The headers.
    pub fn finish(self) -> Vec<(Cow<'static, str>, Vec<u8>)> {
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
