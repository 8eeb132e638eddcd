//! What the routes of events say about themselves.

use factfold_schemas::topics::Service;
use serde_json::{Value, json};

use super::{ServiceParameters, StreamParameters};
use crate::{
    access::Role,
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
        sample::{COMMAND, CUSTOMER, ORDER_STREAM},
    },
    live::{ndjson::NDJSON, sse::EVENT_STREAM},
    reading::body::JSON,
};

const FOLLOWED: &str = "Followed as server-sent events it goes on with what comes: each event has an `id` that goes into \
                        `Last-Event-ID` (or `after`) to go on where the connection broke off, through any gateway. Browsers \
                        cannot send a token there; they get a `ticket` first.";

pub(in crate::routes) fn of_stream(components: &mut Components) -> Description {
    let plain = components.named("RecordedEvent", event());
    let changed = components.named("ChangedEvent", changed(&plain));
    let page = Description::page(&json!({ "anyOf": [plain, changed] }));
    Description::read("Read or follow the history of a stream")
        .detail(FOLLOWED)
        .parameter(Place::Path, "stream", true, "The stream, as `order-<id>`.", json!({ "type": "string" }))
        .common("Last-Event-ID")
        .query(components.query::<StreamParameters>())
        .answers(Answer {
            status: 200,
            description: "Its events, from the first; with `changes` as `ChangedEvent`.",
            content: vec![(JSON, page), (EVENT_STREAM, json!({ "type": "string" }))],
            headers: vec!["Link"],
        })
        .refused(&["forbidden", "stream-not-found", "not-acceptable", "log-unavailable", "too-many-readers"])
        .example(
            Example::of("When an order was paid")
                .path("stream", ORDER_STREAM)
                .query("type", "OrderPaid")
                .answer(json!({ "items": [paid()], "next": null })),
        )
        .example(
            Example::of("What the payment changed")
                .path("stream", ORDER_STREAM)
                .query("type", "OrderPaid")
                .query("changes", "true")
                .answer(json!({ "items": [{ "event": paid(), "changes": paid_changes() }], "next": null })),
        )
        .example(
            Example::of("What was refused, too")
                .by(Role::Auditor)
                .path("stream", ORDER_STREAM)
                .query("outcomes", "true"),
        )
}

pub(in crate::routes) fn of_service(components: &mut Components) -> Description {
    let services = Service::ALL.map(Service::name);
    let lines = json!({ "type": "string", "description": "One `RecordedEvent` a line." });
    Description::plain("Replay or follow all events of a service")
        .detail(FOLLOWED)
        .parameter(Place::Path, "service", true, "The service.", json!({ "type": "string", "enum": services }))
        .common("Last-Event-ID")
        .query(components.query::<ServiceParameters>())
        .answers(Answer {
            status: 200,
            description: "Its events: those that were, in one order that is the same every time; or those that come.",
            content: vec![(NDJSON, lines), (EVENT_STREAM, json!({ "type": "string" }))],
            headers: vec!["Link"],
        })
        .refused(&[
            "invalid-header",
            "invalid-parameter",
            "invalid-position",
            "not-found",
            "not-acceptable",
            "not-implemented",
            "log-unavailable",
            "too-many-readers",
        ])
        .example(
            Example::of("All goods that were ever added").path("service", "goods").query("type", "GoodsAdded"),
        )
}

/// An event as a CloudEvent, with where and when it was stored.
fn event() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "description": "An event as a CloudEvent, and where and when it was stored. It has more attributes, as AsyncAPI has \
                        them.",
        "type": "object",
        "properties": {
            "specversion": text("1.0"),
            "id": text("The event's id."),
            "source": text("The service."),
            "type": text("What happened."),
            "subject": text("The stream."),
            "time": text("The broker's time of the command."),
            "streamversion": { "type": "integer", "description": "The version of the stream with this event." },
            "causationid": text("The command's id."),
            "position": text("Where it lies."),
            "recordedtime": text("When the broker stored it."),
            "data": { "description": "What the type's schema says." },
        },
        "required": ["specversion", "id", "source", "type", "position", "recordedtime"],
    })
}

/// An event, and what it changed.
fn changed(event: &Value) -> Value {
    let change = json!({
        "description": "A place with another value than before. What is missing was not there, or is not there any more.",
        "type": "object",
        "properties": {
            "path": { "type": "string", "description": "A JSON pointer into the resource; the empty one is all of it." },
            "before": { "description": "What was there." },
            "after": { "description": "What is there now." },
        },
        "required": ["path"],
        "additionalProperties": false,
    });
    json!({
        "description": "An event, and what it changed of the resource: nothing, where it is what a command came to that gave no \
                        events.",
        "type": "object",
        "properties": { "event": event, "changes": { "type": "array", "items": change } },
        "required": ["event", "changes"],
        "additionalProperties": false,
    })
}

fn paid_changes() -> Value {
    let money = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    json!([
        { "path": "/status", "before": "confirmed", "after": "paid" },
        { "path": "/paid", "before": null, "after": money(1098) },
        { "path": "/refunded", "before": null, "after": money(0) },
    ])
}

fn paid() -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("{ORDER_STREAM}@4"),
        "type": "OrderPaid",
        "source": "/orders",
        "datacontenttype": "application/json",
        "subject": ORDER_STREAM,
        "dataschema": "urn:factfold:orders:OrderPaid:1",
        "streamversion": 4,
        "time": "2026-11-23T05:06:09.312Z",
        "causationid": COMMAND,
        "causationsource": format!("/clients/{CUSTOMER}"),
        "commanddigest": "YXV2UyiTmI1jqz5fKVa8vQ",
        "decidedposition": "orders.commands/1@17",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "authtype": "user",
        "authid": CUSTOMER,
        "position": "orders.events/1@42",
        "recordedtime": "2026-11-23T05:06:09.318Z",
        "data": { "amount": { "amount": 1098, "currency": "EUR" }, "method": "card" },
    })
}
