//! What travels with a command: who sent it, when, why, and where its answer goes.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    cloudevents::{CloudEvent, HeaderWriter, Outgoing},
    codec::{Message, data_schema, encode},
    ids::StreamId,
    position::Position,
    topics::Service,
};

/// The largest value of a command, in bytes.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// The longest attribute of a command (its id, its source …), in bytes. What is longer is a dead letter.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// How far ahead of the time at which it is stored a command's `notbefore` may lie: a year.
pub const NOT_BEFORE_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The headers of a command, typed. What a plain client left out is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Names the command within its source and stream; a repeat has the same.
    pub id: String,
    /// Who made the id: `/clients/<user>` for the gateway's callers, `/topics/<topic>` where nothing was said.
    pub source: String,
    /// On a copy (a forwarded one, or one that a timer published): where the client stored the command.
    pub forwarded_from: Option<Position>,
    /// On a copy that a timer published: the record that set the timer.
    pub scheduled_from: Option<Position>,
    /// What belongs together, across streams and services.
    pub correlation: Option<String>,
    /// What this command follows from: the event or outcome that a reactor answered.
    pub causation: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// On whose behalf; `None` when whoever may write to the topic is trusted to act for anyone.
    pub auth: Option<Auth>,
    /// Until when it waits before it is decided.
    pub not_before: Option<Timestamp>,
    /// From when on nobody wants it any more.
    pub expires: Option<Timestamp>,
    /// The version of the stream that the command expects (`If-Match`).
    pub expected_version: Option<u64>,
    /// Who waits for the answer.
    pub reply_to: Option<ReplyTo>,
}

/// A header that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the attribute `{name}` is not {expected}: `{value}`")]
pub struct InvalidAttribute {
    /// Which.
    pub name: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// The beginning of what was there.
    pub value: String,
}

impl InvalidAttribute {
    fn new(name: &'static str, expected: &'static str, text: &str) -> Self {
        Self { name, expected, value: text.chars().take(100).collect() }
    }
}

impl Header {
    /// A command's header with only what must be there.
    pub fn new(id: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            forwarded_from: None,
            scheduled_from: None,
            correlation: None,
            causation: None,
            traceparent: None,
            auth: None,
            not_before: None,
            expires: None,
            expected_version: None,
            reply_to: None,
        }
    }

    /// Reads the header of the command that lies at `position`.
    pub fn read(event: &CloudEvent<'_>, position: Position) -> Result<Self, InvalidAttribute> {
        refuse_control_characters(event)?;
        let forwarded_from = attribute(event, "commandposition", "a position")?;
        let text = |name| attribute::<String>(event, name, "a short text");
        let not_before = attribute(event, "notbefore", "an RFC 3339 time")?;
        let expires = attribute(event, "expirytime", "an RFC 3339 time")?;
        if expires.is_some() && expires <= not_before {
            let value = event.get("expirytime").unwrap_or_default().to_owned();
            return Err(InvalidAttribute { name: "expirytime", expected: "later than `notbefore`", value });
        }
        Ok(Self {
            id: text("id")?.unwrap_or_else(|| forwarded_from.unwrap_or(position).to_string()),
            source: text("source")?.unwrap_or_else(|| format!("/topics/{}", position.topic)),
            forwarded_from,
            scheduled_from: attribute(event, "scheduledposition", "a position")?,
            correlation: text("correlationid")?,
            causation: text("causationid")?,
            traceparent: text("traceparent")?,
            auth: Auth::read(event)?,
            not_before,
            expires,
            expected_version: attribute(event, "expectedversion", "a version")?,
            reply_to: attribute(event, "replyto", "<partition>/<gateway instance>")?,
        })
    }

    /// The record of a command with this header.
    pub fn record(&self, service: Service, stream: &StreamId, type_name: &str, value: Vec<u8>) -> Outgoing {
        let headers = HeaderWriter::new(&self.id, type_name, &self.source)
            .with("ce_subject", stream.as_str())
            .with("ce_dataschema", data_schema(service, type_name))
            .with_some("ce_correlationid", self.correlation.as_ref())
            .with_some("ce_causationid", self.causation.as_ref())
            .with_some("ce_traceparent", self.traceparent.as_ref())
            .with_some("ce_notbefore", self.not_before)
            .with_some("ce_expirytime", self.expires)
            .with_some("ce_expectedversion", self.expected_version)
            .with_some("ce_replyto", self.reply_to.as_ref())
            .with_some("ce_commandposition", self.forwarded_from)
            .with_some("ce_scheduledposition", self.scheduled_from);
        Outgoing {
            key: Some(stream.as_str().into()),
            value: Some(value),
            headers: Auth::write(self.auth.as_ref(), headers).finish(),
        }
    }

    /// The record of a new command.
    pub fn record_of<M: Message>(&self, service: Service, stream: &StreamId, command: &M) -> Outgoing {
        self.record(service, stream, command.type_name(), encode(command))
    }
}

/// Whether CloudEvents has such a text as an attribute: one without control characters.
///
/// Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>
pub fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// Attributes that are taken as they come. What follows from a command says them again: they are looked at here, once.
fn refuse_control_characters(event: &CloudEvent<'_>) -> Result<(), InvalidAttribute> {
    const TEXTS: [&str; 7] =
        ["id", "source", "correlationid", "causationid", "traceparent", "authtype", "authid"];
    let mut said = TEXTS.into_iter().filter_map(|name| Some((name, event.get(name)?)));
    match said.find(|(_, text)| !is_plain(text)) {
        Some((name, text)) => Err(InvalidAttribute::new(name, "a text without control characters", text)),
        None => Ok(()),
    }
}

/// An attribute of the event, parsed, when it is there.
pub(crate) fn attribute<T: FromStr>(
    event: &CloudEvent<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, InvalidAttribute> {
    let Some(text) = event.get(name) else { return Ok(None) };
    match text.parse() {
        Ok(value) if text.len() <= ATTRIBUTE_BYTES_MAX => Ok(Some(value)),
        _ => Err(InvalidAttribute::new(name, expected, text)),
    }
}

/// On whose behalf something is done: CloudEvents' auth context extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// A user, whom the gateway has authenticated.
    User(String),
    /// The system itself: a reactor, a timer.
    System(String),
    /// Any other kind that CloudEvents knows, as it came: `service_account`, `api_key` …
    Other(String, Option<String>),
}

impl Auth {
    /// What [`Auth::kind`] and [`Auth::id`] say.
    pub fn new(kind: String, id: Option<String>) -> Self {
        match (kind.as_str(), id) {
            ("user", Some(id)) => Self::User(id),
            ("system", Some(id)) => Self::System(id),
            (_, id) => Self::Other(kind, id),
        }
    }

    pub(crate) fn read(event: &CloudEvent<'_>) -> Result<Option<Self>, InvalidAttribute> {
        let id = attribute::<String>(event, "authid", "a short text")?;
        let kind = attribute::<String>(event, "authtype", "a short text")?;
        // A user who is nobody must not pass for somebody who may act for anyone.
        if kind.as_deref() == Some("user") && id.is_none() {
            return Err(InvalidAttribute {
                name: "authid",
                expected: "there, as authtype=user demands",
                value: String::new(),
            });
        }
        Ok(kind.map(|kind| Self::new(kind, id)))
    }

    pub(crate) fn write(auth: Option<&Self>, headers: HeaderWriter) -> HeaderWriter {
        let Some(auth) = auth else { return headers };
        headers.with("ce_authtype", auth.kind()).with_some("ce_authid", auth.id())
    }

    /// `ce_authtype`.
    pub fn kind(&self) -> &str {
        match self {
            Self::User(_) => "user",
            Self::System(_) => "system",
            Self::Other(kind, _) => kind,
        }
    }

    /// `ce_authid`.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::User(id) | Self::System(id) => Some(id),
            Self::Other(_, id) => id.as_deref(),
        }
    }

    /// The user on whose behalf it is done, if it is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(id) => Some(id),
            _ => None,
        }
    }
}

/// Where the answer to a command goes: the partition of the replies topic, and who reads it there. Gateways may share a
/// partition; each skips what is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The partition of the replies topic.
    pub partition: i32,
    /// The gateway's instance.
    pub gateway: String,
}

impl fmt::Display for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.gateway)
    }
}

impl FromStr for ReplyTo {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (partition, gateway) = text.split_once('/').ok_or(())?;
        match partition.parse() {
            Ok(partition) if partition >= 0 => Ok(Self { partition, gateway: gateway.to_owned() }),
            _ => Err(()),
        }
    }
}

/// What a command says, in 128 bits of SHA-256 over its type and value: the same id with another digest is another
/// command under a used name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of a command.
    pub fn of(type_name: &str, value: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(type_name).chain_update([0]).chain_update(value).finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        Self(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 16 bytes are 22 characters.
        let mut text = [0; 22];
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = base64::DecodeSliceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut digest)? {
            16 => Ok(Self(digest)),
            _ => Err(base64::DecodeSliceError::OutputSliceTooSmall),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cloudevents::Incoming, goods, ids::GoodsId};

    fn position() -> Position {
        Position::new(Service::Goods.commands(), 1, 42)
    }

    fn reread(record: &Outgoing) -> Result<Header, InvalidAttribute> {
        Header::read(&CloudEvent::read(&record.incoming()).expect("an event"), position())
    }

    #[test]
    fn a_plain_command_gets_its_id_from_its_position() {
        let record = Incoming { value: Some(b"{}"), headers: vec![("ce_type", b"X")], ..Incoming::default() };
        let header =
            Header::read(&CloudEvent::read(&record).expect("an event"), position()).expect("a header");
        assert_eq!(header, Header::new("goods.commands/1@42", "/topics/goods.commands"));
    }

    #[test]
    fn a_full_header_survives() {
        let header = Header {
            correlation: Some("c".into()),
            causation: Some("d".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            auth: Some(Auth::User("u".into())),
            not_before: Some("2025-12-31T23:59:59.5Z".parse().expect("a time")),
            expires: Some("2026-01-01T00:00:00Z".parse().expect("a time")),
            expected_version: Some(3),
            reply_to: Some(ReplyTo { partition: 2, gateway: "g".into() }),
            ..Header::new("id", "/clients/u")
        };
        let stream = GoodsId::generate().stream();
        let command = goods::Command::DiscontinueGoods(goods::DiscontinueGoods {});
        assert_eq!(reread(&header.record_of(Service::Goods, &stream, &command)).expect("a header"), header);
    }

    #[test]
    fn a_copy_keeps_its_first_position_and_id() {
        let first = Position::new(Service::Goods.commands(), 3, 7);
        let header = Header {
            forwarded_from: Some(first),
            scheduled_from: Some(Position::new(Service::Goods.commands(), 1, 9)),
            ..Header::new(first.to_string(), "/topics/goods.commands")
        };
        let record = header.record(Service::Goods, &GoodsId::generate().stream(), "X", b"{}".to_vec());
        assert_eq!(reread(&record).expect("a header"), header);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_named() {
        for (name, value) in [
            ("ce_expirytime", "soon"),
            ("ce_notbefore", "tomorrow"),
            ("ce_scheduledposition", "here"),
            ("ce_replyto", "-1/x"),
            ("ce_commandposition", "there"),
            ("ce_authtype", "user"),
        ] {
            let record = Incoming {
                value: Some(b"{}"),
                headers: vec![(name, value.as_bytes())],
                ..Incoming::default()
            };
            let error = Header::read(&CloudEvent::read(&record).expect("an event"), position())
                .expect_err("unreadable");
            assert!(error.to_string().contains(value), "{name}: {error}");
        }
        let long = "x".repeat(ATTRIBUTE_BYTES_MAX + 1);
        let record =
            Incoming { value: Some(b"{}"), headers: vec![("ce_id", long.as_bytes())], ..Incoming::default() };
        assert!(Header::read(&CloudEvent::read(&record).expect("an event"), position()).is_err());
    }

    #[test]
    fn what_expires_before_its_time_is_refused() {
        let read = |expires: &str| {
            let headers = [("ce_notbefore", "2026-01-01T00:00:00Z"), ("ce_expirytime", expires)];
            let headers = headers.map(|(name, value)| (name, value.as_bytes())).to_vec();
            let record = Incoming { value: Some(b"{}"), headers, ..Incoming::default() };
            Header::read(&CloudEvent::read(&record).expect("an event"), position())
        };
        let error = read("2026-01-01T00:00:00Z").expect_err("never wanted").to_string();
        assert!(error.contains("`expirytime` is not later than `notbefore`"), "{error}");
        read("2026-01-01T00:00:00.001Z").expect("a millisecond in which it is wanted");
    }

    #[test]
    fn a_digest_tells_type_and_value_apart() {
        let digest = Digest::of("A", b"{}");
        assert_eq!(digest.to_string().parse::<Digest>().expect("a digest"), digest);
        assert_ne!(digest, Digest::of("A{", b"}"));
        assert_ne!(digest, Digest::of("B", b"{}"));
    }
}
