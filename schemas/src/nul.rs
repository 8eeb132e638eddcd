//! U+0000: JSON can say it, no text of Postgres can. Commands that say it are refused, so that no event does; where one is there
//! nevertheless, the read side shows another character in its place.

use std::borrow::Cow;

use serde_json::Value;

use crate::misfit::{Misfit, child};

/// How JSON writes it. Nothing but an escape can: the bare byte is no JSON.
const ESCAPE: &[u8] = b"\\u0000";

/// Whether this JSON says it anywhere.
pub fn is_in_json(json: &[u8]) -> bool {
    // Most have no escape at all, which is seen at once.
    json.contains(&b'\\') && next_in(json, 0).is_some()
}

/// The same JSON with U+FFFD in its place.
pub fn replaced_in_json(json: String) -> String {
    let (mut replaced, mut done) = (String::new(), 0);
    while let Some(at) = next_in(json.as_bytes(), done) {
        replaced.push_str(&json[done..at]);
        replaced.push_str("\\ufffd");
        done = at + ESCAPE.len();
    }
    if done == 0 {
        return json;
    }
    replaced + &json[done..]
}

/// The same text with U+FFFD in its place.
pub fn replaced(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Where the next one begins, in JSON that is whole up to `from`.
fn next_in(json: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // An escaped backslash is two bytes, so that what follows it is never taken for one that escapes.
    while let Some(backslash) = json.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += backslash;
        if json[at..].starts_with(ESCAPE) {
            return Some(at);
        }
        at += 2;
    }
    None
}

/// Where a value says it.
pub(crate) fn misfits(value: &Value) -> Vec<Misfit> {
    let mut found = Vec::new();
    look(value, "", &mut found);
    found
}

fn look(value: &Value, place: &str, found: &mut Vec<Misfit>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            found.push(Misfit::new(place, "must not hold the character U+0000"));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| look(item, &child(place, &index.to_string()), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| look(field, &child(place, name), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_told_from_what_only_looks_like_it() {
        for (text, is_there) in [
            ("a\0b", true),
            ("\0", true),
            ("\\\0", true),
            ("", false),
            ("\\u0000", false),
            ("\\\\u0000", false),
            ("\u{1}\n\"\\", false),
        ] {
            let json = json!({ "name": text }).to_string();
            assert_eq!(is_in_json(json.as_bytes()), is_there, "{json}");
            let replaced_json: Value = serde_json::from_str(&replaced_in_json(json)).expect("JSON");
            assert_eq!(replaced_json["name"], replaced(text).as_ref(), "{text:?}");
            assert!(!replaced(text).contains('\0'));
        }
        // What is cut off is for the parser to refuse.
        assert!(!is_in_json(b"\"\\"));
    }

    #[test]
    fn every_place_is_named() {
        let value = json!({ "a": ["x", "\0"], "b": { "c/d": "y\0" }, "e": 0 });
        let places: Vec<_> = misfits(&value).into_iter().map(|misfit| misfit.pointer).collect();
        assert_eq!(places, ["/a/1", "/b/c~1d"]);
    }
}
