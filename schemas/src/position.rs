//! Positions: where a record is. The one token that every stage understands: a client has the position of its command
//! the moment the command is stored, every event and outcome names the position that was decided, and every projection
//! says how far it has come.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::topics::Topic;

/// Where a record is: `orders.commands/7@1042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    /// The topic, without the namespace.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The offset within the partition.
    pub offset: i64,
}

impl Position {
    /// The position of a record.
    pub const fn new(topic: Topic, partition: i32, offset: i64) -> Self {
        Self { topic, partition, offset }
    }

    /// The position that Kafka acknowledged. `None` of a record that was sent twice: Kafka has it, and does not say where (its
    /// offset is -1001 then).
    pub fn acknowledged(topic: Topic, partition: i32, offset: i64) -> Option<Self> {
        (offset >= 0).then_some(Self { topic, partition, offset })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A text that is no position.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a position: expected <topic>/<partition>@<offset>, as in orders.commands/7@1042")]
pub struct InvalidPosition(String);

impl FromStr for Position {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let parse = || {
            let (topic, place) = text.split_once('/')?;
            let (partition, offset) = place.split_once('@')?;
            // One spelling only: a position is compared as a token by clients.
            let is_canonical = |number: &str| {
                number.bytes().all(|byte| byte.is_ascii_digit())
                    && (number == "0" || !number.starts_with('0'))
            };
            if ![partition, offset].into_iter().all(is_canonical) {
                return None;
            }
            Some(Self::new(topic.parse().ok()?, partition.parse().ok()?, offset.parse().ok()?))
        };
        parse().ok_or_else(|| InvalidPosition(text.chars().take(200).collect()))
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;
    fn try_from(text: String) -> Result<Self, InvalidPosition> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl JsonSchema for Position {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Position".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z.-]+/[0-9]+@[0-9]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Service;

    #[test]
    fn reads_back_what_it_writes_and_nothing_else() {
        let position = Position::new(Service::Orders.commands(), 7, 1042);
        assert_eq!(position.to_string(), "orders.commands/7@1042");
        assert_eq!("orders.commands/7@1042".parse::<Position>().expect("a position"), position);
        for wrong in [
            "",
            "orders.commands",
            "orders.commands/7",
            "orders.commands/-1@0",
            "orders.commands/7@-1",
            "orders.commands/07@1",
            "orders.commands/7@+1",
            "facts/0@0",
            "orders.commands/7@1 ",
        ] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
