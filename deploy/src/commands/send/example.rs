//! `factfold send --example TYPE`: a body that fits, made from the JSON Schema.

use factfold_schemas::{functions::Code, ids::UserId, json::all};
use serde_json::{Map, Value, json};

/// A body for this type of command; `None` when there is no such type.
pub(super) fn of(type_name: &str) -> Option<Value> {
    let suffix = format!("/commands/{type_name}.1.json");
    let (_, schema) = all().into_iter().find(|(path, _)| path.ends_with(&suffix))?;
    Some(value(type_name, &schema))
}

fn value(name: &str, schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema["oneOf"][0].get("const")) {
        return first.clone();
    }
    match schema["type"].as_str() {
        _ if name.ends_with("_schema") => json!({ "type": "object" }),
        _ if name == "from" => Value::from("now"),
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                properties.map(|(name, schema)| (name.clone(), value(name, schema))).collect::<Map<_, _>>(),
            )
        }
        Some("array") => Value::Array(vec![value(name, &schema["items"])]),
        Some("boolean") => Value::from(true),
        Some("integer") => Value::from(number(name, schema["minimum"].as_i64())),
        Some("string") => Value::from(text(name, schema["format"].as_str())),
        _ => Value::Null,
    }
}

fn number(name: &str, minimum: Option<i64>) -> i64 {
    match name {
        "amount" => 1999,
        "stock" => 100,
        _ => minimum.unwrap_or(0).max(1),
    }
}

fn text(name: &str, format: Option<&str>) -> String {
    match (format, name) {
        (Some("uuid"), _) => UserId::generate().to_string(),
        (Some("iso-4217"), _) => "EUR".to_owned(),
        (Some("date-time"), _) => "2026-12-24T18:00:00Z".to_owned(),
        (_, "name") => "Tea".to_owned(),
        (_, "sha256") => Code::of(b"export default () => 1").sha256,
        (_, "path") => "/add".to_owned(),
        (_, "topic") => "orders.events".to_owned(),
        (_, "cron") => "0 6 * * *".to_owned(),
        (_, "time_zone") => "Europe/Berlin".to_owned(),
        (_, "types") => "OrderPaid".to_owned(),
        (_, "method") => "card".to_owned(),
        (_, "email") => "ada@example.org".to_owned(),
        _ => format!("the {name}"),
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{json::Validator, topics::Service};

    use super::*;

    #[test]
    fn every_example_fits() {
        for (name, validator) in Service::ALL.into_iter().flat_map(Validator::of_commands) {
            let example = of(&name).expect("a type");
            assert_eq!(validator.misfits(&example), [], "{name}: {example}");
        }
    }
}
