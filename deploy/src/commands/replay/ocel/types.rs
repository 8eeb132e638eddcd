//! The types of events, or of objects, and what each has.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::event::Attribute;

/// The types that were seen: as many as there are names in the code.
#[derive(Debug, Default)]
pub(super) struct Types(BTreeMap<String, BTreeMap<String, &'static str>>);

/// A type, as OCEL wants it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct OfType {
    name: String,
    attributes: Vec<AttributeType>,
}

#[derive(Debug, PartialEq, Serialize)]
struct AttributeType {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Types {
    /// There is something of this type, with these attributes.
    pub(super) fn see<'a>(&mut self, name: &str, attributes: impl IntoIterator<Item = &'a Attribute>) {
        let known = self.0.entry(name.to_owned()).or_default();
        for Attribute { name, value } in attributes {
            let kind = kind_of(value);
            let known = known.entry(name.clone()).or_insert(kind);
            *known = both(known, kind);
        }
    }

    /// All of them.
    pub(super) fn all(self) -> impl Iterator<Item = OfType> {
        self.0.into_iter().map(|(name, attributes)| {
            let attributes = attributes.into_iter().map(|(name, kind)| AttributeType { name, kind });
            OfType { name, attributes: attributes.collect() }
        })
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        _ => "string",
    }
}

/// The kind that holds values of both.
fn both(one: &'static str, other: &'static str) -> &'static str {
    match (one, other) {
        _ if one == other => one,
        ("integer", "float") | ("float", "integer") => "float",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attribute_is_of_the_kind_that_holds_all_its_values() {
        let mut types = Types::default();
        for value in [json!(1), json!(1.5)] {
            let of = |name: &str, value| Attribute { name: name.to_owned(), value };
            types.see("Seen", &[of("number", value.clone()), of("flag", json!(true))]);
            types.see("Mixed", &[of("text", value), of("text", json!("a"))]);
        }
        types.see("Empty", []);
        let expected = json!([
            { "name": "Empty", "attributes": [] },
            { "name": "Mixed", "attributes": [{ "name": "text", "type": "string" }] },
            {
                "name": "Seen",
                "attributes": [{ "name": "flag", "type": "boolean" }, { "name": "number", "type": "float" }],
            },
        ]);
        assert_eq!(serde_json::to_value(types.all().collect::<Vec<_>>()).expect("JSON"), expected);
    }
}
