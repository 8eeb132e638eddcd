//! What the decider leaves behind: events, and one outcome record for each command that gave none. Every such record
//! names its cause, so that each fold can check for itself that nothing is missing and nothing happened twice.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cloudevents::{CloudEvent, HeaderWriter, Incoming, NotACloudEvent, Outgoing},
    codec::{DecodeError, Message, Named as _, data_schema, decode, encode},
    command::{Auth, Digest, Header, InvalidAttribute, attribute},
    ids::StreamId,
    position::Position,
    rejection::Rejection,
    topics::Service,
};

/// Which command a record follows from, and in what connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The command's id.
    pub command_id: String,
    /// The command's source; together with stream and id it is the command's identity.
    pub source: String,
    /// What the command said.
    pub digest: Digest,
    /// Where the client stored the command.
    pub stored: Position,
    /// The record that was decided: the same, unless the command was misplaced and forwarded. It rises within a
    /// partition.
    pub decided: Position,
    /// The broker's time of the command: the decider's "now".
    pub time: Timestamp,
    /// What belongs together, across streams and services.
    pub correlation: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// On whose behalf.
    pub auth: Option<Auth>,
}

impl Cause {
    /// The cause that the command with this header is, once it is decided at `decided`.
    pub fn of(header: &Header, digest: Digest, decided: Position, time: Timestamp) -> Self {
        Self {
            command_id: header.id.clone(),
            source: header.source.clone(),
            digest,
            stored: header.forwarded_from.unwrap_or(decided),
            decided,
            time,
            correlation: header.correlation.clone(),
            traceparent: header.traceparent.clone(),
            auth: header.auth.clone(),
        }
    }

    fn write(&self, headers: HeaderWriter) -> HeaderWriter {
        let moved = self.stored != self.decided;
        let headers = headers
            .with("ce_time", self.time)
            .with("ce_causationid", &self.command_id)
            .with("ce_causationsource", &self.source)
            .with("ce_commanddigest", self.digest)
            .with("ce_decidedposition", self.decided)
            .with_some("ce_commandposition", moved.then_some(self.stored))
            .with_some("ce_correlationid", self.correlation.as_ref())
            .with_some("ce_traceparent", self.traceparent.as_ref());
        Auth::write(self.auth.as_ref(), headers)
    }

    fn read(event: &CloudEvent<'_>) -> Result<Self, Unreadable> {
        let decided = required(event, "decidedposition", "a position")?;
        Ok(Self {
            command_id: required(event, "causationid", "a short text")?,
            source: required(event, "causationsource", "a short text")?,
            digest: required(event, "commanddigest", "a digest")?,
            stored: attribute(event, "commandposition", "a position")?.unwrap_or(decided),
            decided,
            time: required(event, "time", "an RFC 3339 time")?,
            correlation: attribute(event, "correlationid", "a short text")?,
            traceparent: attribute(event, "traceparent", "a short text")?,
            auth: Auth::read(event)?,
        })
    }
}

/// Why a record of events or outcomes cannot be read. These are written by deciders only: it means that somebody else
/// wrote to the topic, or that a newer version did.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No CloudEvent.
    #[error(transparent)]
    NotACloudEvent(#[from] NotACloudEvent),
    /// An attribute that must be there is not.
    #[error("the attribute `{0}` is missing")]
    Missing(&'static str),
    /// An attribute is not what it must be.
    #[error(transparent)]
    Attribute(#[from] InvalidAttribute),
    /// The type or the value is unknown.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The key is no text.
    #[error("the key is missing or not UTF-8")]
    Key,
}

fn required<T: std::str::FromStr>(
    event: &CloudEvent<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, Unreadable> {
    attribute(event, name, expected)?.ok_or(Unreadable::Missing(name))
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<E> {
    /// Whose history it belongs to.
    pub stream: StreamId,
    /// 1, 2, 3 … within the stream, without gaps.
    pub version: u64,
    /// The command that it follows from.
    pub cause: Cause,
    /// What happened.
    pub data: E,
}

impl<E: Message> Recorded<E> {
    /// The event's id: `<stream>@<version>`.
    pub fn id(&self) -> String {
        event_id(&self.stream, self.version).to_string()
    }

    /// The record of this event.
    pub fn record(&self, service: Service) -> Outgoing {
        event_record(service, &self.stream, self.version, &self.cause, &self.data)
    }

    /// Reads an event back.
    pub fn read(record: &Incoming<'_>) -> Result<Self, Unreadable> {
        let event = CloudEvent::read(record)?;
        let stream = record.key.and_then(|key| std::str::from_utf8(key).ok()).ok_or(Unreadable::Key)?;
        let type_name = event.get("type").ok_or(Unreadable::Missing("type"))?;
        Ok(Self {
            stream: StreamId::new(stream),
            version: required(&event, "streamversion", "a version")?,
            cause: Cause::read(&event)?,
            data: decode(type_name, &event.data)?,
        })
    }
}

/// `<stream>@<version>`.
fn event_id(stream: &StreamId, version: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{stream}@{version}"))
}

/// The record of an event, without anybody having to own its parts.
pub fn event_record<E: Message>(
    service: Service,
    stream: &StreamId,
    version: u64,
    cause: &Cause,
    data: &E,
) -> Outgoing {
    let type_name = data.type_name();
    let headers = HeaderWriter::new(event_id(stream, version), type_name, format_args!("/{service}"))
        .with("ce_subject", stream)
        .with("ce_dataschema", data_schema(service, type_name))
        .with("ce_streamversion", version);
    Outgoing {
        key: Some(stream.as_str().into()),
        value: Some(encode(data)),
        headers: cause.write(headers).finish(),
    }
}

/// What became of a command that gave no events.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Outcome {
    /// It broke a rule.
    Rejected(Rejected),
    /// Its effect was there already.
    NoChange(NoChange),
    /// It had been decided before, under the same id.
    Repeated(Repeated),
    /// It lay where its key does not belong, and was moved.
    Forwarded(Forwarded),
    /// It could not be read.
    DeadLettered(DeadLettered),
    /// It waits for its time, and comes again then.
    Scheduled(Scheduled),
}

impl Message for Outcome {
    const FAMILY: &'static str = "outcome";
}

/// The command broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The command's type.
    pub command: String,
    /// The rule.
    pub rejection: Rejection,
}

/// The command's effect was there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoChange {
    /// The command's type.
    pub command: String,
}

/// The command had been decided before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repeated {
    /// The command's type.
    pub command: String,
    /// Where it was decided first.
    pub first: Position,
}

/// The command was moved to where its key belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forwarded {
    /// The partition in which it lay.
    pub from: i32,
    /// The partition to which it was moved. (Its offset there is not known before the transaction ends; its trace names
    /// the command's first position.)
    pub to: i32,
}

/// The command could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLettered {
    /// Why.
    pub reason: DeadLetterReason,
}

/// The command waits for its time. A copy of it is decided then, whose trace names the command's first position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scheduled {
    /// The command's type.
    pub command: String,
    /// Its `notbefore`.
    #[schemars(with = "String")]
    pub due: Timestamp,
}

/// Why a record could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterReason {
    /// In kebab-case: `unknown-type`, `invalid-json` …
    pub name: String,
    /// One sentence for people.
    pub detail: String,
}

/// An outcome as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedOutcome {
    /// The key of the command, where it had one that is a text.
    pub stream: Option<StreamId>,
    /// The command.
    pub cause: Cause,
    /// The position of the last command of the partition that gave events before: what a read must have seen to be
    /// after this outcome.
    pub after: Option<Position>,
    /// What became of it.
    pub outcome: Outcome,
}

impl RecordedOutcome {
    /// The record of this outcome.
    pub fn record(&self, service: Service) -> Outgoing {
        let type_name = self.outcome.type_name();
        let headers = HeaderWriter::new(self.cause.decided, type_name, format_args!("/{service}"))
            .with_some("ce_subject", self.stream.as_ref())
            .with("ce_dataschema", data_schema(service, type_name))
            .with_some("ce_after", self.after);
        Outgoing {
            key: self.stream.as_ref().map(|stream| stream.as_str().into()),
            value: Some(encode(&self.outcome)),
            headers: self.cause.write(headers).finish(),
        }
    }

    /// Reads an outcome back.
    pub fn read(record: &Incoming<'_>) -> Result<Self, Unreadable> {
        let event = CloudEvent::read(record)?;
        let stream =
            record.key.map(|key| std::str::from_utf8(key).map_err(|_| Unreadable::Key)).transpose()?;
        let type_name = event.get("type").ok_or(Unreadable::Missing("type"))?;
        Ok(Self {
            stream: stream.map(StreamId::new),
            cause: Cause::read(&event)?,
            after: attribute(&event, "after", "a position")?,
            outcome: decode(type_name, &event.data)?,
        })
    }
}

/// What a client is told about its command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Answer {
    /// It gave events; the last of them has this version.
    Accepted {
        /// The stream's version after the command.
        version: u64,
    },
    /// It broke a rule.
    Rejected {
        /// The rule.
        rejection: Rejection,
    },
    /// Its effect was there already.
    NoChange,
    /// It could not be read.
    DeadLettered {
        /// Why.
        reason: DeadLetterReason,
    },
    /// It waits for its time.
    Scheduled {
        /// Its `notbefore`.
        #[schemars(with = "String", extend("format" = "date-time"))]
        due: Timestamp,
    },
}

/// The answer to one command, on its way to the gateway that waits for it. It lives on the replies topic for an hour, and
/// is no part of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's id.
    pub command_id: String,
    /// What the command said: the same id with another content is another question.
    pub digest: Digest,
    /// Where the client stored the command.
    pub position: Position,
    /// What became of it, or of the first one under its id.
    pub answer: Answer,
    /// Whether it had been decided before.
    pub repeated: bool,
    /// The resource as this decision left it.
    pub resource: Option<serde_json::Value>,
}

impl Reply {
    /// The record of this reply.
    pub fn record(&self, reply_to: &str) -> Outgoing {
        let headers = HeaderWriter::new(&self.command_id, "Reply", "/replies").with("ce_replyto", reply_to);
        Outgoing {
            key: Some(self.command_id.as_bytes().to_vec()),
            value: Some(serde_json::to_vec(self).expect("a reply is plain data")),
            headers: headers.finish(),
        }
    }
}
