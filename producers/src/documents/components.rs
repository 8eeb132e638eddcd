//! The components of the OpenAPI document: each type once, under its name, as schemars derives it from the type that runs;
//! and the parameters and headers that many routes share.

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform,
};
use serde_json::{Map, Value, json};

use super::description::{Parameter, Place};
use crate::{problems, settings::WAIT_MAX};

/// The schemas that were asked for so far.
#[derive(Debug)]
pub(crate) struct Components(SchemaGenerator);

impl Components {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.meta_schema = None;
            settings.definitions_path = "/components/schemas".into();
            settings.transforms.push(Box::new(RecursiveTransform(enumeration)));
        });
        Self(settings.into_generator())
    }

    /// A reference to the schema of this type; the schema itself, where a type has no name.
    pub(crate) fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    /// A reference to this schema, which is made of others, by a name of its own.
    pub(crate) fn named(&mut self, name: &str, schema: Value) -> Value {
        self.0.definitions_mut().insert(name.to_owned(), schema);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of this type without one of its fields, which this route does not take.
    pub(crate) fn without<T: JsonSchema>(&mut self, field: &str) -> Value {
        let mut schema = T::json_schema(&mut self.0).to_value();
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.remove(field);
        }
        if let Some(required) = schema["required"].as_array_mut() {
            required.retain(|name| name != field);
        }
        schema
    }

    /// The schema of what each of these variants of a message holds, by the variant's name. The others are no components.
    pub(crate) fn variants<M: JsonSchema>(
        &mut self,
        are_shown: impl Fn(&str) -> bool,
    ) -> Vec<(String, Value)> {
        let mut whole = M::json_schema(&mut self.0).to_value();
        let variants = whole["oneOf"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let properties = variants
            .into_iter()
            .filter_map(|mut variant| Some(std::mem::take(variant["properties"].as_object_mut()?)));
        let (shown, hidden): (Vec<_>, Vec<_>) = properties.flatten().partition(|(name, _)| are_shown(name));
        for (name, _) in hidden {
            self.0.definitions_mut().remove(&name);
        }
        shown
    }

    /// The parameters that a handler reads from the query as a `T`: one for each of its fields.
    pub(crate) fn query<T: JsonSchema>(&mut self) -> Vec<Parameter> {
        let mut whole = T::json_schema(&mut self.0).to_value();
        let required = whole["required"].take();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.contains(&json!(name)));
        let properties = whole["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
        properties
            .into_iter()
            .map(|(name, schema)| Parameter::Own {
                is_required: is_required(&name),
                place: Place::Query,
                schema: without_null(schema),
                name,
            })
            .collect()
    }

    /// All components.
    pub(super) fn finish(mut self) -> Value {
        let mut schemas = self.0.take_definitions(true);
        schemas.insert("Problem".to_owned(), problems::schema());
        json!({
            "schemas": schemas,
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                           "description": "An access token of this installation (EdDSA)." },
            },
        })
    }
}

/// `oneOf` constants becomes `enum`: the same, and what every generator of clients understands.
fn enumeration(schema: &mut Schema) {
    let Some(Value::Array(alternatives)) = schema.get("oneOf") else { return };
    let constants =
        alternatives.iter().map(|one| Some((one.get("const")?.as_str()?, one.get("description"))));
    let Some(constants) = constants.collect::<Option<Vec<_>>>() else { return };
    let mut description = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, meaning) in &constants {
        let meaning = meaning.and_then(Value::as_str).unwrap_or_default();
        description.push_str(&format!("\n- `{name}`: {meaning}"));
    }
    let values: Vec<_> = constants.iter().map(|(name, _)| json!(name)).collect();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(values));
    schema.insert("description".to_owned(), Value::String(description));
}

/// An optional field is absent from a query, never null.
fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
    let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") else { return schema };
    alternatives.retain(|alternative| alternative["type"] != "null");
    let [one] = alternatives.as_mut_slice() else { return schema };
    let mut one = one.take();
    if let Some(description) = schema.get("description") {
        one["description"] = description.clone();
    }
    one
}

fn parameters() -> Value {
    let position = r"[a-z-]+\.commands/[0-9]{1,4}@[0-9]{1,15}";
    let key =
        json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!-~]([\t -~]*[!-~])?$" });
    let wait_max = WAIT_MAX.as_secs();
    let headers = [
        json!({
            "name": "Idempotency-Key",
            "description": "Names the request: a repeat under the same key takes effect once, for 24 hours. The same key with \
                            another body is refused.",
            "schema": key,
        }),
        json!({
            "name": "Prefer",
            "description":
                format!("How long to wait for the decision: `wait=10` (seconds, at most {wait_max}), or `respond-async`."),
            "schema": { "type": "string" },
            "example": "wait=10",
        }),
        json!({
            "name": "Factfold-At-Least",
            "description": "Positions of writes that the answer must include, as `Factfold-Position` named them (as in \
                            `orders.commands/7@1042`); more than one with commas between them.",
            "schema": { "type": "string", "pattern": format!("^({position}(, ?{position})*)?$") },
        }),
        json!({
            "name": "Last-Event-ID",
            "description": "The `id` of the last event that was seen: it goes on after it.",
            "schema": { "type": "string" },
        }),
        json!({
            "name": "If-None-Match",
            "description": "An `ETag` that the client has.",
            "schema": { "type": "string" },
        }),
        json!({
            "name": "If-Match",
            "description": "The `ETag` of the version that the change is meant for, at another it is refused; `*` means any.",
            "schema": { "type": "string", "pattern": r#"^(\*|"[0-9]+(\.[0-9]+)?")$"# },
            "example": "*",
        }),
    ];
    let named = headers.into_iter().map(|mut header| {
        header["in"] = json!("header");
        (header["name"].as_str().unwrap_or_default().to_owned(), header)
    });
    named.collect::<Map<_, _>>().into()
}

fn headers() -> Value {
    let header = |description: &str, is_required: bool| json!({ "description": description, "required": is_required, "schema": { "type": "string" } });
    json!({
        "Factfold-Position": header("Where the command lies. A read with it in `Factfold-At-Least` includes the write.", true),
        "Location": header("Where to find what was made, or what became of the command.", true),
        "ETag": header("The version of the resource.", true),
        "Factfold-Call": header("Names the call: its lines in the function's logs say the same.", true),
        "Link": header("The next page, as `rel=\"next\"`.", false),
        "Preference-Applied": header("What of `Prefer` was followed.", false),
        "Retry-After": { "description": "When to try again, in seconds.", "required": true,
                         "schema": { "type": "integer", "minimum": 0 } },
    })
}
