//! What a function returned, read and checked: a state for its key, commands, events. Whatever is wrong is named, all at once.

use factfold_schemas::{
    command::{ATTRIBUTE_BYTES_MAX, VALUE_BYTES_MAX, is_plain},
    functions::{EFFECTS_MAX, STATE_BYTES_MAX},
    json::Misfit,
    nul,
};
use jiff::Timestamp;
use serde_json::{Map, Value, value::RawValue};

use super::vocabulary::{self, Checked};

/// How many things that are wrong are named in a sentence.
const NAMED_MAX: usize = 5;
/// The most characters of an event's type.
const TYPE_CHARS_MAX: usize = 100;

/// What comes of an event.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) state: Kept,
    pub(super) commands: Vec<Command>,
    pub(super) events: Vec<Emitted>,
}

/// What becomes of the state of the event's key.
#[derive(Debug, Default)]
pub(super) enum Kept {
    /// Nothing was said about it.
    #[default]
    AsItIs,
    /// There is none any more.
    Removed,
    /// It is this one.
    Changed(Box<RawValue>),
}

/// A command to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) command: Checked,
    pub(super) not_before: Option<Timestamp>,
}

/// An event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Emitted {
    pub(super) type_name: String,
    pub(super) subject: Option<String>,
    pub(super) data: Vec<u8>,
}

/// Reads what a function returned; a sentence that names what is wrong with it.
pub(super) fn read(output: &str) -> Result<Effects, String> {
    if output.trim().is_empty() {
        return Ok(Effects::default());
    }
    let output: Value =
        serde_json::from_str(output).map_err(|error| format!("what it returned is no JSON: {error}"))?;
    let mut reader = Reader::default();
    let effects = reader.effects(output);
    reader.finish(effects)
}

/// Gathers what is wrong on the way.
#[derive(Default)]
struct Reader(Vec<Misfit>);

impl Reader {
    fn finish(self, effects: Effects) -> Result<Effects, String> {
        let Self(misfits) = self;
        if misfits.is_empty() {
            return Ok(effects);
        }
        let said = misfits.iter().take(NAMED_MAX).map(|Misfit { pointer, detail }| {
            let place = if pointer.is_empty() { "what it returned" } else { pointer };
            format!("{place} {detail}")
        });
        let said = said.collect::<Vec<_>>().join("; ");
        let more = misfits.len().saturating_sub(NAMED_MAX);
        Err(if more == 0 { said } else { format!("{said}; and {more} more") })
    }

    fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Misfit::new(pointer, detail));
    }

    fn effects(&mut self, output: Value) -> Effects {
        if output.is_null() {
            return Effects::default();
        }
        let Some(mut fields) = self.object(String::new(), output, &["state", "commands", "events"]) else {
            return Effects::default();
        };
        Effects {
            state: fields.remove("state").map_or(Kept::AsItIs, |state| self.state(&state)),
            commands: self.each("/commands", fields.remove("commands"), Self::command),
            events: self.each("/events", fields.remove("events"), Self::event),
        }
    }

    fn state(&mut self, state: &Value) -> Kept {
        if state.is_null() {
            return Kept::Removed;
        }
        let state = serde_json::value::to_raw_value(state).expect("it was JSON");
        let bytes = state.get().len();
        if bytes > STATE_BYTES_MAX {
            self.wrong("/state", format!("has {bytes} bytes: at most {STATE_BYTES_MAX} are kept for a key"));
        }
        Kept::Changed(state)
    }

    fn command(&mut self, place: &str, command: Value) -> Option<Command> {
        let mut fields = self.object(place, command, &["type", "stream", "data", "notbefore"])?;
        let type_name = self.text(place, &mut fields, "type");
        let stream = self.text(place, &mut fields, "stream");
        let data = self.required(place, &mut fields, "data");
        let not_before = fields.remove("notbefore").and_then(|time| self.time(place, &time));
        let checked = vocabulary::check(&type_name?, &stream?, &data?);
        let misfits = |misfits: Vec<Misfit>| {
            misfits.into_iter().for_each(|m| self.wrong(format!("{place}{}", m.pointer), m.detail));
        };
        Some(Command { command: checked.map_err(misfits).ok()?, not_before })
    }

    fn event(&mut self, place: &str, event: Value) -> Option<Emitted> {
        let mut fields = self.object(place, event, &["type", "subject", "data"])?;
        let type_name = self.text(place, &mut fields, "type");
        if type_name.as_ref().is_some_and(|name| !is_name(name)) {
            let detail = format!("must be 1 to {TYPE_CHARS_MAX} characters, and no control characters");
            self.wrong(format!("{place}/type"), detail);
        }
        let has_subject = fields.contains_key("subject");
        let subject = has_subject.then(|| self.text(place, &mut fields, "subject")).flatten();
        if subject.as_ref().is_some_and(|subject| !is_attribute(subject)) {
            let detail = format!("must be 1 to {ATTRIBUTE_BYTES_MAX} bytes, and no control characters");
            self.wrong(format!("{place}/subject"), detail);
        }
        let data = self.required(place, &mut fields, "data")?.to_string().into_bytes();
        if data.len() > VALUE_BYTES_MAX {
            let detail = format!("has {} bytes: at most {VALUE_BYTES_MAX} are taken", data.len());
            self.wrong(format!("{place}/data"), detail);
        }
        if nul::is_in_json(&data) {
            self.wrong(format!("{place}/data"), "must not hold the character U+0000");
        }
        Some(Emitted { type_name: type_name?, subject, data })
    }

    /// The items of a list, which may be missing.
    fn each<T>(
        &mut self,
        place: &str,
        list: Option<Value>,
        read: impl Fn(&mut Self, &str, Value) -> Option<T>,
    ) -> Vec<T> {
        match list {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() > EFFECTS_MAX => {
                self.wrong(place, format!("has {} items: at most {EFFECTS_MAX} are taken", items.len()));
                Vec::new()
            }
            Some(Value::Array(items)) => {
                let items = items.into_iter().enumerate();
                items.filter_map(|(index, item)| read(self, &format!("{place}/{index}"), item)).collect()
            }
            Some(_) => {
                self.wrong(place, "must be a list");
                Vec::new()
            }
        }
    }

    /// An object that has no other fields than these.
    fn object(
        &mut self,
        place: impl Into<String>,
        value: Value,
        known: &[&str],
    ) -> Option<Map<String, Value>> {
        let place = place.into();
        let Value::Object(fields) = value else {
            self.wrong(place, format!("must be an object with {}", known.join(", ")));
            return None;
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let name: String = name.chars().take(100).collect();
            let name = name.replace('~', "~0").replace('/', "~1");
            self.wrong(format!("{place}/{name}"), "is unknown here: remove it, or check its spelling");
        }
        Some(fields)
    }

    fn required(&mut self, place: &str, fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
        let value = fields.remove(name);
        if value.is_none() {
            self.wrong(format!("{place}/{name}"), "is missing");
        }
        value
    }

    fn text(&mut self, place: &str, fields: &mut Map<String, Value>, name: &str) -> Option<String> {
        match self.required(place, fields, name)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(format!("{place}/{name}"), "must be a text");
                None
            }
        }
    }

    fn time(&mut self, place: &str, time: &Value) -> Option<Timestamp> {
        let parsed = time.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.wrong(format!("{place}/notbefore"), "must be a time as 2026-01-31T12:00:00Z");
        }
        parsed
    }
}

fn is_name(text: &str) -> bool {
    (1..=TYPE_CHARS_MAX).contains(&text.chars().count()) && is_plain(text)
}

fn is_attribute(text: &str) -> bool {
    (1..=ATTRIBUTE_BYTES_MAX).contains(&text.len()) && is_plain(text)
}

#[cfg(test)]
#[path = "effects_test.rs"]
mod tests;
