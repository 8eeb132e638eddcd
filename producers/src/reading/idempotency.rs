//! `Idempotency-Key`: the same request under the same key is the same command, through any gateway and after any restart,
//! because the ids are computed from caller, route and key. No gateway keeps a table: the worker knows what it decided.

use axum::http::{HeaderMap, HeaderName};
use factfold_schemas::ids::{Id, Kind, UserId};
use uuid::{Uuid, uuid};

use super::{invalid, single};
use crate::problems::Problem;

/// The header.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The namespaces of the UUIDv5: never change them, or a repeat becomes another command. Two, so that a command's id says
/// nothing about the id of what it creates.
const COMMANDS: Uuid = uuid!("6b8f2ff2-9c5f-5d0e-8f5a-0d6c9d3f4a01");
const RESOURCES: Uuid = uuid!("6b8f2ff2-9c5f-5d0e-8f5a-0d6c9d3f4a02");

/// What makes a request the same request: who, where, and under which key; nothing of it without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(Option<String>);

impl Identity {
    pub(crate) fn read(headers: &HeaderMap, caller: UserId, route: &str) -> Result<Self, Problem> {
        let Some(key) = single(headers, &IDEMPOTENCY_KEY)? else { return Ok(Self(None)) };
        // The header's draft has a quoted string; most clients send it bare. Both spell the same key.
        let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
        if key.is_empty() || key.len() > 255 {
            return Err(invalid(&IDEMPOTENCY_KEY, "must have 1 to 255 characters"));
        }
        Ok(Self(Some(format!("{caller}\n{route}\n{key}"))))
    }

    /// The identity of one entry of a batch.
    pub(crate) fn of_entry(&self, index: usize) -> Self {
        Self(self.0.as_ref().map(|name| format!("{name}\n{index}")))
    }

    /// The command's id.
    pub(crate) fn command_id(&self) -> Uuid {
        self.id(&COMMANDS)
    }

    /// The id of what the command creates.
    pub(crate) fn resource_id<K: Kind>(&self) -> Id<K> {
        Id::new(self.id(&RESOURCES))
    }

    fn id(&self, namespace: &Uuid) -> Uuid {
        match &self.0 {
            Some(name) => Uuid::new_v5(namespace, name.as_bytes()),
            None => Uuid::now_v7(),
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::ids::Order;

    use super::*;

    fn identity(key: &str, caller: UserId, route: &str) -> Result<Identity, Problem> {
        let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, key.parse().expect("a header"))]);
        Identity::read(&headers, caller, route)
    }

    #[test]
    fn a_repeat_has_the_same_ids_and_nothing_else_has() {
        let caller = UserId::generate();
        let id = |key, caller, route| identity(key, caller, route).expect("a key").command_id();
        let first = id("k", caller, "POST /v1/orders");
        assert_eq!(id("k", caller, "POST /v1/orders"), first);
        assert_eq!(id("\"k\"", caller, "POST /v1/orders"), first);
        assert_ne!(id("l", caller, "POST /v1/orders"), first);
        assert_ne!(id("k", UserId::generate(), "POST /v1/orders"), first);
        assert_ne!(id("k", caller, "POST /v1/goods"), first);

        let same = identity("k", caller, "POST /v1/orders").expect("a key");
        assert_eq!(same.resource_id::<Order>(), same.resource_id::<Order>());
        assert_ne!(same.resource_id::<Order>().uuid(), first);
        assert_ne!(same.of_entry(0).command_id(), same.of_entry(1).command_id());
    }

    #[test]
    fn without_a_key_every_request_is_another() {
        let none = Identity::read(&HeaderMap::new(), UserId::generate(), "").expect("no key");
        assert_ne!(none.command_id(), none.command_id());
        assert_eq!(none.of_entry(1), none);
        assert!(identity("", UserId::generate(), "").is_err());
        assert!(identity(&"x".repeat(256), UserId::generate(), "").is_err());
    }
}
