//! The one codec: a message is an enum of a service, its record carries the variant's name in `ce_type` and the variant's
//! content as a JSON value.
//!
//! Stored shapes are append-only. When an event changes in a way that old records do not fit, its `ce_dataschema` gets the
//! next number, the old shape stays as a struct with a `From`, and [`decode`] lifts it: the rest of the code sees only
//! today's shape.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
        value::EnumAccessDeserializer,
    },
};

use crate::{nul, topics::Service};

/// A family of messages (the commands of a service, say): an enum whose variants each hold one struct.
pub trait Message:
    Named + Serialize + DeserializeOwned + JsonSchema + strum::VariantNames + Send + Sync + Sized + 'static
{
    /// What these are, for people: `goods command`.
    const FAMILY: &'static str;
}

/// Knows its own name: every enum that derives `strum::IntoStaticStr` does.
pub trait Named {
    /// The message's type, as in `ce_type`.
    fn type_name(&self) -> &'static str;
}

impl<T> Named for T
where
    for<'a> &'a T: Into<&'static str>,
{
    fn type_name(&self) -> &'static str {
        self.into()
    }
}

/// Why a value could not be read as a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No message of this family has this name.
    #[error("`{name}` is no {family} (known: {known})")]
    UnknownType {
        /// The name that was read.
        name: String,
        /// What was expected.
        family: &'static str,
        /// The names that would have been right.
        known: String,
    },
    /// The value is no JSON, or not the JSON of this type.
    #[error("{name}: {error}")]
    Invalid {
        /// The message's type.
        name: String,
        /// What is wrong, and where.
        #[source]
        error: serde_json::Error,
    },
    /// A text that no read model can hold.
    #[error("{name}: a text holds the character U+0000")]
    Nul {
        /// The message's type.
        name: String,
    },
}

/// Reads the message of this type from its JSON value.
pub fn decode<M: Message>(name: &str, value: &[u8]) -> Result<M, DecodeError> {
    if !M::VARIANTS.contains(&name) {
        return Err(DecodeError::UnknownType {
            name: name.chars().take(100).collect(),
            family: M::FAMILY,
            known: M::VARIANTS.join(", "),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(value);
    M::deserialize(EnumAccessDeserializer::new(NamedOutside { name, json: &mut json }))
        .and_then(|message| json.end().map(|()| message))
        .map_err(|error| DecodeError::Invalid { name: name.to_owned(), error })
}

/// Reads a command of this type, which must not say what no read model can hold (see [`nul`]).
pub fn decode_command<C: Message>(name: &str, value: &[u8]) -> Result<C, DecodeError> {
    let command = decode(name, value)?;
    if nul::is_in_json(value) { Err(DecodeError::Nul { name: name.to_owned() }) } else { Ok(command) }
}

/// The JSON value of a message; its type is [`Named::type_name`].
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    // serde writes a variant that holds a struct as `{"Name":{…}}`: what is inside is the value.
    let mut json = serde_json::to_vec(message).expect("messages are structs of plain data");
    json.drain(..message.type_name().len() + r#"{"":"#.len());
    json.pop();
    json
}

/// `ce_dataschema` of a message: which type, and in which of its shapes.
pub fn data_schema(service: Service, type_name: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "urn:factfold:{service}:{type_name}:1"))
}

/// For optional fields that may be left out but not be `null` (`deserialize_with`): RFC 7396 reads `null` as "remove",
/// and what it is used for cannot be removed.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An enum whose variant's name stands outside the JSON.
struct NamedOutside<'a, 'json> {
    name: &'a str,
    json: &'a mut serde_json::Deserializer<serde_json::de::SliceRead<'json>>,
}

impl<'de> EnumAccess<'de> for NamedOutside<'_, 'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Self::Error> {
        let name: serde::de::value::StrDeserializer<'_, Self::Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for NamedOutside<'_, 'de> {
    type Error = serde_json::Error;

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Self::Error> {
        seed.deserialize(self.json)
    }
    fn unit_variant(self) -> Result<(), Self::Error> {
        Err(Self::Error::custom("a message holds a struct"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("a message holds a struct"))
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("a message holds a struct"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goods::{Command, DiscontinueGoods, UpdateGoods};

    #[test]
    fn what_was_written_is_read() {
        let command = Command::UpdateGoods(UpdateGoods { name: Some("Tea".to_owned()), price: None });
        let value = encode(&command);
        assert_eq!(String::from_utf8_lossy(&value), r#"{"name":"Tea"}"#);
        assert_eq!(decode::<Command>("UpdateGoods", &value).expect("a command"), command);

        let command = Command::DiscontinueGoods(DiscontinueGoods {});
        assert_eq!(encode(&command), b"{}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let refusal = |name: &str, value: &str| {
            decode::<Command>(name, value.as_bytes()).expect_err("must not be read").to_string()
        };
        assert!(refusal("SellGoods", "{}").contains("`SellGoods` is no goods command"));
        assert!(refusal("UpdateGoods", "{").contains("EOF"));
        assert!(refusal("UpdateGoods", "{} {}").contains("trailing characters"));
        assert!(refusal("UpdateGoods", r#"{"name":null}"#).contains("null"));
        assert!(refusal("UpdateGoods", r#"{"colour":"red"}"#).contains("unknown field `colour`"));
        assert!(refusal("AdjustStock", r#"{"delta":1}"#).contains("missing field `reason`"));
        assert!(
            refusal("AdjustStock", r#"{"delta":99999999999999999999,"reason":"x"}"#).contains("expected i64")
        );
        assert!(refusal("AddGoods", "null").contains("null"));
    }
}
