//! A record as a CloudEvent in the JSON format, one line each. Nothing is decoded: headers become attributes, what is visible
//! of the value is copied. So a record that only a newer version knows is written as it is, and writing costs little beside reading.

use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message};
use serde_json::Value;

use super::{Record, visible};

/// Appends the record, with a line's end.
///
/// Beside the event's own attributes there are `position`, where it lies, and `recordedtime`, when the broker stored it.
pub fn write<M: Message>(record: &Record<'_, M>, line: &mut Vec<u8>) {
    line.push(b'{');
    if let Some(headers) = record.message.headers() {
        for header in headers.iter() {
            let name = match header.key.strip_prefix("ce_") {
                Some(name) => name,
                None if header.key == "content-type" => "datacontenttype",
                None => continue,
            };
            attribute(line, name, header.value.unwrap_or_default());
        }
    }
    attribute(line, "position", record.position().to_string().as_bytes());
    attribute(line, "recordedtime", time(record.time()).as_bytes());
    data(line, visible::data(record).as_deref());
    line.extend_from_slice(b"}\n");
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
fn data(line: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else {
        line.extend_from_slice(b"\"data\":null");
        return;
    };
    if is_ours(value) {
        line.extend_from_slice(b"\"data\":");
        line.extend_from_slice(value);
        return;
    }
    match (serde_json::from_slice::<Value>(value), std::str::from_utf8(value)) {
        (Ok(value), _) => line.extend_from_slice(format!("\"data\":{value}").as_bytes()),
        (_, Ok(text)) => line.extend_from_slice(format!("\"data\":{}", Value::from(text)).as_bytes()),
        _ => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            line.extend_from_slice(format!("\"data_base64\":\"{}\"", STANDARD.encode(value)).as_bytes());
        }
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

    fn written(value: Option<&[u8]>) -> String {
        let mut line = Vec::new();
        data(&mut line, value);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn any_value_stays_on_one_line_of_json() {
        assert_eq!(written(Some(b"{\"a\":1}")), r#""data":{"a":1}"#);
        assert_eq!(written(Some(b"{\n\"a\" : 1 }")), r#""data":{"a":1}"#);
        assert_eq!(written(Some(b"{\"a\":")), r#""data":"{\"a\":""#);
        assert_eq!(written(Some(b"\xff")), r#""data_base64":"/w==""#);
        assert_eq!(written(None), r#""data":null"#);
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
