//! Compatibility of what is stored: an event that was written once is read for ever, so whatever fits its old schema must
//! fit the new one, and each of its fields must still be there under its name.
//!
//! It knows the keywords that schemars writes. A constraint that it does not know may go, but neither come nor change: in
//! doubt it says no. It must never be content with a change that it did not understand.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

/// A change after which something that is stored could not be read, or would lose a part of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incompatible {
    /// The schema's path, as [`crate::json::all`] has it.
    pub schema: String,
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    /// What changed.
    pub change: String,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}: {}", self.schema, self.pointer, self.change)
    }
}

/// Whether what this schema describes is stored for ever: events, and what became of commands without any.
pub fn is_stored(path: &str) -> bool {
    path.contains("/events/") || path.starts_with("outcomes/")
}

/// Every incompatible change of what is stored, from the old schemas to the new ones.
pub fn incompatible(
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> impl Iterator<Item = Incompatible> {
    old.iter().filter(|(path, _)| is_stored(path)).flat_map(|(path, old)| {
        let changes = match new.get(path) {
            Some(new) => changes(old, new),
            None => vec![Change::here("the type is gone: what was stored of it could not be read")],
        };
        changes.into_iter().map(|Change { pointer, change }| Incompatible {
            schema: path.clone(),
            pointer,
            change,
        })
    })
}

struct Change {
    pointer: String,
    change: String,
}

impl Change {
    fn here(change: impl Into<String>) -> Self {
        Self { pointer: String::new(), change: change.into() }
    }

    /// The same change, seen from one level further out.
    fn below(self, segment: &str) -> Self {
        let segment = segment.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("/{segment}{}", self.pointer), ..self }
    }
}

/// What no longer fits where `old` became `new`.
fn changes(old: &Value, new: &Value) -> Vec<Change> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keywords = new.keys().chain(old.keys().filter(|keyword| !new.contains_key(*keyword)));
            keywords.flat_map(|keyword| of_keyword(keyword, old, new)).collect()
        }
        // A schema that takes everything, or nothing.
        (_, Value::Bool(true)) | (Value::Bool(false), _) => Vec::new(),
        (Value::Bool(true), Value::Object(new)) if new.is_empty() => Vec::new(),
        _ => vec![Change::here("less is allowed than before")],
    }
}

fn of_keyword(keyword: &str, old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Change> {
    let (before, after) = (old.get(keyword), new.get(keyword));
    let found = match keyword {
        "$schema" | "$id" | "$comment" | "title" | "description" | "default" | "examples" | "deprecated" => {
            return Vec::new();
        }
        "properties" => return of_properties(before, after),
        "required" => return of_required(before, old, after),
        "type" => types(before, after),
        "const" | "enum" => values(old, new),
        "oneOf" | "anyOf" if constants(old).is_some() || constants(new).is_some() => values(old, new),
        "oneOf" | "anyOf" => alternatives(before, after),
        "items" | "additionalProperties" => {
            let everything = Value::Bool(true);
            changes(before.unwrap_or(&everything), after.unwrap_or(&everything))
        }
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
            bound(before, after, |before, after| after <= before)
        }
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
            bound(before, after, |before, after| after >= before)
        }
        "format" if integers(before).zip(integers(after)).is_some_and(|(b, a)| a.0 <= b.0 && b.1 <= a.1) => {
            Vec::new()
        }
        _ => match after {
            Some(after) if before != Some(after) => vec![Change::here(was(before, after))],
            _ => Vec::new(),
        },
    };
    found.into_iter().map(|change| change.below(keyword)).collect()
}

fn was(before: Option<&Value>, after: &Value) -> String {
    match before {
        Some(before) => format!("was {before}, is {after}"),
        None => format!("there was no such bound, now it is {after}"),
    }
}

fn of_properties(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let before = before.and_then(Value::as_object).into_iter().flatten();
    let found = before.flat_map(|(name, before)| {
        let found = match after.and_then(|after| after.get(name)) {
            Some(after) => changes(before, after),
            None => vec![Change::here("the field is gone, or has another name")],
        };
        found.into_iter().map(move |change| change.below(name))
    });
    found.map(|change| change.below("properties")).collect()
}

fn of_required(before: Option<&Value>, old: &Map<String, Value>, after: Option<&Value>) -> Vec<Change> {
    let is_required = |name: &Value| list(before).contains(name);
    let known = |name: &str| old.get("properties").is_some_and(|properties| properties.get(name).is_some());
    let added = list(after).iter().filter(|name| !is_required(name)).filter_map(Value::as_str);
    let change = |name| {
        let change = if known(name) {
            "the field must be there now, which what is stored may lack"
        } else {
            "a new field must be there, which nothing that is stored has"
        };
        Change::here(change).below(name).below("properties")
    };
    added.map(change).collect()
}

/// Without the keyword any type fits.
fn types(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let Some(after) = after else { return Vec::new() };
    let allowed = |name: &Value| {
        let wider = name.as_str() == Some("integer") && one_or_many(after).any(|name| name == "number");
        wider || one_or_many(after).any(|other| other == name)
    };
    match before {
        Some(before) if one_or_many(before).all(allowed) => Vec::new(),
        _ => vec![Change::here(was(before, after))],
    }
}

fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(many) => many.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

/// The values that an enumeration lists, in each of its spellings; `None` of what is no enumeration.
fn constants(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    if let Some(one) = schema.get("const") {
        return Some(vec![one]);
    }
    if let Some(Value::Array(many)) = schema.get("enum") {
        return Some(many.iter().collect());
    }
    let alternatives = schema.get("oneOf").or(schema.get("anyOf"))?.as_array()?;
    let each = alternatives.iter().map(|alternative| constants(alternative.as_object()?));
    Some(each.collect::<Option<Vec<_>>>()?.concat())
}

fn values(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Change> {
    match (constants(old), constants(new)) {
        (_, None) => Vec::new(),
        (None, Some(_)) => vec![Change::here("only some values are allowed now")],
        (Some(old), Some(new)) => {
            let gone = old.into_iter().filter(|value| !new.contains(value));
            gone.map(|value| Change::here(format!("{value} is not allowed any more"))).collect()
        }
    }
}

/// Each old alternative must still be one.
fn alternatives(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let Some(after) = after else { return Vec::new() };
    if before.is_none() {
        return vec![Change::here("only some alternatives are allowed now")];
    }
    let fits = |old: &Value| list(Some(after)).iter().any(|new| changes(old, new).is_empty());
    let gone = list(before).iter().enumerate().filter(|(_, old)| !fits(old));
    gone.map(|(index, _)| Change::here("this alternative is not allowed any more").below(&index.to_string()))
        .collect()
}

fn bound(before: Option<&Value>, after: Option<&Value>, is_wider: impl Fn(f64, f64) -> bool) -> Vec<Change> {
    let Some(after) = after else { return Vec::new() };
    match before.and_then(Value::as_f64).zip(after.as_f64()) {
        Some((before, after)) if is_wider(before, after) => Vec::new(),
        _ => vec![Change::here(was(before, after))],
    }
}

/// The least and the largest number of an integer's format: `uint32`.
fn integers(format: Option<&Value>) -> Option<(i128, i128)> {
    let format = format?.as_str()?;
    let (is_signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let values = 1_i128.checked_shl(bits.parse().ok().filter(|bits| *bits <= 64)?)?;
    Some(if is_signed { (-values / 2, values / 2 - 1) } else { (0, values - 1) })
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAID: &str = "orders/events/OrderPaid.1.json";

    /// An event with a bit of everything.
    fn before() -> Value {
        json!({
            "type": "object",
            "properties": {
                "amount": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": 100 },
                "method": { "type": "string", "maxLength": 10 },
                "status": { "oneOf": [{ "type": "string", "const": "a" }, { "type": "string", "const": "b" }] },
                "lines": { "type": "array", "items": { "type": "object", "properties": { "n": { "type": "integer" } } } },
                "note": { "type": ["string", "null"] },
                "data": { "type": "object", "additionalProperties": true },
                "price": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            },
            "required": ["amount"],
        })
    }

    fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut after = before();
        change(&mut after);
        let of = |schema| BTreeMap::from([(PAID.to_owned(), schema)]);
        incompatible(&of(before()), &of(after)).map(|found| found.pointer).collect()
    }

    fn set(pointer: &'static str, value: Value) -> impl FnOnce(&mut Value) {
        move |schema| {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            let parent = schema.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
            parent.insert(name.to_owned(), value);
        }
    }

    fn remove(pointer: &'static str) -> impl FnOnce(&mut Value) {
        move |schema| {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            schema.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(name);
        }
    }

    #[test]
    fn each_incompatible_change_is_named_with_its_place() {
        let renamed = |schema: &mut Value| {
            let method = schema["properties"]["method"].take();
            remove("/properties/method")(schema);
            schema["properties"]["way"] = method;
        };
        let of_a_new_field = |schema: &mut Value| {
            schema["properties"]["colour"] = json!({ "type": "string" });
            schema["required"] = json!(["amount", "colour"]);
        };
        let cases = [
            (after(remove("/properties/method")), "/properties/method"),
            (after(renamed), "/properties/method"),
            (after(of_a_new_field), "/properties/colour"),
            (after(set("/required", json!(["amount", "method"]))), "/properties/method"),
            (after(set("/properties/method/type", json!("integer"))), "/properties/method/type"),
            (after(set("/properties/note/type", json!("string"))), "/properties/note/type"),
            (after(set("/properties/amount/minimum", json!(1))), "/properties/amount/minimum"),
            (after(set("/properties/amount/maximum", json!(99))), "/properties/amount/maximum"),
            (after(set("/properties/amount/format", json!("uint16"))), "/properties/amount/format"),
            (after(set("/properties/method/maxLength", json!(9))), "/properties/method/maxLength"),
            (after(set("/properties/method/minLength", json!(1))), "/properties/method/minLength"),
            (after(set("/properties/method/pattern", json!("^x"))), "/properties/method/pattern"),
            (after(set("/properties/method/format", json!("uuid"))), "/properties/method/format"),
            (after(set("/properties/method/enum", json!(["card"]))), "/properties/method/enum"),
            (
                after(set("/properties/status/oneOf", json!([{ "type": "string", "const": "a" }]))),
                "/properties/status/oneOf",
            ),
            (
                after(set("/properties/lines/items/properties/n/type", json!("string"))),
                "/properties/lines/items/properties/n/type",
            ),
            (
                after(set("/properties/data/additionalProperties", json!(false))),
                "/properties/data/additionalProperties",
            ),
            (after(set("/additionalProperties", json!(false))), "/additionalProperties"),
            (
                after(set("/properties/price/anyOf", json!([{ "type": "integer" }]))),
                "/properties/price/anyOf/1",
            ),
            (after(set("/properties/lines/contains", json!({}))), "/properties/lines/contains"),
        ];
        for (found, pointer) in cases {
            assert_eq!(found, [pointer]);
        }

        let gone: Vec<_> =
            incompatible(&BTreeMap::from([(PAID.to_owned(), before())]), &BTreeMap::new()).collect();
        assert_eq!(gone[0].schema, PAID);
    }

    #[test]
    fn compatible_changes_pass() {
        let cases = [
            after(|_| {}),
            after(set("/properties/colour", json!({ "type": "string" }))),
            after(set("/properties/method/description", json!("how"))),
            after(set("/properties/method/type", json!(["string", "null"]))),
            after(set("/properties/amount/type", json!("number"))),
            after(set("/properties/amount/format", json!("int64"))),
            after(set("/properties/amount/maximum", json!(101))),
            after(remove("/properties/amount/minimum")),
            after(remove("/required")),
            after(set("/properties/status/oneOf", json!([{ "enum": ["a", "b", "c"] }]))),
            after(remove("/properties/status/oneOf")),
            after(set("/properties/price/anyOf", json!([{ "type": "null" }, { "type": "number" }]))),
        ];
        for found in cases {
            assert_eq!(found, [""; 0]);
        }
        let schemas = BTreeMap::from([(PAID.to_owned(), before())]);
        assert_eq!(incompatible(&BTreeMap::new(), &schemas).count(), 0, "a new event");
        let command = BTreeMap::from([("orders/commands/PayOrder.1.json".to_owned(), before())]);
        assert_eq!(
            incompatible(&command, &BTreeMap::new()).count(),
            0,
            "a command is decided once, and not read again"
        );
    }

    #[test]
    fn all_that_is_stored_today_is_compatible_with_itself() {
        let all = crate::json::all();
        assert!(all.keys().filter(|path| is_stored(path)).count() > 10);
        assert_eq!(incompatible(&all, &all).count(), 0);
    }
}
