//! What functions are called.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::NAME_CHARS_MAX;
use crate::ids::StreamId;

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
}
