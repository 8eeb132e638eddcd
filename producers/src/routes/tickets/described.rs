//! What the route of tickets says about itself.

use serde_json::json;

use crate::{
    documents::{
        components::Components,
        description::{Answer, Description},
        example::Example,
    },
    reading::body::JSON,
};

pub(in crate::routes) fn create(_: &mut Components) -> Description {
    let ticket = json!({
        "type": "object",
        "properties": { "ticket": { "type": "string" }, "expires_in": { "type": "integer" } },
        "required": ["ticket", "expires_in"],
    });
    Description::plain("Get a ticket")
        .detail(
            "For `?ticket=` on the routes of events, where a browser cannot send a token. It is good once, for half a minute, \
             and lets its reader see what the caller may.",
        )
        .answers(Answer {
            status: 201,
            description: "The ticket.",
            content: vec![(JSON, ticket)],
            headers: Vec::new(),
        })
        .example(Example::of("For an EventSource").status(201).answer(json!({ "ticket": "eyJ…", "expires_in": 30 })))
}
