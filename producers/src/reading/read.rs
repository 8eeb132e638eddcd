//! What every read says besides its parameters: who, how fresh it must be, and what the client has already.

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use factfold_schemas::{position::Position, topics::TopicKind};

use tokio::time::Instant;

use super::{etag, invalid, list};
use crate::{access::Caller, gateway::Gateway, problems::Problem, settings::WAIT_MAX};

/// The positions that a read must have seen.
pub(crate) const AT_LEAST: HeaderName = HeaderName::from_static("factfold-at-least");
/// The most positions of one read: a client names the last of each partition, not each of its writes.
const POSITIONS_MAX: usize = 100;

/// A read, without its parameters.
#[derive(Debug)]
pub(crate) struct Read {
    caller: Option<Caller>,
    pub(crate) at_least: Vec<Position>,
    /// How long it waits for anything, at most.
    pub(crate) deadline: Instant,
    headers: HeaderMap,
}

impl FromRequestParts<Gateway> for Read {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let caller =
            <Caller as OptionalFromRequestParts<Gateway>>::from_request_parts(parts, gateway).await?;
        if parts.headers.contains_key(header::IF_MATCH) {
            return Err(Problem::new("not-implemented", "the header if-match is not built for reads"));
        }
        Self::new(caller, Instant::now() + WAIT_MAX, parts.headers.clone())
    }
}

impl Read {
    /// What these headers say of a read.
    pub(crate) fn new(
        caller: Option<Caller>,
        deadline: Instant,
        headers: HeaderMap,
    ) -> Result<Self, Problem> {
        Ok(Self { caller, at_least: at_least(&headers)?, deadline, headers })
    }

    /// Who reads, where that is said.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Whether the client has the resource at this version already.
    pub(crate) fn has(&self, version: u64) -> Result<bool, Problem> {
        etag::is_known(&self.headers, &header::IF_NONE_MATCH, version)
    }
}

fn at_least(headers: &HeaderMap) -> Result<Vec<Position>, Problem> {
    let texts = list(headers, &AT_LEAST)?;
    if texts.len() > POSITIONS_MAX {
        return Err(invalid(&AT_LEAST, "has too many positions: name the last of each partition"));
    }
    texts.into_iter().map(position).collect()
}

/// The position of a command, as it was answered.
pub(crate) fn position(text: &str) -> Result<Position, Problem> {
    let position: Position =
        text.parse().map_err(|error| Problem::new("invalid-position", format!("{error}")))?;
    if position.topic.kind == TopicKind::Commands {
        Ok(position)
    } else {
        Err(Problem::new("invalid-position", format!("`{position}` is no position of a command")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_commands() {
        let read =
            |value: &str| at_least(&HeaderMap::from_iter([(AT_LEAST, value.parse().expect("a header"))]));
        assert_eq!(read("orders.commands/7@1, goods.commands/0@2").expect("two").len(), 2);
        assert_eq!(at_least(&HeaderMap::new()).expect("none").len(), 0);
        for wrong in ["orders.events/0@1", "7@1", "orders.commands/7@1;goods.commands/0@2"] {
            assert_eq!(read(wrong).expect_err("no position").name(), "invalid-position", "{wrong}");
        }
        let many = vec!["orders.commands/7@1"; 101].join(",");
        assert_eq!(read(&many).expect_err("too many").name(), "invalid-header");
    }
}
