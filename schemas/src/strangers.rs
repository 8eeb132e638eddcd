//! What it costs to compare a value with a schema that somebody gave us, before anybody does: a few hundred bytes of references
//! that each stand twice are a billion comparisons.

use serde_json::{Map, Value};

/// How many parts a schema may have, once each reference is replaced by what it refers to.
const PARTS_MAX: u32 = 10_000;
/// What holds other schemas only to be referred to.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// What holds values, and no schemas.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];
/// What holds schemas by names of any kind.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
/// What refers in another way, or looks at the same value over and over.
const NOT_TAKEN: [&str; 4] = ["$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"];

/// How many parts the schema has, written out: a bound on the comparisons for each part of a value.
///
/// # Errors
/// What there is in it that has no such bound, or that it is too large.
pub(crate) fn parts(schema: &Value) -> Result<u32, String> {
    let mut count = Count { root: schema, parts: 0, open: Vec::new() };
    count.schema(schema)?;
    Ok(count.parts)
}

/// How many parts a value has; a long text counts as several.
pub(crate) fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / 64,
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(fields) => {
            1 + fields.iter().map(|(name, value)| 1 + name.len() as u64 / 64 + size(value)).sum::<u64>()
        }
        _ => 1,
    }
}

struct Count<'a> {
    root: &'a Value,
    parts: u32,
    /// The references within which we are.
    open: Vec<&'a str>,
}

impl<'a> Count<'a> {
    fn schema(&mut self, value: &'a Value) -> Result<(), String> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(format!(
                "it has more than {PARTS_MAX} parts, with all that it refers to written out"
            ));
        }
        match value {
            Value::Object(fields) => self.fields(fields),
            Value::Array(items) => items.iter().try_for_each(|item| self.schema(item)),
            _ => Ok(()),
        }
    }

    fn fields(&mut self, fields: &'a Map<String, Value>) -> Result<(), String> {
        let is_root = self.parts == 1;
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("$ref", Value::String(to)) => self.reference(to)?,
                // Further down it would change what references refer to.
                ("$id", _) if is_root => {}
                (name, _) if name == "$id" || NOT_TAKEN.contains(&name) => {
                    return Err(format!("`{name}` is not taken in the schema of a function"));
                }
                (name, _) if DEFINITIONS.contains(&name) || VALUES.contains(&name) => {}
                (name, Value::Object(schemas)) if NAMED.contains(&name) => {
                    schemas.values().try_for_each(|schema| self.schema(schema))?;
                }
                _ => self.schema(value)?,
            }
        }
        Ok(())
    }

    fn reference(&mut self, to: &'a str) -> Result<(), String> {
        let shown: String = to.chars().take(100).collect();
        if self.open.contains(&to) {
            return Err(format!(
                "`{shown}` refers to itself, which is not taken in the schema of a function"
            ));
        }
        let pointer = to.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        let found = pointer.and_then(|pointer| self.root.pointer(pointer));
        let found = found.ok_or_else(|| format!("there is no `{shown}`: say `#/$defs/<name>`"))?;
        self.open.push(to);
        self.schema(found)?;
        self.open.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::json::Validator;

    /// Each of so many refers twice to the next.
    fn doubling(depth: usize) -> Value {
        let twice = |n: usize| json!({ "anyOf": [{ "$ref": format!("#/$defs/a{n}") }, { "$ref": format!("#/$defs/a{n}") }] });
        let mut defs: Map<_, _> = (0..depth).map(|n| (format!("a{n}"), twice(n + 1))).collect();
        defs.insert(format!("a{depth}"), json!({ "type": "string" }));
        json!({ "$defs": defs, "$ref": "#/$defs/a0" })
    }

    #[test]
    fn what_doubles_again_and_again_is_refused() {
        assert!(parts(&doubling(40)).is_err());
        assert!(Validator::of_stranger(&doubling(40)).is_err());
        let (small, began) = (Validator::of_stranger(&doubling(9)).expect("it is small"), Instant::now());
        assert_eq!(small.misfits(&json!("fits")), []);
        assert!(!small.misfits(&json!(5)).is_empty());
        assert!(!small.misfits(&json!(vec![5; 100_000])).is_empty());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_usual_is_taken() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.org/price",
            "$defs": { "money": { "type": "object", "properties": { "amount": { "type": "integer" } }, "required": ["amount"] } },
            "type": "object",
            "properties": { "price": { "$ref": "#/$defs/money" }, "$id": { "type": "string" }, "required": { "type": "boolean" } },
            "required": ["price"],
            "enum": [{ "$ref": "no reference" }, { "price": { "amount": 1 } }],
        });
        let validator = Validator::of_stranger(&schema).expect("a schema");
        assert_eq!(validator.misfits(&json!({ "price": { "amount": 1 } })), []);
        assert!(!validator.misfits(&json!({ "price": {} })).is_empty());
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        let tree = json!({ "properties": { "left": { "$ref": "#" } } });
        let round = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "items": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" });
        let dynamic = json!({ "$dynamicRef": "#x" });
        let again = json!({ "items": { "unevaluatedProperties": {} } });
        let outside = json!({ "$ref": "https://example.org/schema" });
        for schema in [tree, round, dynamic, again, outside] {
            assert!(Validator::of_stranger(&schema).is_err(), "{schema}");
        }
    }
}
