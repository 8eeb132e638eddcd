//! What the system's routes say about themselves.

use serde_json::json;

use super::HTML;
use crate::{
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
    },
    problems::{catalogue, page::Explained},
    reading::body::JSON,
};

pub(in crate::routes) fn problem(components: &mut Components) -> Description {
    Description::plain("Explain a problem")
        .detail("What it means, and what to do.")
        .parameter(
            Place::Path,
            "name",
            true,
            "The last part of a problem's `type`.",
            json!({ "type": "string" }),
        )
        .answers(Answer {
            status: 200,
            description: "The explanation.",
            content: vec![(JSON, components.of::<Explained>()), (HTML, json!({ "type": "string" }))],
            headers: Vec::new(),
        })
        .refused(&["not-found", "not-acceptable", "invalid-header"])
        .example(
            Example::of("Sold out")
                .path("name", "sold-out")
                .answer(catalogue::find("sold-out").map(Explained::of)),
        )
}

pub(in crate::routes) fn keys(_: &mut Components) -> Description {
    let key = json!({
        "type": "object",
        "properties": { "kty": { "type": "string" }, "crv": { "type": "string" }, "x": { "type": "string" },
                        "kid": { "type": "string" } },
        "required": ["kty", "crv", "x", "kid"],
    });
    let set = json!({
        "type": "object",
        "properties": { "keys": { "type": "array", "items": key } },
        "required": ["keys"],
    });
    Description::plain("Show the public keys of access tokens")
        .detail("A JSON Web Key Set (RFC 7517).")
        .gives("The keys.", set)
        .example(Example::of("All"))
}
