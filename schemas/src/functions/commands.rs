//! What can be asked of the functions service.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CODE_BYTES_MAX, Code, Language, Limits, RESERVED, Rejection, SCHEMA_BYTES_MAX, TYPES_MAX};
use crate::{codec::Message, command::is_plain, personal::Personal, topics::Topic};

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

#[cfg(test)]
mod tests {
    use super::*;

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
