//! AsyncAPI 3: the topics, and what lies on them. (Replies, timers and keys are the system's own, and no business of anybody
//! else's.)

use factfold_schemas::{
    command::VALUE_BYTES_MAX,
    functions::FunctionName,
    ids::{self, Kind},
    json,
    topics::{Service, Topic, TopicKind},
};
use serde_json::{Map, Value, json};

/// The document.
pub fn asyncapi() -> Value {
    let schemas = json::all();
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for (topic, purpose) in Topic::all().filter_map(|topic| Some((topic, purpose(topic.kind)?))) {
        let Purpose { description, action, summary } = purpose;
        let folder = folder(topic);
        let here: Map<String, Value> = schemas
            .iter()
            .filter_map(|(path, schema)| Some((type_name(path.strip_prefix(&folder)?)?, schema)))
            .map(|(name, schema)| (name.to_owned(), message(topic, name, schema)))
            .chain((topic.kind == TopicKind::DeadLetters).then(|| ("DeadLetter".to_owned(), dead_letter())))
            .collect();
        let references = here.keys().map(|name| {
            (name.clone(), json!({ "$ref": format!("#/components/messages/{}", message_id(topic, name)) }))
        });
        channels.insert(topic.to_string(), channel(topic, description, references.collect()));
        let channel = format!("#/channels/{topic}");
        let operation = json!({ "action": action, "summary": summary, "channel": { "$ref": channel } });
        operations.insert(topic.to_string(), operation);
        messages.extend(here.into_iter().map(|(name, message)| (message_id(topic, &name), message)));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "factfold",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache 2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

const INTRODUCTION: &str = "Commands in, events out. A command needs a key (its stream), the header `ce_type`, and a JSON \
value, nothing more; whatever partition it is written to, it is decided where its key belongs, once. Its trace is either \
events, or one record of outcomes; both name it in `ce_causationid`. Everything is a CloudEvent in Kafka's binary mode.";

/// Where the schemas of what lies on a topic stand.
fn folder(topic: Topic) -> String {
    match topic.kind {
        TopicKind::Outcomes => "outcomes/".to_owned(),
        kind => format!("{}/{}/", topic.service, <&str>::from(kind)),
    }
}

/// The name in `PayOrder.1.json`.
fn type_name(file: &str) -> Option<&str> {
    file.split('.').next()
}

/// Components have simple names: letters, digits, `.`, `-` and `_`.
fn message_id(topic: Topic, name: &str) -> String {
    format!("{topic}.{name}")
}

/// What a topic is for, and what the system does with it; `None` of those that are its own.
struct Purpose {
    description: &'static str,
    action: &'static str,
    summary: &'static str,
}

fn purpose(kind: TopicKind) -> Option<Purpose> {
    let (description, action, summary) = match kind {
        TopicKind::Commands => (
            "Requests, in the imperative. Whoever may write here is trusted to act for anyone.",
            "receive",
            "Decides commands.",
        ),
        TopicKind::Events => {
            ("Facts, in the past tense, for ever: the truth.", "send", "Says what happened.")
        }
        TopicKind::Outcomes => (
            "What became of commands that gave no events: one record for each.",
            "send",
            "Says what became of the others.",
        ),
        TopicKind::DeadLetters => (
            "What could not be read, as it came, with the reason.",
            "send",
            "Puts aside what could not be read.",
        ),
        TopicKind::Timers | TopicKind::Emitted | TopicKind::State => return None,
    };
    Some(Purpose { description, action, summary })
}

fn channel(topic: Topic, description: &str, messages: Map<String, Value>) -> Value {
    let number_or_text =
        |value: &str| value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number));
    let configuration = topic.configuration().iter();
    let configuration: Map<_, _> =
        configuration.map(|(name, value)| ((*name).to_owned(), number_or_text(value))).collect();
    json!({
        "address": topic.to_string(),
        "description": description,
        "messages": messages,
        "bindings": { "kafka": { "topicConfiguration": configuration, "bindingVersion": "0.5.0" } },
    })
}

fn message(topic: Topic, name: &str, schema: &Value) -> Value {
    let mut payload = schema.clone();
    if let Some(payload) = payload.as_object_mut() {
        // AsyncAPI has a dialect of its own, and names of its own.
        payload.retain(|keyword, _| !["$schema", "$id"].contains(&keyword.as_str()));
    }
    let mut message = json!({
        "name": name,
        "title": name,
        "summary": schema["description"],
        "headers": headers(topic.kind, name),
        "payload": payload,
        "bindings": { "kafka": { "key": key(topic.service), "bindingVersion": "0.5.0" } },
    });
    if topic.kind == TopicKind::Commands {
        message["description"] = json!(format!("At most {VALUE_BYTES_MAX} bytes."));
    }
    message
}

fn dead_letter() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A record that could not be read: key, value and headers as they came, and headers of its own.",
        "headers": {
            "type": "object",
            "properties": {
                "factfold_position": text("Where it was stored."),
                "factfold_reason": text("Why it could not be read, in kebab-case."),
                "factfold_detail": text("The same in a sentence."),
                "factfold_timestamp": text("When it was stored, in milliseconds since 1970."),
            },
            "required": ["factfold_position", "factfold_reason", "factfold_detail", "factfold_timestamp"],
        },
        "payload": {},
    })
}

/// The stream: what is decided in one order.
fn key(service: Service) -> Value {
    let prefixes: &[&str] = match service {
        Service::Functions => &[FunctionName::PREFIX],
        Service::Goods => &[ids::Goods::PREFIX],
        Service::Orders => &[ids::Order::PREFIX],
        Service::Users => &[ids::User::PREFIX, ids::Email::PREFIX],
    };
    let streams: Vec<_> = prefixes.iter().map(|prefix| format!("`{prefix}-<uuid>`")).collect();
    json!({ "type": "string", "description": format!("The stream: {}.", streams.join(" or ")) })
}

/// Attributes of a command that a client may give, besides its type.
const OF_COMMANDS: [(&str, &str); 13] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "Names the command within its source and stream: a repeat has the same."),
    ("ce_source", "Who made the id."),
    ("ce_subject", "The stream again."),
    ("ce_dataschema", "The schema of the value."),
    ("ce_correlationid", "What belongs together, across streams and services."),
    ("ce_causationid", "What this follows from."),
    ("ce_traceparent", "W3C trace context."),
    ("ce_authtype", "On whose behalf: user, system …"),
    ("ce_authid", "On whose behalf: who that is."),
    ("ce_notbefore", "Until when it waits before it is decided (RFC 3339)."),
    ("ce_expirytime", "From when on nobody wants it any more (RFC 3339)."),
    ("ce_expectedversion", "The version of the stream that it expects."),
];
/// Attributes that everything has which follows from a command.
const OF_DECISIONS: [(&str, &str); 9] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "The record's own id."),
    ("ce_source", "The service."),
    ("ce_dataschema", "The schema of the value."),
    ("ce_time", "The broker's time of the command."),
    ("ce_causationid", "The command's id."),
    ("ce_causationsource", "The command's source."),
    ("ce_commanddigest", "What the command said."),
    ("ce_decidedposition", "The record of the command that was decided."),
];
/// Attributes that it can have.
const OF_SOME_DECISIONS: [(&str, &str); 6] = [
    ("ce_subject", "The stream."),
    ("ce_commandposition", "Where the client stored the command, if it was forwarded."),
    ("ce_correlationid", "What belongs together, across streams and services."),
    ("ce_traceparent", "W3C trace context."),
    ("ce_authtype", "On whose behalf: user, system …"),
    ("ce_authid", "On whose behalf: who that is."),
];

fn headers(kind: TopicKind, name: &str) -> Value {
    let of_its_kind: &[(&str, &str)] = match kind {
        TopicKind::Events => &[("ce_streamversion", "The version of the stream with this event.")],
        TopicKind::Outcomes => {
            &[("ce_after", "Up to which command everything of the stream had been decided.")]
        }
        TopicKind::Commands
        | TopicKind::DeadLetters
        | TopicKind::Timers
        | TopicKind::Emitted
        | TopicKind::State => &[],
    };
    let (always, sometimes): (&[_], &[_]) = match kind {
        TopicKind::Events | TopicKind::Outcomes => (&OF_DECISIONS, &OF_SOME_DECISIONS),
        TopicKind::Commands
        | TopicKind::DeadLetters
        | TopicKind::Timers
        | TopicKind::Emitted
        | TopicKind::State => (&[], &OF_COMMANDS),
    };
    let mut properties = Map::from_iter([("ce_type".to_owned(), json!({ "const": name }))]);
    for (name, description) in [always, of_its_kind, sometimes].concat() {
        properties.insert(name.to_owned(), json!({ "type": "string", "description": description }));
    }
    let required: Vec<_> = ["ce_type"].into_iter().chain(always.iter().map(|(name, _)| *name)).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// What lies on somebody's topic has the headers that the document names, and no others.
    #[test]
    fn every_golden_record_has_the_headers_that_the_document_names() {
        let document = asyncapi();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/golden");
        for (family, kind) in [
            ("goods", "goods.events"),
            ("orders", "orders.events"),
            ("users", "users.events"),
            ("outcomes", "orders.outcomes"),
        ] {
            for file in fs::read_dir(golden.join(family)).expect("golden records") {
                let path = file.expect("a file").path();
                let record: Value =
                    serde_json::from_slice(&fs::read(&path).expect("a record")).expect("JSON");
                let name = record["headers"]["ce_type"].as_str().expect("a type");
                let headers = &document["components"]["messages"][format!("{kind}.{name}")]["headers"];
                let there = record["headers"].as_object().expect("headers");
                for required in headers["required"].as_array().expect("a list") {
                    assert!(there.contains_key(required.as_str().expect("a name")), "{name}: {required}");
                }
                for header in there.keys().filter(|header| *header != "content-type") {
                    assert!(headers["properties"].get(header).is_some(), "{name}: {header}");
                }
            }
        }
    }
}
