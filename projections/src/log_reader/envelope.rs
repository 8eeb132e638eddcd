//! A record as a CloudEvent in the JSON format, one line each. Nothing is decoded: headers become attributes, what is visible
//! of the value is copied. So a record that only a newer version knows is written as it is, and writing costs little beside reading.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message};
use serde_json::Value;

use super::{Record, visible};

/// What an event says, as far as JSON can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// JSON on one line.
    Json(Cow<'a, [u8]>),
    /// What is no text, in base64.
    Base64(String),
}

/// Appends the record, with a line's end.
///
/// Beside the event's own attributes there are `position`, where it lies, and `recordedtime`, when the broker stored it.
pub fn write<M: Message>(record: &Record<'_, M>, line: &mut Vec<u8>) {
    line.push(b'{');
    attributes(record).for_each(|(name, value)| attribute(line, name, value));
    attribute(line, "position", record.position().to_string().as_bytes());
    attribute(line, "recordedtime", time(record.time()).as_bytes());
    match data(record) {
        Data::Json(json) => {
            line.extend_from_slice(b"\"data\":");
            line.extend_from_slice(&json);
        }
        Data::Base64(text) => line.extend_from_slice(format!("\"data_base64\":\"{text}\"").as_bytes()),
    }
    line.extend_from_slice(b"}\n");
}

/// The attributes that were stored with the event, by CloudEvents' names.
pub fn attributes<'a, M: Message>(record: &Record<'a, M>) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let headers = record.message.headers().into_iter().flat_map(|headers| headers.iter());
    headers.filter_map(|header| {
        let name = match header.key.strip_prefix("ce_") {
            Some(name) => name,
            None if header.key == "content-type" => "datacontenttype",
            None => return None,
        };
        Some((name, header.value.unwrap_or_default()))
    })
}

/// What is visible of the data.
pub fn data<'a, M: Message>(record: &'a Record<'_, M>) -> Data<'a> {
    visible::data(record).map_or(Data::Json(Cow::Borrowed(b"null")), in_json)
}

/// A time as it stands in an event: UTC, to the millisecond.
pub fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn attribute(line: &mut Vec<u8>, name: &str, value: &[u8]) {
    text(line, name.as_bytes());
    line.push(b':');
    // The one attribute of ours whose CloudEvents type is Integer.
    if name == "streamversion" && !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        line.extend_from_slice(value);
    } else {
        text(line, value);
    }
    line.push(b',');
}

fn text(line: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\');
    if text.iter().all(plain) {
        line.push(b'"');
        line.extend_from_slice(text);
        line.push(b'"');
    } else {
        line.extend_from_slice(Value::from(String::from_utf8_lossy(text)).to_string().as_bytes());
    }
}

/// JSON on one line as it is; JSON on many lines joined; anything else as a text, or in base64.
fn in_json(value: Cow<'_, [u8]>) -> Data<'_> {
    if is_ours(&value) {
        return Data::Json(value);
    }
    let json = |value: Value| Data::Json(Cow::Owned(value.to_string().into_bytes()));
    match (serde_json::from_slice::<Value>(&value), std::str::from_utf8(&value)) {
        (Ok(value), _) => json(value),
        (_, Ok(text)) => json(Value::from(text)),
        _ => Data::Base64(STANDARD.encode(value)),
    }
}

/// What our own codec wrote is an object on one line; only deciders write events.
fn is_ours(value: &[u8]) -> bool {
    value.starts_with(b"{")
        && value.ends_with(b"}")
        && !value.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        && serde_json::from_slice::<&serde_json::value::RawValue>(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_becomes_one_line_of_json() {
        for (value, expected) in
            [("{\"a\":1}", r#"{"a":1}"#), ("{\n\"a\" : 1 }", r#"{"a":1}"#), ("{\"a\":", r#""{\"a\":""#)]
        {
            let data = in_json(Cow::Borrowed(value.as_bytes()));
            assert_eq!(data, Data::Json(Cow::Borrowed(expected.as_bytes())));
        }
        assert_eq!(in_json(Cow::Borrowed(b"\xff")), Data::Base64("/w==".to_owned()));
    }

    #[test]
    fn any_attribute_is_json() {
        let mut line = Vec::new();
        for (name, value) in [("streamversion", "3"), ("authid", "a\"\n\u{e9}"), ("id", "order-1@3")] {
            attribute(&mut line, name, value.as_bytes());
        }
        let text = format!("{{{}}}", String::from_utf8(line).expect("text").trim_end_matches(','));
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({"streamversion": 3, "authid": "a\"\n\u{e9}", "id": "order-1@3"})
        );
    }
}
