//! What a projector says to those who wait when a checkpoint moves: the payload of a Postgres notification. It is sent
//! in the transaction that writes the rows, so whoever hears it can see them.

use factfold_schemas::topics::{Namespace, Topic};
use serde::{Deserialize, Serialize};

use crate::Build;

/// Postgres takes payloads below 8000 bytes.
const PAYLOAD_BYTES_MAX: usize = 7_900;

/// The channel of this namespace.
pub(crate) fn channel(namespace: &Namespace) -> String {
    format!("{}_moved", namespace.schema())
}

/// Which decided positions a read model has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    projection: String,
    version: i32,
    /// Topic, partition, decided offset. Empty when there was too much to say: the checkpoints must be read.
    reached: Vec<(String, i32, i64)>,
}

impl Moved {
    /// What a build has folded.
    pub(crate) fn new(build: Build, reached: impl Iterator<Item = (Topic, i32, i64)>) -> Self {
        let reached =
            reached.map(|(topic, partition, decided)| (topic.to_string(), partition, decided)).collect();
        Self { projection: build.projection.name().to_owned(), version: build.version, reached }
    }

    /// The payload.
    pub(crate) fn payload(&self) -> String {
        let json = |moved: &Self| serde_json::to_string(moved).expect("numbers and texts");
        let payload = json(self);
        if payload.len() <= PAYLOAD_BYTES_MAX {
            payload
        } else {
            json(&Self { reached: Vec::new(), ..self.clone() })
        }
    }

    /// Reads a payload; `None` when the checkpoints must be read instead.
    pub(crate) fn read(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok().filter(|moved: &Self| !moved.reached.is_empty())
    }

    /// The build, where this code knows its read model.
    pub(crate) fn build(&self) -> Option<Build> {
        Some(Build { projection: self.projection.parse().ok()?, version: self.version })
    }

    /// How far it has come.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (Topic, i32, i64)> {
        self.reached
            .iter()
            .filter_map(|(topic, partition, decided)| Some((topic.parse().ok()?, *partition, *decided)))
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;
    use crate::Projection;

    #[test]
    fn what_is_said_is_heard() {
        let events = Service::Orders.events();
        let build = Build { projection: Projection::Orders, version: 2 };
        let moved = Moved::new(build, [(events, 3, 42)].into_iter());
        let heard = Moved::read(&moved.payload()).expect("a message");
        assert_eq!(heard.build(), Some(build));
        assert_eq!(heard.reached().collect::<Vec<_>>(), [(events, 3, 42)]);
    }

    #[test]
    fn too_much_to_say_becomes_a_hint_to_look() {
        let everything = (0..10_000).map(|partition| (Service::Orders.events(), partition, 1));
        let payload = Moved::new(Build { projection: Projection::Orders, version: 1 }, everything).payload();
        assert!(payload.len() < 8_000);
        assert_eq!(Moved::read(&payload), None);
        assert_eq!(Moved::read("?"), None);
    }
}
