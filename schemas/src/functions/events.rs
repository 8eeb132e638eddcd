//! What happened to functions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Code, Configuration, Language, Limits};
use crate::codec::Message;

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
