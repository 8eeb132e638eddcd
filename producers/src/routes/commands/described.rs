//! What the routes of commands say about themselves.

use factfold_schemas::{
    functions::{self, FunctionName},
    goods,
    ids::{self, Kind},
    json::Validator,
    orders,
    topics::Service,
    users,
};
use serde_json::{Map, Value, json};

use super::{ShowParameters, Shown, Stored};
use crate::{
    access::{Operation, Role},
    answers::Undecided,
    documents::{
        components::Components,
        description::{Answer, Body, Description, Place},
        example::Example,
        sample::{COMMAND, POSITION, TEA},
    },
    envelopes::KNOWN,
    reading::{
        body::JSON,
        cloudevents::{BATCH, STRUCTURED},
    },
    settings::BATCH_MAX,
};

/// The stream of the sample goods.
const STREAM: &str = "goods-01a206cc-0019-70ec-84ec-29fb5a69ad89";
/// What clients say around a command, besides its type and its stream.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("id", "Names the command: a repeat under the same id takes effect once."),
    ("correlationid", "What belongs together, across streams and services."),
    ("causationid", "What this command follows from."),
    ("traceparent", "W3C trace context."),
    ("notbefore", "Until when it waits before it is decided (RFC 3339)."),
    ("expirytime", "From when on nobody wants it any more (RFC 3339)."),
    ("expectedversion", "The version of the stream for which it is meant; at another it is refused."),
];

pub(in crate::routes) fn send(components: &mut Components) -> Description {
    let commands: Vec<_> =
        Service::ALL.into_iter().flat_map(|service| commands(service, components)).collect();
    let alternatives = commands.iter().map(|command| {
        let name = format!("{}CloudEvent", command.name);
        components.named(&name, structured(command))
    });
    let event = json!({ "oneOf": alternatives.collect::<Vec<_>>() });
    let event = components.named("CloudEvent", event);
    let data: Vec<_> = commands.iter().map(|command| &command.data).collect();
    let adjust = json!({ "delta": 1, "reason": "found one more" });
    let as_event =
        || json!({ "specversion": "1.0", "type": "AdjustStock", "subject": STREAM, "data": adjust });
    let stored = json!({ "id": COMMAND, "position": POSITION });
    let mut described = Description::plain("Send commands as CloudEvents")
        .detail(
            "Singly (binary or structured), or many at once: a batch is checked whole, and one bad entry refuses all. Over HTTP \
             the stream is the `subject`; `source`, `time`, `authtype` and `authid` are the gateway's to set. Each type has the \
             rule of its own route.",
        )
        .common("Idempotency-Key")
        .parameter(Place::Header, "ce-specversion", false, "Binary mode: `1.0`.", json!({ "type": "string" }))
        .parameter(Place::Header, "ce-type", false, "Binary mode: the command's type.", json!({ "type": "string" }))
        .parameter(Place::Header, "ce-subject", false, "Binary mode: the stream.", json!({ "type": "string" }));
    for (name, description) in ATTRIBUTES {
        let name = format!("ce-{name}");
        described =
            described.parameter(Place::Header, &name, false, description, json!({ "type": "string" }));
    }
    described.body = Some(Body {
        is_required: true,
        content: vec![
            (JSON, json!({ "anyOf": data })),
            (BATCH, json!({ "type": "array", "items": event, "minItems": 1, "maxItems": BATCH_MAX })),
            (STRUCTURED, event),
        ],
    });
    let one = components.of::<Stored>();
    let many = json!({
        "type": "object",
        "properties": { "items": { "type": "array", "items": one } },
        "required": ["items"],
    });
    described
        .answers(Answer {
            status: 202,
            description: "Stored, with the position of each. Of a single one, `Location` says where to ask for its outcome.",
            content: vec![(JSON, json!({ "oneOf": [one, many] }))],
            headers: vec!["Factfold-Position"],
        })
        .refused(&[
            "invalid-json",
            "invalid-header",
            "invalid-parameter",
            "forbidden",
            "request-timeout",
            "body-too-large",
            "unsupported-media-type",
            "invalid-fields",
            // What is said about a person is sealed before it is stored, which not everybody's can be.
            "user-not-found",
            "user-not-active",
            "invalid-name",
            "not-implemented",
            "storage-unavailable",
            "outcome-unknown",
        ])
        .example(
            Example::of("Structured")
                .by(Role::Merchant)
                .body_as(STRUCTURED, as_event())
                .status(202)
                .answer(&stored)
                .keeps("/id", COMMAND)
                .keeps("/position", POSITION),
        )
        .example(
            Example::of("Binary")
                .by(Role::Merchant)
                .header("ce-specversion", "1.0")
                .header("ce-type", "AdjustStock")
                .header("ce-subject", STREAM)
                .body(adjust.clone())
                .status(202)
                .answer(&stored),
        )
        .example(
            Example::of("A batch")
                .by(Role::Merchant)
                .body_as(BATCH, json!([as_event(), as_event()]))
                .status(202)
                .answer(json!({ "items": [stored, stored] })),
        )
}

/// A type of command that clients may send.
struct Sendable {
    name: String,
    /// The stream's name before the UUID.
    prefix: &'static str,
    data: Value,
    /// Whether there is anything that must be said; without, no data means `{}`.
    needs_data: bool,
}

fn commands(service: Service, components: &mut Components) -> Vec<Sendable> {
    let may_be_sent = |name: &str| Operation::sending(name).is_some_and(Operation::takes_events);
    let (prefix, types) = match service {
        Service::Functions => (FunctionName::PREFIX, components.variants::<functions::Command>(may_be_sent)),
        Service::Goods => (ids::Goods::PREFIX, components.variants::<goods::Command>(may_be_sent)),
        Service::Orders => (ids::Order::PREFIX, components.variants::<orders::Command>(may_be_sent)),
        Service::Users => (ids::User::PREFIX, components.variants::<users::Command>(may_be_sent)),
    };
    let validators = Validator::of_commands(service);
    let needs_data = |name: &str| validators.get(name).is_some_and(|one| !one.misfits(&json!({})).is_empty());
    types
        .into_iter()
        .map(|(name, data)| Sendable { needs_data: needs_data(&name), name, prefix, data })
        .collect()
}

fn structured(command: &Sendable) -> Value {
    let Sendable { name, prefix, data, needs_data } = command;
    // What is null or empty counts as absent; CloudEvents has numbers and flags beside texts.
    let attribute = |name: &str| {
        let described = ATTRIBUTES.iter().find(|(described, _)| *described == name);
        let description = described.map_or("As CloudEvents says.", |(_, description)| description);
        let types = json!(["string", "number", "boolean", "null"]);
        (name.to_owned(), json!({ "type": types, "description": description }))
    };
    let mut properties: Map<String, Value> = KNOWN.into_iter().map(attribute).collect();
    let subject = json!({
        "type": "string",
        "description": "The stream.",
        "pattern": format!("^{prefix}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$"),
    });
    properties.extend([
        ("specversion".to_owned(), json!({ "const": "1.0" })),
        ("type".to_owned(), json!({ "const": name })),
        ("subject".to_owned(), subject),
        ("data".to_owned(), data.clone()),
    ]);
    let required = ["specversion", "type", "subject"].into_iter().chain(needs_data.then_some("data"));
    let required: Vec<_> = required.collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

pub(in crate::routes) fn show(components: &mut Components) -> Description {
    let outcome = json!({ "oneOf": [components.of::<Shown>(), components.of::<Undecided>()] });
    Description::read("Show what became of a command")
        .detail("For whoever sent it. With its position it is pending until it is decided; without, an undecided command cannot be \
                 told from one that never was.")
        .parameter(Place::Path, "id", true, "The command's id.", json!({ "type": "string" }))
        .query(components.query::<ShowParameters>())
        .gives("What became of it.", outcome)
        .refused(&["not-found", "command-not-found"])
        .example(
            Example::of("Where the answer said to ask")
                .by(Role::Merchant)
                .about(COMMAND)
                .query("at", POSITION)
                .answer(json!({
                    "command_id": COMMAND,
                    "position": POSITION,
                    "status": "accepted",
                    "version": 5,
                    "decided_at": "2026-11-23T05:06:07.623Z",
                    "stream": format!("goods-{TEA}"),
                    "repeated": false,
                })),
        )
}
