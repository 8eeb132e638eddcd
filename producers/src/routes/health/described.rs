//! What the routes of health say about themselves.

use serde_json::{Value, json};

use crate::documents::{components::Components, description::Description, example::Example};

pub(in crate::routes) fn alive(_: &mut Components) -> Description {
    Description::plain("Say that the process lives")
        .gives("It lives.", status("alive"))
        .example(Example::of("Alive").answer(json!({ "status": "alive" })))
}

pub(in crate::routes) fn ready(_: &mut Components) -> Description {
    Description::plain("Say whether the gateway can serve")
        .gives(
            "It can. `stopped` names the read models that do not go on: what they show is old.",
            ready_status(),
        )
        .refused(&["not-ready"])
        .example(Example::of("Ready").answer(json!({ "status": "ready", "stopped": [] })))
}

fn ready_status() -> Value {
    let mut described = status("ready");
    described["properties"]["stopped"] = json!({ "type": "array", "items": { "type": "string" } });
    described["required"] = json!(["status", "stopped"]);
    described
}

fn status(status: &str) -> Value {
    json!({ "type": "object", "properties": { "status": { "const": status } }, "required": ["status"] })
}
