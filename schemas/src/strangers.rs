//! What it costs to compare a value with a schema that somebody gave us, before anybody does: a few hundred bytes of references
//! that each stand twice are a billion comparisons.

use serde_json::{Map, Value};

/// How many parts a schema may have, once each reference is replaced by what it refers to.
const PARTS_MAX: u64 = 10_000;
/// What holds other schemas only to be referred to.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// What holds values to be compared with; and what holds some that nobody looks at.
const VALUES: [&str; 2] = ["const", "enum"];
const REMARKS: [&str; 2] = ["default", "examples"];
/// What holds schemas by names of any kind.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
/// What refers in another way, or looks at the same value over and over.
const NOT_TAKEN: [&str; 4] = ["$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"];
/// The dialects in which the names above mean what they mean here.
const DIALECTS: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
];
/// What a byte of a text may cost that is compared with a pattern: no automaton is larger.
const PATTERN_WORK: u64 = 20;

/// What a schema costs, written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// How many parts it has: a bound on the comparisons for each part of a value.
    pub(crate) parts: u64,
    /// How many patterns there are among them.
    pub(crate) patterns: u64,
}

/// What a value costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    parts: u64,
    text_bytes: u64,
}

impl Cost {
    /// That of this schema.
    ///
    /// # Errors
    /// What there is in it that has no such bound, or that it is too large.
    pub(crate) fn of(schema: &Value) -> Result<Self, String> {
        let mut count = Count { root: schema, cost: Self { parts: 0, patterns: 0 }, open: Vec::new() };
        count.schema(schema)?;
        Ok(count.cost)
    }

    /// How many looks it takes to compare the value with the schema, at most.
    pub(crate) fn work(self, size: Size) -> u64 {
        self.misfits(size) + self.patterns * PATTERN_WORK * size.text_bytes
    }

    /// How many misfits there can be.
    pub(crate) fn misfits(self, size: Size) -> u64 {
        self.parts * size.parts
    }
}

impl Size {
    /// That of this value.
    pub(crate) fn of(value: &Value) -> Self {
        let mut size = Self::default();
        size.add(value);
        size
    }

    fn add(&mut self, value: &Value) {
        self.parts += 1;
        match value {
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.text_bytes += name.len() as u64;
                    self.add(value);
                }
            }
            _ => {}
        }
    }
}

struct Count<'a> {
    root: &'a Value,
    cost: Cost,
    /// The references within which we are.
    open: Vec<&'a str>,
}

impl<'a> Count<'a> {
    fn part(&mut self, parts: u64) -> Result<(), String> {
        self.cost.parts += parts;
        if self.cost.parts > PARTS_MAX {
            return Err(format!(
                "it has more than {PARTS_MAX} parts, with all that it refers to written out"
            ));
        }
        Ok(())
    }

    fn schema(&mut self, value: &'a Value) -> Result<(), String> {
        self.part(1)?;
        match value {
            Value::Object(fields) => self.fields(fields),
            Value::Array(items) => items.iter().try_for_each(|item| self.schema(item)),
            _ => Ok(()),
        }
    }

    fn fields(&mut self, fields: &'a Map<String, Value>) -> Result<(), String> {
        let is_root = self.cost.parts == 1;
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("$ref", Value::String(to)) => self.reference(to)?,
                ("$schema", Value::String(dialect)) if is_root => check_dialect(dialect)?,
                // Further down it would change what references refer to.
                ("$id", _) if is_root => {}
                (name, _) if ["$id", "$schema"].contains(&name) || NOT_TAKEN.contains(&name) => {
                    return Err(format!("`{name}` is not taken in the schema of a function"));
                }
                (name, _) if DEFINITIONS.contains(&name) || REMARKS.contains(&name) => {}
                (name, value) if VALUES.contains(&name) => self.part(Size::of(value).parts)?,
                (name, Value::Object(schemas)) if NAMED.contains(&name) => {
                    if name == "patternProperties" {
                        self.cost.patterns += schemas.len() as u64;
                    }
                    schemas.values().try_for_each(|schema| self.schema(schema))?;
                }
                (name, value) => {
                    self.cost.patterns += u64::from(name == "pattern");
                    self.schema(value)?;
                }
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
        // No other place: what lies deeper might be something else for whoever resolves it.
        let found = DEFINITIONS.iter().find_map(|definitions| {
            let name = to.strip_prefix("#/")?.strip_prefix(definitions)?.strip_prefix('/')?;
            self.root.get(definitions)?.get(name).filter(|_| !name.contains(['/', '~', '%']))
        });
        let found =
            found.ok_or_else(|| format!("there is no `{shown}`: say `#/$defs/<name>`, with plain names"))?;
        self.open.push(to);
        self.schema(found)?;
        self.open.pop();
        Ok(())
    }
}

fn check_dialect(dialect: &str) -> Result<(), String> {
    if DIALECTS.contains(&dialect.trim_end_matches('#')) {
        return Ok(());
    }
    Err(format!("`$schema` can be one of {}, or be left out", DIALECTS.join(", ")))
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

    /// A pattern whose automaton blows up, and a text that leads it there.
    #[test]
    fn a_pattern_that_costs_is_not_compared_with_a_long_text() {
        let began = Instant::now();
        if let Ok(validator) = Validator::of_stranger(&json!({ "pattern": "[01]*1[01]{200}$" })) {
            assert_eq!(validator.misfits(&json!("01".repeat(200))), []);
            assert!(!validator.misfits(&json!("01".repeat(1 << 19))).is_empty());
        }
        assert!(Validator::of_stranger(&json!({ "pattern": "[01]*1[01]{2000}$" })).is_err());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        let tree = json!({ "properties": { "left": { "$ref": "#" } } });
        let round = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "items": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" });
        let dynamic = json!({ "$dynamicRef": "#x" });
        let again = json!({ "items": { "unevaluatedProperties": {} } });
        let outside = json!({ "$ref": "https://example.org/schema" });
        // Each has another place to begin from, in which the bomb lies.
        let bomb = doubling(40);
        let mut moved = doubling(1);
        moved["$defs"]["x"] = json!({ "$id": "http://e/x", "$defs": bomb["$defs"], "$ref": "#/$defs/a0" });
        moved["$ref"] = json!("#/$defs/x");
        let mut deeper = moved.clone();
        deeper["$ref"] = json!("#/$defs/x/$defs/a0");
        let mut old = doubling(3);
        old["$schema"] = json!("http://json-schema.org/draft-04/schema#");
        let hidden = json!({ "$defs": bomb["$defs"], "dependencies": { "enum": { "$ref": "#/$defs/a0" } } });
        let many = json!({ "items": { "enum": vec![0; 10_000] } });
        for schema in [tree, round, dynamic, again, outside, moved, deeper, old, hidden, many] {
            assert!(Validator::of_stranger(&schema).is_err(), "{schema}");
        }
    }
}
