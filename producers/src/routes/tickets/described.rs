//! What the route of tickets says about itself.

use serde_json::json;

use super::Ticket;
use crate::{
    documents::{
        components::Components,
        description::{Answer, Description},
        example::Example,
    },
    reading::body::JSON,
};

pub(in crate::routes) fn create(components: &mut Components) -> Description {
    Description::plain("Get a ticket")
        .detail(
            "For `?ticket=` on the routes of events, where a browser cannot send a token. It is good once, for half a minute, \
             and lets its reader see what the caller may.",
        )
        .answers(Answer {
            status: 201,
            description: "The ticket.",
            content: vec![(JSON, components.of::<Ticket>())],
            headers: Vec::new(),
        })
        .example(
            Example::of("For an EventSource").status(201).answer(json!({ "ticket": "eyJ…", "expires_in": 30 })),
        )
}
