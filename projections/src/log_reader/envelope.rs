//! A record as a CloudEvent in the JSON format, one line each. Nothing is decoded: headers become attributes, what is visible
//! of the value is copied. So a record that only a newer version knows is written as it is, and writing costs little beside reading.

use std::{borrow::Cow, io::Write as _};

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
    stored(line, || attributes(record));
    let (position, time) = (record.position(), record.time());
    write!(line, r#""position":"{position}","recordedtime":"{time:.3}","#).expect("memory takes all");
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

/// Appends these attributes. Nearly always nothing in them is to be escaped: to look once at all of it costs less than to look
/// at each text.
fn stored<'a, I: Iterator<Item = (&'a str, &'a [u8])>>(line: &mut Vec<u8>, attributes: impl Fn() -> I) {
    let begin = line.len();
    let mut texts = 0;
    for (name, value) in attributes() {
        attribute(line, name, value, |line, text| {
            texts += 1;
            quoted(line, text);
        });
    }
    let written = &line[begin..];
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) & (byte != b'\\');
    // No leaving early: so many bytes are looked at in one step.
    let are_plain = written.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    if !are_plain || quotes(written) != 2 * texts {
        line.truncate(begin);
        attributes().for_each(|(name, value)| attribute(line, name, value, escaped));
    }
}

/// How many there are. A sum that fits into a byte is made of many bytes in one step.
fn quotes(text: &[u8]) -> usize {
    let few = |text: &[u8]| text.iter().fold(0, |sum: u8, byte| sum + u8::from(*byte == b'"'));
    text.chunks(usize::from(u8::MAX)).map(|text| usize::from(few(text))).sum()
}

fn attribute(line: &mut Vec<u8>, name: &str, value: &[u8], mut text: impl FnMut(&mut Vec<u8>, &[u8])) {
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

fn quoted(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    line.extend_from_slice(text);
    line.push(b'"');
}

fn escaped(line: &mut Vec<u8>, text: &[u8]) {
    line.extend_from_slice(Value::from(String::from_utf8_lossy(text)).to_string().as_bytes());
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
        let written = |authid: &'static str| {
            let attributes = [("streamversion", "3"), ("authid", authid), ("id", "order-1@3")];
            let mut line = b"{".to_vec();
            stored(&mut line, || attributes.iter().map(|(name, value)| (*name, value.as_bytes())));
            String::from_utf8(line).expect("text")
        };
        for authid in ["", "/users/1", "a\"\n\u{e9}", "\"", "\\", "\u{7f}", "\u{1}", "\u{e9}"] {
            let line = written(authid);
            let value: Value =
                serde_json::from_str(&format!("{}}}", line.trim_end_matches(','))).expect("JSON");
            assert_eq!(
                value,
                serde_json::json!({"streamversion": 3, "authid": authid, "id": "order-1@3"}),
                "{line}"
            );
        }
        assert_eq!(quotes(&[b'"'; 1000]), 1000);
        assert_eq!(written("x"), r#"{"streamversion":3,"authid":"x","id":"order-1@3","#);
    }
}
