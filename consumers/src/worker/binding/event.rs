//! An event as a function sees it: a CloudEvent in JSON, with its context. What nobody may see is left out, and what is sealed
//! stays so.

use factfold_schemas::{
    cloudevents::{CloudEvent, Incoming},
    command::Auth,
    functions::FunctionName,
    position::Position,
    topics::Topic,
    visible,
};
use jiff::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap as _},
};
use serde_json::value::RawValue;

/// What comes first of an event. Its other attributes follow, as texts.
const FIRST: [&str; 6] = ["id", "type", "source", "subject", "time", "recordedtime"];

/// An event that can be given.
pub(super) struct Event<'a> {
    event: CloudEvent<'a>,
    /// Where it lies.
    pub(super) at: Position,
    /// Its key: whose history it belongs to.
    pub(super) stream: &'a str,
    /// When the broker stored it.
    pub(super) recorded: Timestamp,
    /// Its id, or its position where it has none.
    pub(super) id: String,
}

/// Reads the record of this topic; a sentence where it is none that can be given.
pub(super) fn read<'a>(topic: Topic, record: &Incoming<'a>) -> Result<Event<'a>, String> {
    let at = Position::new(topic, record.partition, record.offset);
    let event = CloudEvent::read(record).map_err(|error| error.to_string())?;
    let key = record.key.ok_or("the key is missing")?;
    let stream = std::str::from_utf8(key).map_err(|_| "the key is not UTF-8")?;
    let recorded = Timestamp::from_millisecond(record.timestamp_ms).map_err(|error| error.to_string())?;
    let id = event.get("id").map_or_else(|| at.to_string(), str::to_owned);
    Ok(Event { event, at, stream, recorded, id })
}

impl Event<'_> {
    /// Its type.
    pub(super) fn type_name(&self) -> &str {
        self.event.get("type").unwrap_or_default()
    }

    /// What belongs together, across streams and services.
    pub(super) fn correlation(&self) -> &str {
        self.event.get("correlationid").unwrap_or(self.stream)
    }

    /// Whether this function has said it itself.
    pub(super) fn is_said_by(&self, author: &Auth) -> bool {
        self.event.get("authtype") == Some(author.kind()) && self.event.get("authid") == author.id()
    }

    /// W3C trace context.
    pub(super) fn traceparent(&self) -> Option<&str> {
        self.event.get("traceparent")
    }

    /// The event in JSON; a sentence where its data is none.
    pub(super) fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    /// Its context in JSON.
    pub(super) fn context(&self, function: FunctionName, binding: u32, state: Option<&RawValue>) -> String {
        let context = Context { function, binding, key: self.stream, position: self.at, state };
        serde_json::to_string(&context).expect("a context is plain data")
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { event, at, stream, recorded, id } = self;
        let data = visible::data(at.topic.service, &event.data);
        let data: &RawValue = serde_json::from_slice(&data)
            .map_err(|error| S::Error::custom(format!("the data is no JSON: {error}")))?;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("id", id)?;
        json.serialize_entry("type", self.type_name())?;
        let source = event.get("source").map_or_else(|| format!("/topics/{}", at.topic), str::to_owned);
        json.serialize_entry("source", &source)?;
        json.serialize_entry("subject", event.get("subject").unwrap_or(stream))?;
        let time = event.get("time").map_or_else(|| recorded.to_string(), str::to_owned);
        json.serialize_entry("time", &time)?;
        json.serialize_entry("recordedtime", recorded)?;
        for name in event.names().filter(|name| !FIRST.contains(name) && *name != "data") {
            if let Some(value) = event.get(name) {
                json.serialize_entry(name, value)?;
            }
        }
        json.serialize_entry("data", data)?;
        json.end()
    }
}

/// What a function is told beside the event.
#[derive(Serialize)]
struct Context<'a> {
    function: FunctionName,
    /// The number of the binding.
    binding: u32,
    key: &'a str,
    position: Position,
    state: Option<&'a RawValue>,
}
