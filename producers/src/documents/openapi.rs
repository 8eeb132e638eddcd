//! OpenAPI 3.1: the routes, as their descriptions say, with the table's access rules.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    components::Components,
    description::{Answer, Body, Description, Parameter},
    example::Example,
};
use crate::{
    access::{Operation, Who},
    problems::{self, catalogue},
    routes,
};

/// The document.
pub fn openapi() -> Value {
    let mut components = Components::new();
    let (mut paths, mut tags) = (Map::new(), BTreeSet::new());
    for (operation, route) in routes::all() {
        let Some((method, path)) = operation.http() else { continue };
        tags.insert(tag(path));
        let described = described(operation, tag(path), (route.description)(&mut components));
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method.as_str().to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "factfold",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Goods and orders, event-sourced.",
            "description": INTRODUCTION,
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "paths": paths,
        "components": components.finish(),
    })
}

const INTRODUCTION: &str = "A write becomes a command, and is answered with what was decided, with its \
`Factfold-Position`. A read with that position in `Factfold-At-Least` includes the write, through any gateway.\n\nA refusal \
is a problem (RFC 9457): `type` is `/problems/<name>`, which says what it means and what to do; `errors` lists all bad fields \
at once, each with a JSON pointer into the body.\n\nA write under an `Idempotency-Key` can be repeated: it takes effect once.";

/// What a path is about: its first part behind the version.
fn tag(path: &'static str) -> &'static str {
    path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or("system")
}

fn described(operation: Operation, tag: &str, description: Description) -> Value {
    let Description { summary, detail, parameters, body, answers, problems, examples } = description;
    let description = [detail, &rule(operation)].join("\n\n");
    let mut described = json!({
        "operationId": operation.name(),
        "tags": [tag],
        "summary": summary,
        "description": description.trim(),
        "security": security(operation),
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into_iter().map(|one| parameter(one, &examples)).collect();
    }
    if let Some(Body { is_required, content }) = body {
        let content: Map<_, _> = content
            .into_iter()
            .map(|(media_type, schema)| {
                let sent = examples.iter().filter(|example| example.media_type == media_type);
                let sent = shown(sent.filter_map(|example| Some((example.name, example.body.as_ref()?))));
                (media_type.to_owned(), with_examples(json!({ "schema": schema }), sent))
            })
            .collect();
        described["requestBody"] = json!({ "required": is_required, "content": content });
    }
    let answers = answers.into_iter().map(|one| {
        let (status, mut described) = (one.status, answer(one, &examples));
        let links = if status == 201 { links(operation) } else { Map::new() };
        if !links.is_empty() {
            described["links"] = Value::Object(links);
        }
        (status.to_string(), described)
    });
    let mut responses: BTreeMap<_, _> = answers.collect();
    responses.extend(refusals(operation, problems));
    described["responses"] = json!(responses);
    described
}

/// Who may, in a sentence.
fn rule(operation: Operation) -> String {
    match operation.who() {
        Who::Everyone => "For everyone.".to_owned(),
        Who::Owner => "For everyone with a token, about what is theirs.".to_owned(),
        Who::Roles(roles) => {
            let roles: Vec<_> = roles.iter().map(|role| format!("`{role}`")).collect();
            format!("For {}.", roles.join(" or "))
        }
        Who::System => "For the system itself.".to_owned(),
    }
}

fn security(operation: Operation) -> Value {
    match operation.who() {
        // A token is good here too: who reads has seen what that one wrote.
        Who::Everyone => json!([{}, { "token": [] }]),
        _ => json!([{ "token": [] }]),
    }
}

fn parameter(parameter: Parameter, examples: &[Example]) -> Value {
    match parameter {
        Parameter::Common(name) => json!({ "$ref": format!("#/components/parameters/{name}") }),
        Parameter::Own { name, place, is_required, mut schema } => {
            let place: &str = place.into();
            let is_text = !["integer", "boolean"].map(Value::from).contains(&schema["type"]);
            let value = |said: &str| {
                if is_text { json!(said) } else { said.parse().expect("a number, true or false") }
            };
            let said = |of: &Example| {
                let mut said = [&of.path, &of.query, &of.headers].into_iter().flatten();
                said.find(|(named, _)| *named == name).map(|(_, said)| value(said))
            };
            let said: Vec<_> = examples.iter().filter_map(|of| Some((of.name, said(of)?))).collect();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let described = json!({
                "name": name,
                "in": place,
                "required": is_required,
                "description": description,
                "schema": schema,
            });
            with_examples(described, shown(said.iter().map(|(name, value)| (*name, value))))
        }
    }
}

fn shown<'a>(examples: impl Iterator<Item = (&'static str, &'a Value)>) -> Map<String, Value> {
    examples.map(|(name, value)| (key(name), json!({ "summary": name, "value": value }))).collect()
}

/// The name of an example as a key: letters, digits and hyphens.
fn key(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

fn with_examples(mut described: Value, examples: Map<String, Value>) -> Value {
    if !examples.is_empty() {
        described["examples"] = Value::Object(examples);
    }
    described
}

fn answer(answer: Answer, examples: &[Example]) -> Value {
    let Answer { status, description, content, headers } = answer;
    let mut described = json!({ "description": description });
    if !headers.is_empty() {
        described["headers"] = headers.into_iter().map(header).collect::<Map<_, _>>().into();
    }
    if !content.is_empty() {
        let given = examples.iter().filter(|example| example.status == status);
        let given = shown(given.filter_map(|example| Some((example.name, example.answer.as_ref()?))));
        let content = content.into_iter().map(|(media_type, schema)| {
            (media_type.to_owned(), with_examples(json!({ "schema": schema }), given.clone()))
        });
        described["content"] = content.collect::<Map<_, _>>().into();
    }
    described
}

/// What can be done with what was made.
fn links(making: Operation) -> Map<String, Value> {
    let about = making.http().map(|(_, path)| format!("{path}/{{id}}")).unwrap_or_default();
    let on_it = Operation::ALL.iter().filter(|other| {
        other
            .http()
            .is_some_and(|(_, path)| path.strip_prefix(&about).is_some_and(|rest| !rest.contains('{')))
    });
    let link = |other: &Operation| {
        let link = json!({ "operationId": other.name(), "parameters": { "id": "$response.body#/id" } });
        (other.name().to_owned(), link)
    };
    on_it.map(link).collect()
}

fn header(name: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

/// The problems by their status, as far as the catalogue knows it.
fn refusals(operation: Operation, mut names: Vec<&'static str>) -> BTreeMap<String, Value> {
    names.extend(match operation.who() {
        Who::Everyone => [].as_slice(),
        Who::Owner => &["unauthenticated"],
        Who::Roles(_) | Who::System => &["unauthenticated", "forbidden"],
    });
    if names.contains(&"unauthenticated") {
        names.push("issuer-unavailable");
    }
    let mut by_status = BTreeMap::<u16, BTreeMap<&str, &str>>::new();
    for entry in names.into_iter().filter_map(catalogue::find) {
        by_status.entry(entry.status).or_default().insert(entry.name, entry.title);
    }
    let refusal = |(status, problems): (u16, BTreeMap<&str, &str>)| {
        let listed = problems.iter().map(|(name, title)| format!("- [`{name}`](/problems/{name}): {title}."));
        let mut described = json!({
            "description": listed.collect::<Vec<_>>().join("\n"),
            "content": {
                (problems::MEDIA_TYPE): { "schema": { "$ref": "#/components/schemas/Problem" } },
            },
        });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            described["headers"] = Map::from_iter([header("Retry-After")]).into();
        }
        (status.to_string(), described)
    };
    by_status.into_iter().map(refusal).collect()
}
