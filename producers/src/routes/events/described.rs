//! What the routes of events say about themselves.

use serde_json::{Value, json};

use super::{ServiceParameters, StreamParameters};
use crate::{
    access::Role,
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
        sample::ORDER_STREAM,
    },
    live::{ndjson::NDJSON, sse::EVENT_STREAM},
    reading::body::JSON,
};

const FOLLOWED: &str = "Followed as server-sent events it goes on with what comes: each event has an `id` that goes into \
                        `Last-Event-ID` (or `after`) to go on where the connection broke off, through any gateway. Browsers \
                        cannot send a token there; they get a `ticket` first.";

pub(in crate::routes) fn of_stream(components: &mut Components) -> Description {
    let page = json!({
        "type": "object",
        "properties": {
            "items": { "type": "array", "items": event(components) },
            "next": { "type": ["string", "null"] },
        },
        "required": ["items", "next"],
    });
    Description::read("Read the history of a stream")
        .detail(FOLLOWED)
        .parameter(Place::Path, "stream", true, "The stream, as `order-<id>`.", json!({ "type": "string" }))
        .common("Last-Event-ID")
        .query(components.query::<StreamParameters>())
        .answers(Answer {
            status: 200,
            description: "Its events, from the first.",
            content: vec![(JSON, page), (EVENT_STREAM, json!({ "type": "string" }))],
            headers: vec!["Link"],
        })
        .refused(&["stream-not-found", "not-acceptable", "log-unavailable", "too-many-readers"])
        .example(Example::of("An order").path("stream", ORDER_STREAM).query("limit", "10"))
}

pub(in crate::routes) fn of_service(components: &mut Components) -> Description {
    Description::read("Replay or follow all events of a service")
        .detail(FOLLOWED)
        .parameter(Place::Path, "service", true, "`goods`, `orders` or `users`.", json!({ "type": "string" }))
        .common("Last-Event-ID")
        .query(components.query::<ServiceParameters>())
        .answers(Answer {
            status: 200,
            description: "Its events: a line of JSON each, in order.",
            content: vec![(NDJSON, event(components)), (EVENT_STREAM, json!({ "type": "string" }))],
            headers: Vec::new(),
        })
        .refused(&["not-found", "not-acceptable", "log-unavailable", "too-many-readers"])
        .example(
            Example::of("What was sold")
                .by(Role::Auditor)
                .path("service", "orders")
                .query("type", "OrderPaid"),
        )
}

/// An event as it is shown: CloudEvents' JSON.
fn event(components: &mut Components) -> Value {
    let event = json!({
        "type": "object",
        "description": "An event, as CloudEvents 1.0 has it in JSON.",
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string" },
            "type": { "type": "string" },
            "source": { "type": "string" },
            "subject": { "type": "string" },
            "time": { "type": "string" },
            "data": { "type": "object" },
        },
        "required": ["specversion", "id", "type", "source", "data"],
    });
    components.named("Event", event)
}
