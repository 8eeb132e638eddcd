//! Functions: what users write, deploy, call and bind to topics. Commands, events, rejections, and the resource that people
//! see. The code itself lies in chunks on a topic of its own ([`BLOBS`]); an event names it by its digest.
//!
//! The names of events and of their fields are the storage format: append-only.

mod commands;
mod configuration;
mod events;
mod name;
mod rejection;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{commands::*, configuration::*, events::*, name::*, rejection::*};
use crate::topics::{Service, Topic, TopicKind};

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

/// The topic of calls that nobody waits for: each as it was taken, and what came of it. Calls of one function lie in one partition.
pub const CALLS: &str = "functions.calls";

/// How Kafka must keep [`CALLS`]: for a day (and an hour, by segments), and no more than there is room for.
pub const CALLS_CONFIGURATION: &[(&str, &str)] = &[
    ("retention.ms", "86400000"),
    ("segment.ms", "3600000"),
    ("retention.bytes", "1073741824"),
    ("segment.bytes", "67108864"),
    ("max.message.bytes", "2097164"),
];

/// The topic of events that bound functions are to be given once more: dead letters that an operator has published again. One
/// partition: there are few.
pub const REDELIVERIES: &str = "functions.redeliveries";

/// How Kafka must keep [`REDELIVERIES`]: as long as dead letters, and no more than there is memory for.
pub const REDELIVERIES_CONFIGURATION: &[(&str, &str)] = &[
    ("retention.ms", "2592000000"),
    ("retention.bytes", "67108864"),
    ("segment.bytes", "16777216"),
    ("max.message.bytes", "2097164"),
];

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
