//! Typed ids: a goods id can never be passed for an order id, and each knows the name of its stream.

use std::{cmp::Ordering, fmt, marker::PhantomData, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an id identifies. The prefix is part of stored stream names: it never changes.
pub trait Kind: Copy + Eq + Ord + std::hash::Hash + fmt::Debug + 'static {
    /// The part of the stream's name before the UUID: `order` in `order-0190…`.
    const PREFIX: &'static str;
}

/// Marker of [`GoodsId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goods {}
/// Marker of [`OrderId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {}
/// Marker of [`UserId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {}
/// Marker of [`EmailId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Email {}
/// Marker of [`SessionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Session {}

impl Kind for Goods {
    const PREFIX: &'static str = "goods";
}
impl Kind for Order {
    const PREFIX: &'static str = "order";
}
impl Kind for User {
    const PREFIX: &'static str = "user";
}
impl Kind for Email {
    const PREFIX: &'static str = "email";
}
impl Kind for Session {
    const PREFIX: &'static str = "session";
}

/// A piece of goods.
pub type GoodsId = Id<Goods>;
/// An order.
pub type OrderId = Id<Order>;
/// A user: the `sub` of an access token.
pub type UserId = Id<User>;
/// An e-mail address, by a pseudonym that only this installation can make: see [`crate::email`].
pub type EmailId = Id<Email>;
/// A log-in that goes on until it is ended: the `sid` of an access token. It has no stream of its own, its user has.
pub type SessionId = Id<Session>;

/// A UUID that says what it identifies. In JSON and in URLs it is the bare UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id<K>(Uuid, #[serde(skip)] PhantomData<K>);

/// The order of the bytes, compared as one number: folds sort by nothing else.
impl<K: Eq> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl<K: Eq> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Kind> Id<K> {
    /// The id with this UUID.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// A fresh id, UUIDv7: ids made later sort later.
    pub fn generate() -> Self {
        Self::new(Uuid::now_v7())
    }

    /// The bare UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The stream of this aggregate: the key of all its records.
    pub fn stream(self) -> StreamId {
        StreamId(format!("{}-{}", K::PREFIX, self.0.as_hyphenated()).into_boxed_str())
    }

    /// The id whose stream this is; `None` for a stream of another kind.
    pub fn of_stream(stream: &str) -> Option<Self> {
        let uuid = stream.strip_prefix(K::PREFIX)?.strip_prefix('-')?;
        // Only the hyphenated lower-case form: two spellings of one id would be two streams.
        let id = Uuid::try_parse(uuid).ok()?;
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        (*id.as_hyphenated().encode_lower(&mut text) == *uuid).then(|| Self::new(id))
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self::new)
    }
}

impl<K: Kind> JsonSchema for Id<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}-id", K::PREFIX).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uuid" })
    }
}

/// The name of a stream, `<kind>-<uuid>`: the key of the records of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(Box<str>);

impl StreamId {
    /// Any name, as it came: what it may be is checked by [`Id::of_stream`].
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_names_its_aggregate_in_one_spelling() {
        let id = OrderId::generate();
        assert_eq!(OrderId::of_stream(id.stream().as_str()), Some(id));
        assert_eq!(GoodsId::of_stream(id.stream().as_str()), None);
        assert_eq!(OrderId::of_stream(&id.stream().as_str().to_uppercase()), None);
        assert_eq!(OrderId::of_stream(&format!("order-{}", id.uuid().simple())), None);
        assert_eq!(OrderId::of_stream("order-"), None);
    }
}
