//! What the routes of users say about themselves.

use factfold_schemas::users::{DeactivateUser, UpdateProfile, User};
use serde_json::json;

use super::ListParameters;
use crate::{
    accounts::{NewPassword, Registration},
    documents::{
        components::Components,
        description::{Description, Place},
        example::Example,
        sample::{BEARER, PASSWORD, SOMEBODY, SOMEBODYS_EMAIL, session, user},
    },
    reading::body::MERGE_PATCH,
};

const ID: &str = "The user's id.";

pub(in crate::routes) fn register(components: &mut Components) -> Description {
    Description::write("Register", components)
        .detail(
            "Answers when the address is claimed and the account is made: a log-in that follows at once works. Addresses are \
             compared without regard to case.",
        )
        .body(components.of::<Registration>())
        .creates(components.of::<User>())
        .refused(&["email-taken", "registration-expired", "invalid-email", "invalid-name", "read-side-unavailable"])
        .example(
            Example::of("Somebody new")
                .body(json!({ "email": SOMEBODYS_EMAIL, "name": "Ada", "password": PASSWORD }))
                .status(201)
                .answer(user())
                .keeps("/id", SOMEBODY),
        )
}

/// Somebody who has logged in.
fn logged_in() -> User {
    User { sessions: vec![session()], ..user() }
}

pub(in crate::routes) fn show(components: &mut Components) -> Description {
    Description::read("Show oneself").shows(components.of::<User>()).refused(&["user-not-found"]).example(
        Example::of("Somebody who has logged in").header("Authorization", BEARER).answer(logged_in()),
    )
}

pub(in crate::routes) fn update(components: &mut Components) -> Description {
    Description::write("Change one's name", components)
        .patch(components.of::<UpdateProfile>())
        .changes(components.of::<User>())
        .refused(&["user-not-found", "user-not-active", "invalid-name"])
        .example(
            Example::of("Another name")
                .header("Authorization", BEARER)
                .body_as(MERGE_PATCH, json!({ "name": "Ada L." }))
                .answer(logged_in()),
        )
}

pub(in crate::routes) fn change_password(components: &mut Components) -> Description {
    Description::write("Change one's password", components)
        .detail("Every session ends, and every token with it: log in again.")
        .body(components.of::<NewPassword>())
        .changes(components.of::<User>())
        .refused(&[
            "user-not-found",
            "user-not-active",
            "password-outdated",
            "too-many-attempts",
            "read-side-unavailable",
        ])
        .example(
            Example::of("With a token that no log-in made")
                .body(json!({ "current_password": PASSWORD, "new_password": "another long and odd phrase" }))
                .status(404),
        )
}

pub(in crate::routes) fn erase(components: &mut Components) -> Description {
    Description::write("Be forgotten", components)
        .detail(
            "What was said about the caller can be read by nobody any more, wherever it is stored; the account is closed. It \
             cannot be undone.",
        )
        .body_or_nothing(json!({ "type": "object", "additionalProperties": false }))
        .changes(components.of::<User>())
        .refused(&["user-not-found", "user-not-active"])
        .example(Example::of("With a token that no log-in made").status(404))
}

pub(in crate::routes) fn list(components: &mut Components) -> Description {
    Description::read("List users")
        .query(components.query::<ListParameters>())
        .lists(&components.of::<User>())
        .example(Example::of("All who can log in").query("status", "active").query("limit", "10"))
}

pub(in crate::routes) fn grant(components: &mut Components) -> Description {
    role("Give a user a role", "Let somebody sell", components)
}

pub(in crate::routes) fn revoke(components: &mut Components) -> Description {
    role("Take a role from a user", "Let nobody sell", components)
        .detail("Tokens that were made before are good no more: the refresh token gets one without it.")
}

fn role(summary: &'static str, example: &'static str, components: &mut Components) -> Description {
    Description::write(summary, components)
        .about(ID, "user-not-found")
        .parameter(Place::Path, "role", true, "The role.", json!({ "type": "string" }))
        .body_or_nothing(json!({ "type": "object", "additionalProperties": false }))
        .changes(components.of::<User>())
        .refused(&["user-not-active"])
        .example(Example::of(example).about(SOMEBODY).path("role", "merchant"))
}

pub(in crate::routes) fn deactivate(components: &mut Components) -> Description {
    Description::write("Close an account", components)
        .detail("For ever. Every session ends; the address can be used for another account.")
        .about(ID, "user-not-found")
        .body(components.of::<DeactivateUser>())
        .changes(components.of::<User>())
        .refused(&["user-not-active", "invalid-reason"])
        .example(
            Example::of("Nobody there")
                .about("0190aaaa-0000-7000-8000-0000000000ff")
                .body(json!({ "reason": "asked for it" }))
                .status(404),
        )
}
