//! What the system says about itself: its problems and its public keys.

pub(super) mod described;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse},
};

use crate::{
    answers::{self, set},
    gateway::Gateway,
    problems::{Answer, Problem, catalogue, page::Explained},
    reading::{accept::accepted, body::JSON, parameters::PathText},
};

/// The media type of pages.
const HTML: &str = "text/html";

/// `GET /problems/{name}`: a page for people, JSON for programs.
pub(super) async fn problem(headers: HeaderMap, PathText(name): PathText) -> Answer {
    let entry = catalogue::find(&name)
        .ok_or_else(|| Problem::new("not-found", "there is no problem of this name"))?;
    let explained = Explained::of(entry);
    let mut response = if accepted(&headers, &[JSON, HTML])? == HTML {
        Html(explained.html()).into_response()
    } else {
        answers::json_response(StatusCode::OK, &explained)
    };
    set(&mut response, header::VARY, "accept");
    set(&mut response, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    Ok(response)
}

/// `GET /.well-known/jwks.json`
pub(super) async fn keys(State(gateway): State<Gateway>) -> Answer {
    Ok(answers::json_response(StatusCode::OK, &gateway.access.jwks()))
}
