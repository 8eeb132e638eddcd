//! Messages: what a command says becomes its JSON, so that it is checked as it is over HTTP; what a resource shows becomes
//! its message.

use factfold_proto::common::v1 as common;
use factfold_schemas::{
    ids::{Id, Kind},
    json::Misfit,
    money::Money,
};
use jiff::Timestamp;
use prost_types::{ListValue, Struct, value::Kind as Shown};
use serde_json::{Map, Value, json};

/// The data of a command. What is not set is left out, and the check says that it is missing.
pub(super) fn data<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(Map::from_iter(set))
}

/// An amount, as it was given.
pub(super) fn given_money(money: common::Money) -> Value {
    json!({ "amount": money.amount, "currency": money.currency })
}

/// An id, as it was given in this field. One spelling only, as everywhere: it is part of what makes two calls the same.
pub(super) fn given_id<K: Kind>(field: &str, text: &str) -> Result<Id<K>, Misfit> {
    let id = Id::of_stream(&format!("{}-{text}", K::PREFIX));
    id.ok_or_else(|| {
        Misfit::new(format!("/{field}"), "must be an id as it was answered, a UUID in lower case")
    })
}

/// An amount, to be shown.
pub(super) fn money(money: Money) -> common::Money {
    common::Money { amount: money.amount, currency: money.currency.to_string() }
}

/// A time, to be shown.
pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// An object of JSON, to be shown. Its numbers are whole and at most 2^53-1, so that a double keeps them exact.
pub(super) fn structure(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, value)| (name, any(value))).collect() }
}

fn any(value: Value) -> prost_types::Value {
    let shown = match value {
        Value::Null => Shown::NullValue(0),
        Value::Bool(truth) => Shown::BoolValue(truth),
        Value::Number(number) => Shown::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Shown::StringValue(text),
        Value::Array(items) => Shown::ListValue(ListValue { values: items.into_iter().map(any).collect() }),
        Value::Object(object) => Shown::StructValue(structure(object)),
    };
    prost_types::Value { kind: Some(shown) }
}
