//! Commands as CloudEvents over HTTP: binary, structured, or a batch. This reads them; what they may say is checked in
//! `routes::commands`.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use factfold_schemas::json::Misfit;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::body::{JSON, media_type, parse, refuse_encoded, unsupported};
use crate::{
    problems::{FieldError, Problem},
    settings::BATCH_MAX,
};

/// A CloudEvent as one JSON object.
pub(crate) const STRUCTURED: &str = "application/cloudevents+json";
/// Many of them.
pub(crate) const BATCH: &str = "application/cloudevents-batch+json";

/// A CloudEvent, and where it stood, so that a problem can point there.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Attributes by name.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The data.
    pub(crate) data: Value,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Attributes are HTTP headers, the body is the data.
    Headers,
    /// Everything stands in the body, below this pointer.
    Body(String),
}

impl Entry {
    /// The attribute of this name; an empty one counts as absent.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The error in this attribute.
    pub(crate) fn attribute_error(&self, name: &str, detail: impl std::fmt::Display) -> FieldError {
        match &self.place {
            Place::Headers => FieldError { detail: format!("the header ce-{name} {detail}"), pointer: None },
            Place::Body(place) => {
                FieldError::within(place, &Misfit::new(format!("/{name}"), detail.to_string()))
            }
        }
    }

    /// The error at this place of the data.
    pub(crate) fn data_error(&self, misfit: &Misfit) -> FieldError {
        match &self.place {
            Place::Headers => FieldError::within("", misfit),
            Place::Body(place) => FieldError::within(&format!("{place}/data"), misfit),
        }
    }
}

/// What a request to `/v1/commands` holds.
#[derive(Debug)]
pub(crate) enum Commands {
    /// One command, answered with one.
    One(Entry),
    /// Several, answered in their order.
    Batch(Vec<Entry>),
}

/// Reads the commands of a request.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Commands, Problem> {
    refuse_encoded(headers)?;
    match media_type(headers).as_str() {
        STRUCTURED => {
            let entry = structured(parse(body)?, String::new()).map_err(Problem::invalid)?;
            Ok(Commands::One(entry))
        }
        BATCH => batch(parse(body)?).map(Commands::Batch),
        JSON => Ok(Commands::One(binary(headers, parse(body)?)?)),
        other => Err(unsupported(other, &[JSON, STRUCTURED, BATCH])),
    }
}

fn batch(value: Value) -> Result<Vec<Entry>, Problem> {
    let whole = |detail: String| Problem::invalid(vec![FieldError::within("", &Misfit::new("", detail))]);
    let Value::Array(events) = value else { return Err(whole("must be a list of CloudEvents".to_owned())) };
    if events.is_empty() || events.len() > BATCH_MAX {
        return Err(whole(format!("must have 1 to {BATCH_MAX} items, but {} were given", events.len())));
    }
    let (mut entries, mut errors) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        match structured(event, format!("/{index}")) {
            Ok(entry) => entries.push(entry),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(Problem::invalid(errors)) }
}

fn binary(headers: &HeaderMap, data: Value) -> Result<Entry, Problem> {
    let (mut attributes, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        // The binding percent-encodes what is not visible ASCII.
        let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
        let fresh = text
            .and_then(|text| attributes.insert(name.to_owned(), text.into_owned()).is_none().then_some(()));
        if fresh.is_none() {
            let detail = format!("the header ce-{name} must be there once, in percent-encoded UTF-8");
            errors.push(FieldError { detail, pointer: None });
        }
    }
    let entry = Entry { attributes, data, place: Place::Headers };
    if errors.is_empty() { Ok(entry) } else { Err(Problem::invalid(errors)) }
}

fn structured(event: Value, place: String) -> Result<Entry, Vec<FieldError>> {
    let Value::Object(event) = event else {
        return Err(vec![FieldError::within(&place, &Misfit::new("", "must be a CloudEvent, an object"))]);
    };
    let mut entry =
        Entry { attributes: BTreeMap::new(), data: Value::Object(Map::new()), place: Place::Body(place) };
    let mut errors = Vec::new();
    for (name, value) in event {
        match (name.as_str(), value) {
            ("data", data) => entry.data = data,
            ("data_base64", _) => errors.push(entry.attribute_error(&name, "is not JSON: use `data`")),
            (_, Value::Null) => {}
            (_, Value::String(text)) => {
                entry.attributes.insert(name, text);
            }
            (_, value @ (Value::Bool(_) | Value::Number(_))) => {
                entry.attributes.insert(name, value.to_string());
            }
            _ => errors.push(entry.attribute_error(&name, "must be a text or a number")),
        }
    }
    if errors.is_empty() { Ok(entry) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().expect("a header"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn all_modes_say_the_same() {
        let binary = read(
            &headers(&[("content-type", "application/json"), ("ce-type", "PayOrder"), ("ce-id", "%C3%BC")]),
            br#"{"a":1}"#,
        );
        let event = json!({"type": "PayOrder", "id": "ü", "data": {"a": 1}, "time": null});
        let structured = read(
            &headers(&[("content-type", "application/cloudevents+json; charset=utf-8")]),
            event.to_string().as_bytes(),
        );
        let batch = read(
            &headers(&[("content-type", "application/cloudevents-batch+json")]),
            json!([event]).to_string().as_bytes(),
        );
        for read in [binary, structured, batch] {
            let entry = match read.expect("readable") {
                Commands::One(entry) => entry,
                Commands::Batch(mut entries) => entries.remove(0),
            };
            assert_eq!((entry.attribute("type"), entry.attribute("id")), (Some("PayOrder"), Some("ü")));
            assert_eq!(entry.data, json!({"a": 1}));
        }
    }

    #[test]
    fn all_that_is_wrong_is_named_with_its_place() {
        let batch = headers(&[("content-type", BATCH)]);
        let body = json!([{"type": "X"}, 1, {"id": {}, "data_base64": "AA=="}]).to_string();
        let problem = read(&batch, body.as_bytes()).expect_err("wrong");
        let pointers: Vec<_> = problem.errors().iter().filter_map(|e| e.pointer.as_deref()).collect();
        assert_eq!(pointers, ["#/1", "#/2/id", "#/2/data_base64"]);

        for wrong in ["{}", "[]", &json!(vec![0; 1001]).to_string()] {
            assert_eq!(read(&batch, wrong.as_bytes()).expect_err("wrong").name(), "invalid-fields");
        }
        assert_eq!(read(&batch, b"[").expect_err("wrong").name(), "invalid-json");
        assert_eq!(read(&headers(&[]), b"{}").expect_err("wrong").name(), "unsupported-media-type");
    }
}
