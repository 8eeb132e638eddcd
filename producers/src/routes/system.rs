//! What the system says about itself: its problems and its public keys.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use crate::{
    answers,
    gateway::Gateway,
    problems::{Answer, Problem, catalogue},
    reading::parameters::PathText,
};

/// `GET /problems/{name}`
pub(super) async fn problem(PathText(name): PathText) -> Answer {
    let entry = catalogue::find(&name)
        .ok_or_else(|| Problem::new("not-found", "there is no problem of this name"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], entry.page()).into_response())
}

/// `GET /.well-known/jwks.json`
pub(super) async fn keys(State(gateway): State<Gateway>) -> Answer {
    Ok(answers::json_response(StatusCode::OK, &gateway.access.jwks()))
}
