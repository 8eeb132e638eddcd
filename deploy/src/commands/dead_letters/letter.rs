//! Dead letters and markers, as they lie on the topic.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use factfold_projections::log_reader::{Bound, Log, Record, Stop, envelope, merge};
use factfold_schemas::{
    cloudevents::{Headers, Incoming, Outgoing},
    functions::FunctionName,
    letter::{self, BINDING, DETAIL, FUNCTION, LETTER, MARKER, MARKS, POSITION, REASON, TIMESTAMP},
    position::Position,
    topics::Service,
};
use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message as _};
use serde::{Deserialize, Serialize};

use crate::{blocking::interrupted, failure::Failure};

/// What could not be read, as it came.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Letter {
    pub(super) position: Position,
    pub(super) time: Timestamp,
    /// Where the command, or the event, lay.
    pub(super) command_position: String,
    /// When it was stored there, in milliseconds since 1970.
    pub(super) stored_ms: String,
    pub(super) reason: String,
    pub(super) detail: String,
    /// Of an event: the function that failed with it, in which of its bindings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) binding: Option<(FunctionName, u32)>,
    #[serde(serialize_with = "lossy")]
    pub(super) key: Option<Vec<u8>>,
    #[serde(serialize_with = "lossy")]
    pub(super) value: Option<Vec<u8>>,
    #[serde(serialize_with = "lossy_headers")]
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// What was done about a letter.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Marker {
    /// `published` or `dropped`.
    pub(super) done: String,
    pub(super) time: Timestamp,
    #[serde(flatten)]
    pub(super) note: Note,
}

/// What a marker says beside which it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// Who did it.
    pub(super) by: String,
    /// Why it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The id of the command that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command_id: Option<String>,
    /// The stream it was published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<String>,
}

/// A letter, and what was done about it.
#[derive(Debug, Serialize)]
pub(super) struct Case<'a> {
    #[serde(flatten)]
    pub(super) letter: &'a Letter,
    pub(super) marker: Option<&'a Marker>,
}

/// The first marker of each letter of a service that has one.
pub(super) fn markers(
    log: &Log,
    service: Service,
    stop: &Stop,
) -> Result<BTreeMap<Position, Marker>, Failure> {
    let mut markers = BTreeMap::new();
    let ended = read(log, service, stop, |record| {
        if let Some((marks, marker)) = marker_in(&record) {
            markers.entry(marks).or_insert(marker);
        }
        Ok(())
    })?;
    if ended { Ok(markers) } else { Err(interrupted()) }
}

/// Every letter of a service, in order; returns false when it was stopped.
pub(super) fn each(
    log: &Log,
    service: Service,
    stop: &Stop,
    mut each: impl FnMut(Letter) -> Result<()>,
) -> Result<bool, Failure> {
    read(log, service, stop, |record| if is_marker(&record) { Ok(()) } else { each(Letter::of(&record)) })
}

/// The letter at this position, and its markers.
pub(super) fn find(log: &Log, position: Position, stop: &Stop) -> Result<(Letter, Vec<Marker>), Failure> {
    let from = Bound::Positions(vec![position]);
    let mut lanes = log.lanes(&[position.topic], Some(position.partition), &from, &Bound::End)?;
    let (mut letter, mut markers) = (None, Vec::new());
    let ended = log.read(&mut lanes, stop, |record, _| -> Result<_> {
        if record.position() == position && !is_marker(&record) {
            letter = Some(Letter::of(&record));
        }
        markers.extend(marker_in(&record).filter(|(marks, _)| *marks == position).map(|(_, marker)| marker));
        Ok(merge::Next::Go)
    })?;
    if !ended {
        return Err(interrupted());
    }
    let letter = letter.ok_or_else(|| Failure::Refused(anyhow!("there is no dead letter at {position}")))?;
    Ok((letter, markers))
}

fn read(
    log: &Log,
    service: Service,
    stop: &Stop,
    mut each: impl FnMut(Record<'_>) -> Result<()>,
) -> Result<bool, Failure> {
    let mut lanes = log.lanes(&[service.dead_letters()], None, &Bound::Beginning, &Bound::End)?;
    let ended = log.read(&mut lanes, stop, |record, _| -> Result<_> {
        each(record)?;
        Ok(merge::Next::Go)
    })?;
    Ok(ended)
}

fn is_marker(record: &Record<'_>) -> bool {
    record.header(MARKER).is_some()
}

fn marker_in(record: &Record<'_>) -> Option<(Position, Marker)> {
    let done = record.header(MARKER)?.to_owned();
    let marks = record.header(MARKS)?.parse().ok()?;
    let note = serde_json::from_slice(record.value().unwrap_or_default()).unwrap_or_default();
    Some((marks, Marker { done, time: record.time(), note }))
}

impl Letter {
    /// Whether it is an event with which a function failed, and no command.
    pub(super) fn is_event(&self) -> bool {
        self.position.topic == Service::Functions.dead_letters()
            && self.command_position.parse::<Position>().is_ok_and(|at| at.topic.holds_events())
    }

    /// The event, for whoever gives it once more.
    pub(super) fn redelivery(&self) -> Outgoing {
        let own = self.binding.iter().flat_map(|(function, binding)| {
            [
                (POSITION, self.command_position.clone()),
                (TIMESTAMP, self.stored_ms.clone()),
                (FUNCTION, function.to_string()),
                (BINDING, binding.to_string()),
                (LETTER, self.position.to_string()),
            ]
        });
        let mut headers: Headers = self.headers.iter().map(|(name, value)| (name.clone(), value)).collect();
        headers.extend(own);
        Outgoing { key: self.key.clone(), value: self.value.clone(), headers }
    }

    fn of(record: &Record<'_>) -> Self {
        let header = |name| record.header(name).unwrap_or_default().to_owned();
        let headers = record.message.headers().into_iter().flat_map(|headers| headers.iter());
        let as_it_came = headers.filter(|header| !letter::is_own(header.key));
        let binding = || Some((header(FUNCTION).parse().ok()?, header(BINDING).parse().ok()?));
        Self {
            position: record.position(),
            time: record.time(),
            command_position: header(POSITION),
            stored_ms: header(TIMESTAMP),
            reason: header(REASON),
            detail: header(DETAIL),
            binding: binding(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: as_it_came.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
        }
    }

    /// The letter, as the codec reads it.
    pub(super) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            partition: self.position.partition,
            offset: self.position.offset,
            timestamp_ms: self.time.as_millisecond(),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect(),
        }
    }

    /// The key, for people.
    fn key(&self) -> String {
        self.key.as_ref().map_or("-".to_owned(), |key| shown(key))
    }

    /// One line.
    pub(super) fn summary(&self, marker: Option<&Marker>) -> String {
        let Self { position, time, reason, detail, .. } = self;
        let done =
            marker.map(|marker| format!("  ({} by {})", marker.done, marker.note.by)).unwrap_or_default();
        let position = position.to_string();
        let key = self.key();
        format!(
            "{position:<26}  {time}  {reason:<14}  {key:<42}  {detail}{done}",
            time = envelope::time(*time)
        )
    }

    /// Everything, on many lines.
    pub(super) fn described(&self, markers: &[Marker]) -> String {
        let mut lines = vec![
            format!("position  {}", self.position),
            format!("time      {}", envelope::time(self.time)),
            format!("{:<9} {}", if self.is_event() { "event" } else { "command" }, self.command_position),
            format!("reason    {}: {}", self.reason, self.detail),
        ];
        for marker in markers {
            let Note { by, reason, command_id, stream } = &marker.note;
            let of = |what: &str, text: &Option<String>| {
                text.as_ref().map(|text| format!("{what}{text}")).unwrap_or_default()
            };
            lines.push(format!(
                "{:<9} {} by {by}{}{}{}",
                marker.done,
                envelope::time(marker.time),
                of(", to ", stream),
                of(", with the id ", command_id),
                of(": ", reason)
            ));
        }
        lines.push(format!("key       {}", self.key()));
        lines.extend(self.headers.iter().map(|(name, value)| format!("header    {name}: {}", shown(value))));
        lines.push(
            self.value.as_ref().map_or("no value".to_owned(), |value| format!("value\n{}", shown(value))),
        );
        lines.join("\n")
    }
}

/// Bytes from anywhere, safe on a terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn lossy<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_deref().map(String::from_utf8_lossy).serialize(serializer)
}

fn lossy_headers<S: serde::Serializer>(
    headers: &[(String, Vec<u8>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
}
