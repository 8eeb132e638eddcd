//! Reading a command's record: what must be there before anything can be decided.

use std::borrow::Cow;

use factfold_schemas::{
    cloudevents::{CloudEvent, Incoming},
    command::{ATTRIBUTE_BYTES_MAX, Header, VALUE_BYTES_MAX},
    ids::StreamId,
    position::Position,
    record::DeadLetterReason,
};

/// A command that can be decided, if its type and value are known.
pub(super) struct Read<'a> {
    pub(super) stream: StreamId,
    pub(super) header: Header,
    pub(super) type_name: String,
    pub(super) value: Cow<'a, [u8]>,
}

/// Why a record is no command, and what could be read of it nevertheless.
pub(super) struct Unreadable {
    pub(super) reason: DeadLetterReason,
    pub(super) header: Option<Box<Header>>,
    pub(super) type_name: String,
}

impl Unreadable {
    pub(super) fn new(name: &str, detail: impl AsRef<str>) -> Self {
        Self { reason: super::reason(name, detail.as_ref()), header: None, type_name: String::new() }
    }

    /// The header and the type could be read.
    pub(super) fn after(self, header: Header, type_name: String) -> Self {
        Self { header: Some(Box::new(header)), type_name, ..self }
    }
}

/// Reads the record at this position.
pub(super) fn read<'a>(record: &Incoming<'a>, at: Position) -> Result<Read<'a>, Unreadable> {
    let key = record
        .key
        .ok_or_else(|| Unreadable::new("no-key", "the key is null: it must be the stream's name"))?;
    let stream = stream(key).ok_or_else(|| {
        Unreadable::new("wrong-key", format!("the key is no text of at most {ATTRIBUTE_BYTES_MAX} bytes"))
    })?;
    let bytes = record.value.map_or(0, <[u8]>::len);
    if bytes > VALUE_BYTES_MAX {
        let detail = format!("the value has {bytes} bytes: at most {VALUE_BYTES_MAX} are read");
        return Err(Unreadable::new("too-large", detail));
    }
    let event =
        CloudEvent::read(record).map_err(|error| Unreadable::new("no-cloud-event", error.to_string()))?;
    let header =
        Header::read(&event, at).map_err(|error| Unreadable::new("invalid-header", error.to_string()))?;
    let Some(type_name) = event.get("type").map(str::to_owned) else {
        let detail = "there is no ce_type: a command needs a key, a ce_type header and a JSON value";
        return Err(Unreadable::new("no-type", detail).after(header, String::new()));
    };
    Ok(Read { stream, header, type_name, value: event.data })
}

/// The stream that this key names, if it is a text of a sensible length.
pub(super) fn stream(key: &[u8]) -> Option<StreamId> {
    let text = std::str::from_utf8(key).ok().filter(|text| text.len() <= ATTRIBUTE_BYTES_MAX)?;
    Some(StreamId::new(text))
}

/// The header of a record that has none that can be read.
pub(super) fn anonymous(at: Position) -> Header {
    Header::new(at.to_string(), format!("/topics/{}", at.topic))
}
