//! Functions: what users write, deploy, call and bind to topics. Commands, events, rejections, and the resource that people
//! see. The code itself lies in chunks on a topic of its own ([`BLOBS`]); an event names it by its digest.
//!
//! The names of events and of their fields are the storage format: append-only.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    codec::Message,
    command::is_plain,
    ids::StreamId,
    personal::Personal,
    rejection::{Reject, RejectionKind},
    topics::{Service, Topic, TopicKind},
};

/// The topic of the functions' code. One partition: what lies there is looked up by its digest, not by its place.
pub const BLOBS: &str = "functions.blobs";

/// How Kafka must keep [`BLOBS`]: each chunk once, for ever, since history may be replayed with it.
pub const BLOBS_CONFIGURATION: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("max.message.bytes", "1048588")];

/// The most bytes of one chunk of code.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// The topic of what functions say while they run: lines of their console, and how calls failed.
pub const LOGS: &str = "functions.logs";

/// How Kafka must keep [`LOGS`]: for a day, and no more than there is room for.
pub const LOGS_CONFIGURATION: &[(&str, &str)] =
    &[("retention.ms", "86400000"), ("retention.bytes", "268435456"), ("segment.bytes", "67108864")];

/// The topic of the events that bound functions return. Others can be bound to it.
pub const EMITTED: Topic = Topic { service: Service::Functions, kind: TopicKind::Emitted };

/// The topic of what bound functions keep for each key: the last record of a key is its state. It lies in the partition of the
/// events that it comes from, whatever their topic.
pub const STATE: Topic = Topic { service: Service::Functions, kind: TopicKind::State };

/// How Kafka must keep [`STATE`]: the last state of each key for ever. A takeover reads all of a partition, so it is compacted soon.
pub const STATE_CONFIGURATION: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "67108864"),
    ("delete.retention.ms", "3600000"),
    ("message.timestamp.type", "LogAppendTime"),
    ("max.message.bytes", "1048588"),
];

/// The most bytes of what a function keeps for one key.
pub const STATE_BYTES_MAX: usize = 64 * 1024;
/// The most commands, and the most events, that a function returns at once.
pub const EFFECTS_MAX: usize = 100;

/// The most characters of a function's name.
pub const NAME_CHARS_MAX: usize = 48;
/// The most bytes of code: what fits in base64 into the 32 MiB of a body.
pub const CODE_BYTES_MAX: u64 = 23 * 1024 * 1024;
/// The most bytes of a schema of input or output. What a function is, with all its revisions, fits into one reply.
pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;
/// How many revisions a function can be rolled back over.
pub const REVISIONS_KEPT: usize = 20;
/// The most types of events that a binding names.
pub const TYPES_MAX: usize = 50;
/// The most settings, and the most secrets, of a function.
pub const SETTINGS_MAX: usize = 50;
/// The most bytes of all settings of a function together, as JSON; and of all its secrets, sealed.
pub const SETTINGS_BYTES_MAX: usize = 16 * 1024;
/// The most bytes of what a function is given at each tick of its schedule.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;
/// What nobody may claim as a path: the gateway's own.
pub const RESERVED: [&str; 8] =
    ["v1", "fn", "docs", "problems", ".well-known", "healthz", "readyz", "metrics"];

/// A function's name: lower-case letters, digits and `-`, beginning with a letter. It is what people call it by, and its
/// stream is `function-<name>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName {
    bytes: [u8; NAME_CHARS_MAX],
    length: u8,
}

/// A name that no function can have.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` cannot be a function's name: use up to {NAME_CHARS_MAX} lower-case letters, digits and `-`, beginning with a letter"
)]
pub struct InvalidName(String);

impl FunctionName {
    /// The prefix of a function's stream.
    pub const PREFIX: &'static str = "function";
    /// What a name looks like, as a regular expression.
    pub const PATTERN: &'static str = "^[a-z][a-z0-9-]{0,47}$";

    /// The name.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length.into()]).expect("a name is ASCII")
    }

    /// The stream of this function: the key of all its records.
    pub fn stream(self) -> StreamId {
        StreamId::new(format!("{}-{self}", Self::PREFIX))
    }

    /// The function whose stream this is; `None` for a stream of another kind.
    pub fn of_stream(stream: &str) -> Option<Self> {
        stream.strip_prefix(Self::PREFIX)?.strip_prefix('-')?.parse().ok()
    }
}

impl FromStr for FunctionName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=NAME_CHARS_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !fits {
            return Err(InvalidName(text.chars().take(2 * NAME_CHARS_MAX).collect()));
        }
        let mut bytes = [0; NAME_CHARS_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for FunctionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FunctionName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for FunctionName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "function-name".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}

/// How a function is written.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Language {
    /// A module with a default export: `export default function (input, context) {…}`.
    JavaScript,
    /// The same, with types, which are taken out before it runs.
    TypeScript,
    /// `def handle(input, context): …`
    Python,
    /// A WebAssembly component of the functions' world.
    Component,
    /// A WASI command: JSON on its standard input, JSON on its standard output.
    Command,
}

/// The code of a function: which, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Code {
    /// The SHA-256 of all of it, in lower-case hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// How many bytes it has.
    #[schemars(range(min = 1, max = 24_117_248))]
    pub bytes: u64,
}

impl Code {
    /// What names these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { sha256, bytes: bytes.len() as u64 }
    }
}

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long it may run, in milliseconds.
    #[schemars(range(min = 10, max = 30_000))]
    pub time_ms: u32,
    /// How much memory it may have, in bytes.
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub memory_bytes: u64,
    /// How long its output may be, in bytes.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub output_bytes: u32,
    /// How many calls may run at once, in each gateway.
    #[schemars(range(min = 1, max = 1000))]
    pub calls_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time_ms: 1000, memory_bytes: 256 * 1024 * 1024, output_bytes: 1024 * 1024, calls_max: 16 }
    }
}

impl Limits {
    fn is_sound(self) -> bool {
        (10..=30_000).contains(&self.time_ms)
            && (1_048_576..=1_073_741_824).contains(&self.memory_bytes)
            && (1..=1_048_576).contains(&self.output_bytes)
            && (1..=1000).contains(&self.calls_max)
    }
}

/// A request to the functions service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Command {
    /// Put this code in the function's place. It must be on its topic already.
    DeployFunction(DeployFunction),
    /// Put an earlier revision in its place.
    RollBackFunction(RollBackFunction),
    /// Take the function away.
    RemoveFunction(RemoveFunction),
    /// Change its settings and its secrets.
    ConfigureFunction(ConfigureFunction),
    /// Give the function every event of a topic.
    BindFunction(BindFunction),
    /// Give it no more.
    UnbindFunction(UnbindFunction),
    /// Let it tick by the clock.
    ScheduleFunction(ScheduleFunction),
    /// Let it tick no more.
    UnscheduleFunction(UnscheduleFunction),
    /// Internal: a tick is due.
    TickFunction(TickFunction),
}

impl Message for Command {
    const FAMILY: &'static str = "functions command";
}

impl Command {
    /// The types that only the system's own timers send.
    pub const INTERNAL: &'static [&'static str] = &["TickFunction"];
}

/// Put this code in the function's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployFunction {
    /// How it is written.
    pub language: Language,
    /// The code.
    pub code: Code,
    /// The path that it answers, besides `/fn/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "String", length(min = 2, max = 200))]
    pub path: Option<String>,
    /// Whether everybody may call it; else whoever has an access token.
    #[serde(default)]
    pub public: bool,
    /// What a call may take.
    #[serde(default)]
    pub limits: Limits,
    /// The JSON Schema of its input: what does not fit never reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "Value")]
    pub input_schema: Option<Value>,
    /// The JSON Schema of its output: what does not fit never leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "Value")]
    pub output_schema: Option<Value>,
}

/// Put an earlier revision in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBackFunction {
    /// Which.
    #[schemars(range(min = 1))]
    pub revision: u32,
}

/// Take the function away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFunction {}

/// Change the function's settings and its secrets: what its context has besides the call's own. Those that are not named stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigureFunction {
    /// Settings by their names; `null` takes one away. Names are letters, digits and `_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub settings: BTreeMap<String, Value>,
    /// Secrets by their names; `null` takes one away. They are sealed before they are stored, and shown to nobody but the function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub secrets: BTreeMap<String, Option<Personal>>,
}

/// What a function's context has besides the call's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// Settings by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
    /// Secrets by their names, each sealed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Personal>,
}

impl Configuration {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.secrets.is_empty()
    }

    /// What it is after this command.
    ///
    /// # Errors
    /// When a name is none, there is too much, or a secret is not sealed.
    pub fn after(&self, command: &ConfigureFunction) -> Result<Self, Rejection> {
        let invalid = |field, detail: String| Rejection::InvalidConfiguration { field, detail };
        let names = command.settings.keys().map(|name| (ConfigurationField::Settings, name));
        let names = names.chain(command.secrets.keys().map(|name| (ConfigurationField::Secrets, name)));
        for (field, name) in names {
            if !is_setting_name(name) {
                let name: String = name.chars().take(60).collect();
                let detail = format!(
                    "`{name}` is no name: use up to 64 letters, digits and `_`, not beginning with a digit"
                );
                return Err(invalid(field, detail));
            }
        }
        let mut after = self.clone();
        for (name, value) in &command.settings {
            if value.is_null() {
                after.settings.remove(name);
            } else {
                after.settings.insert(name.clone(), value.clone());
            }
        }
        for (name, secret) in &command.secrets {
            match secret {
                None => drop(after.secrets.remove(name)),
                Some(secret) if secret.is_sealed() => {
                    drop(after.secrets.insert(name.clone(), secret.clone()))
                }
                Some(_) => {
                    return Err(invalid(ConfigurationField::Secrets, format!("`{name}` is not sealed")));
                }
            }
        }
        let too_much =
            format!("a function has at most {SETTINGS_MAX}, and {SETTINGS_BYTES_MAX} bytes of them together");
        let bytes = |value: Result<String, _>| value.map_or(usize::MAX, |text: String| text.len());
        let is_too_much = |count, text| count > SETTINGS_MAX || bytes(text) > SETTINGS_BYTES_MAX;
        if is_too_much(after.settings.len(), serde_json::to_string(&after.settings)) {
            return Err(invalid(ConfigurationField::Settings, too_much));
        }
        if is_too_much(after.secrets.len(), serde_json::to_string(&after.secrets)) {
            return Err(invalid(ConfigurationField::Secrets, too_much));
        }
        Ok(after)
    }
}

/// What a setting or a secret can be called, in every language of functions.
fn is_setting_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// From where on a bound function is given events: `beginning`, `now`, or a time of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// From the first that there is.
    Beginning,
    /// From now on.
    Now,
    /// From this time on, by the broker's clock.
    At(Timestamp),
}

/// A text that says no place to start from.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no start: say `beginning`, `now`, or a time as 2026-01-31T12:00:00Z")]
pub struct InvalidStart(String);

impl FromStr for Start {
    type Err = InvalidStart;
    fn from_str(text: &str) -> Result<Self, InvalidStart> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            time => time.parse().map(Self::At).map_err(|_| InvalidStart(time.chars().take(60).collect())),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::Now => f.write_str("now"),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl TryFrom<String> for Start {
    type Error = InvalidStart;
    fn try_from(text: String) -> Result<Self, InvalidStart> {
        text.parse()
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        start.to_string()
    }
}

impl JsonSchema for Start {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "start".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["beginning", "now"] },
            { "type": "string", "format": "date-time" },
        ] })
    }
}

/// Give the function every event of a topic, each once in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BindFunction {
    /// The topic: `orders.events`, or `functions.emitted`. Of `functions.events` it is given what is about itself: its own ticks.
    #[schemars(length(min = 1, max = 100))]
    pub topic: String,
    /// The types of events that it is given; all of them where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub types: Vec<String>,
    /// From where on.
    pub from: Start,
}

/// Give it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnbindFunction {}

/// Let it tick by the clock: each tick is an event of its stream, which it is given where it is bound to `functions.events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFunction {
    /// When: minute, hour, day of the month, month and day of the week, as `0 6 * * MON-FRI`.
    #[schemars(length(min = 1, max = 200))]
    pub cron: String,
    /// By whose clock: a name of the IANA time zone database, as `Europe/Berlin`, or `UTC`.
    #[schemars(length(min = 1, max = 100))]
    pub time_zone: String,
    /// What each tick says, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
}

/// Let it tick no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnscheduleFunction {}

/// A tick is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TickFunction {
    /// Of which schedule.
    #[schemars(range(min = 1))]
    pub schedule: u32,
    /// Which one.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub due: Timestamp,
}

/// A fact of the functions service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Event {
    /// Other code is in its place.
    FunctionDeployed(FunctionDeployed),
    /// An earlier revision is in its place.
    FunctionRolledBack(FunctionRolledBack),
    /// It is gone.
    FunctionRemoved(FunctionRemoved),
    /// It has other settings or secrets.
    FunctionConfigured(FunctionConfigured),
    /// It is given the events of a topic.
    FunctionBound(FunctionBound),
    /// It is given no more events.
    FunctionUnbound(FunctionUnbound),
    /// It ticks by the clock.
    FunctionScheduled(FunctionScheduled),
    /// It ticks no more.
    FunctionUnscheduled(FunctionUnscheduled),
    /// A time of its schedule has come.
    FunctionTicked(FunctionTicked),
}

impl Message for Event {
    const FAMILY: &'static str = "functions event";
}

/// Other code is in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionDeployed {
    /// 1, 2, 3 … within the function, also after it was removed.
    pub revision: u32,
    /// How it is written.
    pub language: Language,
    /// The code.
    pub code: Code,
    /// The path that it answers, besides `/fn/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether everybody may call it; else whoever has an access token.
    pub public: bool,
    /// What a call may take.
    pub limits: Limits,
    /// The JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// The JSON Schema of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// An earlier revision is in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionRolledBack {
    /// Which.
    pub revision: u32,
}

/// It is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionRemoved {}

/// It has other settings or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionConfigured {
    /// All that it has now.
    #[serde(flatten)]
    pub configuration: Configuration,
}

/// It is given the events of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionBound {
    /// 1, 2, 3 … within the function. Each binding begins anew, with a state and a place of its own.
    pub binding: u32,
    /// The topic.
    pub topic: String,
    /// The types of events that it is given; all of them where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// From which time on, by the broker's clock; from the first event on where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub from: Option<Timestamp>,
}

/// It is given no more events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionUnbound {}

/// It ticks by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionScheduled {
    /// 1, 2, 3 … within the function.
    pub schedule: u32,
    /// When, in five fields.
    pub cron: String,
    /// By whose clock.
    pub time_zone: String,
    /// What each tick says.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// The first tick; of a function as people see it, the next one. None where none comes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next: Option<Timestamp>,
}

/// It ticks no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionUnscheduled {}

/// A time of its schedule has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionTicked {
    /// Of which schedule.
    pub schedule: u32,
    /// Which time. The event may be later: nothing ran, or much was to do.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub due: Timestamp,
    /// What each tick says.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// The next one. None where none comes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next: Option<Timestamp>,
}

/// Why the functions service said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Rejection {
    /// The effect is already there.
    #[error("nothing to do: it is so already")]
    NoChange,
    /// Nothing with this name.
    #[error("there is no function with this name: deploy one first")]
    FunctionNotFound,
    /// No revision with this number, or one that is too long ago.
    #[error("there is no revision {revision} to go back to: {REVISIONS_KEPT} are kept")]
    RevisionNotFound {
        /// The one that was asked for.
        revision: u32,
    },
    /// The digest or the length of the code cannot be.
    #[error(
        "the code is named by its SHA-256, 64 lower-case hexadecimal digits, and has 1 to {CODE_BYTES_MAX} bytes"
    )]
    InvalidCode,
    /// A path that a function cannot have.
    #[error(
        "a path is `/` and then letters, digits, `-`, `_`, `.` and `/`, at most 200, and does not begin with one of the gateway's own"
    )]
    InvalidPath,
    /// A limit is out of bounds.
    #[error(
        "a call may take 10 to 30000 ms, 1 MiB to 1 GiB of memory and 1 byte to 1 MiB of output, and 1 to 1000 may run at once"
    )]
    InvalidLimits,
    /// A schema is no object, or too long.
    #[error("a schema is a JSON object of at most {SCHEMA_BYTES_MAX} bytes")]
    InvalidSchema,
    /// The topic holds no events.
    #[error("a function is bound to a topic of events, as orders.events; `{topic}` is none")]
    InvalidTopic {
        /// The one that was named.
        topic: String,
    },
    /// Too many types, or one that is no name.
    #[error("at most {TYPES_MAX} types can be named, each with 1 to 100 characters")]
    InvalidTypes,
    /// It is bound already.
    #[error("it is bound to {topic} already: unbind it first")]
    AlreadyBound {
        /// The topic.
        topic: String,
    },
    /// A name that is none, too much, or a secret that everybody could read.
    #[error("the {field} of a function: {detail}")]
    InvalidConfiguration {
        /// Which of them.
        field: ConfigurationField,
        /// What is wrong.
        detail: String,
    },
    /// No such times, or too much is to be said at each of them.
    #[error("the {field} of a schedule: {detail}")]
    InvalidSchedule {
        /// The field.
        field: ScheduleField,
        /// What is wrong with it.
        detail: String,
    },
    /// It has a schedule already.
    #[error("it is scheduled already ({cron}, {time_zone}): unschedule it first")]
    AlreadyScheduled {
        /// When it ticks.
        cron: String,
        /// By whose clock.
        time_zone: String,
    },
}

/// A part of a function's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ConfigurationField {
    /// What everybody may see.
    Settings,
    /// What nobody may see.
    Secrets,
}

/// A field of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ScheduleField {
    /// When.
    Cron,
    /// By whose clock.
    TimeZone,
    /// What each tick says.
    Input,
}

impl Reject for Rejection {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::NoChange => RejectionKind::NoChange,
            Self::FunctionNotFound | Self::RevisionNotFound { .. } => RejectionKind::NotFound,
            Self::InvalidCode
            | Self::InvalidPath
            | Self::InvalidLimits
            | Self::InvalidSchema
            | Self::InvalidTopic { .. }
            | Self::InvalidTypes
            | Self::InvalidConfiguration { .. }
            | Self::InvalidSchedule { .. } => RejectionKind::Invalid,
            Self::AlreadyBound { .. } | Self::AlreadyScheduled { .. } => RejectionKind::Conflict,
        }
    }

    fn pointer(&self) -> Option<String> {
        let pointer = match self {
            Self::InvalidCode => "/code",
            Self::InvalidPath => "/path",
            Self::InvalidLimits => "/limits",
            Self::InvalidTopic { .. } => "/topic",
            Self::InvalidTypes => "/types",
            Self::InvalidConfiguration { field, .. } => return Some(format!("/{field}")),
            Self::InvalidSchedule { field, .. } => return Some(format!("/{field}")),
            _ => return None,
        };
        Some(pointer.to_owned())
    }
}

impl DeployFunction {
    /// What is wrong with it, whatever there is already.
    pub fn check(&self) -> Result<(), Rejection> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest = self.code.sha256.len() == 64 && self.code.sha256.bytes().all(is_hex);
        if !is_digest || !(1..=CODE_BYTES_MAX).contains(&self.code.bytes) {
            return Err(Rejection::InvalidCode);
        }
        if self.path.as_deref().is_some_and(|path| !is_path(path)) {
            return Err(Rejection::InvalidPath);
        }
        if !self.limits.is_sound() {
            return Err(Rejection::InvalidLimits);
        }
        let is_schema = |schema: &Value| schema.is_object() && schema.to_string().len() <= SCHEMA_BYTES_MAX;
        if ![&self.input_schema, &self.output_schema].into_iter().flatten().all(is_schema) {
            return Err(Rejection::InvalidSchema);
        }
        Ok(())
    }
}

/// Whether a function can claim this path.
fn is_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let first = rest.split('/').next().unwrap_or_default();
    path.len() <= 200
        && rest.split('/').all(is_segment)
        && !RESERVED.contains(&first)
        // `/openapi.json`, `/asyncapi.json`, and whatever of that kind comes.
        && !(first.ends_with(".json") && first == rest)
}

impl BindFunction {
    /// What is wrong with it, whatever there is already.
    pub fn check(&self) -> Result<(), Rejection> {
        let topic = self.topic.parse::<Topic>().ok();
        if !topic.is_some_and(Topic::holds_events) {
            return Err(Rejection::InvalidTopic { topic: self.topic.chars().take(100).collect() });
        }
        let is_name = |name: &String| (1..=100).contains(&name.chars().count()) && is_plain(name);
        if self.types.len() > TYPES_MAX || !self.types.iter().all(is_name) {
            return Err(Rejection::InvalidTypes);
        }
        Ok(())
    }
}

/// A function as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Function {
    /// The name.
    pub name: FunctionName,
    /// The version of the last event of the stream.
    pub version: u64,
    /// When it was deployed first.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
    /// The revision that answers calls; none once it was removed.
    pub revision: Option<u32>,
    /// Every revision that it can be put back to, the newest last.
    pub revisions: Vec<FunctionDeployed>,
    /// The topic whose events it is given.
    pub binding: Option<FunctionBound>,
    /// When it ticks.
    pub schedule: Option<FunctionScheduled>,
    /// What its context has besides a call's own. A secret is shown as it is stored, sealed.
    #[serde(default, skip_serializing_if = "Configuration::is_empty")]
    pub configuration: Configuration,
}

impl Function {
    /// The revision that answers calls.
    pub fn current(&self) -> Option<&FunctionDeployed> {
        self.revisions.iter().find(|deployed| Some(deployed.revision) == self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_people_can_type() {
        for good in ["add", "a", "fraud-check-2"] {
            let name: FunctionName = good.parse().expect("a name");
            assert_eq!(FunctionName::of_stream(name.stream().as_str()), Some(name), "{good}");
        }
        for wrong in ["", "Add", "1a", "-a", "a_b", "a/b", "ä", &"a".repeat(49)] {
            assert!(wrong.parse::<FunctionName>().is_err(), "{wrong}");
        }
        assert_eq!(FunctionName::of_stream("functions-add"), None);
    }

    #[test]
    fn a_path_is_none_of_the_gateways_own() {
        for good in ["/add", "/shop/v1/add", "/a.b", "/A_b-c", "/schemas/order.json"] {
            assert!(is_path(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(200));
        for wrong in [
            "add",
            "/",
            "/v1/orders",
            "/fn/add",
            "/a//b",
            "/a/",
            "/..",
            "/a b",
            "/openapi.json",
            "/%61",
            &long,
        ] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }
}
