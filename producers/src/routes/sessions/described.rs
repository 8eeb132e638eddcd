//! What the routes of sessions say about themselves.

use serde_json::json;

use crate::{
    accounts::{Login, Refreshing, Tokens},
    documents::{
        components::Components,
        description::{Answer, Description},
        example::Example,
        sample::{PASSWORD, REFRESH_TOKEN, SOMEBODYS_EMAIL},
    },
    reading::body::JSON,
};

pub(in crate::routes) fn log_in(components: &mut Components) -> Description {
    opening("Log in", 201, components)
        .detail(
            "An access token for 15 minutes, and a refresh token for the next one. Whoever has wrong passwords again and again \
             has to wait, longer and longer.",
        )
        .body(components.of::<Login>())
        .refused(&["wrong-credentials", "too-many-attempts", "read-side-unavailable"])
        .example(
            Example::of("Somebody who has registered")
                .body(json!({ "email": SOMEBODYS_EMAIL, "password": PASSWORD }))
                .status(201)
                .answer(tokens())
                .keeps("/refresh_token", REFRESH_TOKEN),
        )
}

pub(in crate::routes) fn refresh(components: &mut Components) -> Description {
    opening("Get the next tokens of a session", 200, components)
        .detail(
            "A refresh token is good for one time (and for half a minute more, since an answer can get lost). One that comes \
             again later was stolen: the session ends.",
        )
        .body(components.of::<Refreshing>())
        .refused(&["session-over"])
        .example(
            Example::of("Going on")
                .body(json!({ "refresh_token": REFRESH_TOKEN }))
                .answer(tokens()),
        )
}

pub(in crate::routes) fn log_out(components: &mut Components) -> Description {
    let mut described = Description::write("Log out", components)
        .detail("The session of the token that it is asked with ends, and every token of it.")
        .answers(Answer {
            status: 204,
            description: "It has ended.",
            content: Vec::new(),
            headers: Vec::new(),
        })
        .refused(&["no-session", "user-not-found"])
        .example(Example::of("With a token that no log-in made").status(409));
    described.answers.retain(|answer| answer.status != 202);
    described
}

fn opening(summary: &'static str, status: u16, components: &mut Components) -> Description {
    let mut described = Description::write(summary, components).answers(Answer {
        status,
        description: "The tokens (RFC 6749). Nobody may keep them on the way.",
        content: vec![(JSON, components.of::<Tokens>())],
        headers: Vec::new(),
    });
    // Nothing can be answered before it is decided.
    described.answers.retain(|answer| answer.status != 202);
    described
}

fn tokens() -> serde_json::Value {
    json!({ "access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900, "refresh_token": "eyJ…" })
}
