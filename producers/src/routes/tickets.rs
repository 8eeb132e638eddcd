//! Tickets: a browser's `EventSource` sends no `Authorization`, so it gets an address that is good once, and not for long.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use crate::{
    access::{Caller, TICKET_TIME},
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
};

/// `POST /v1/sessions/tickets`: in the caller's name, for `?ticket=` on the routes of events.
pub(super) async fn create(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    let ticket = gateway.access.ticket(&caller).map_err(|error| {
        tracing::error!(%error, "a ticket could not be made");
        Problem::new("internal-error", "the ticket could not be made")
    })?;
    let body = json!({ "ticket": ticket, "expires_in": TICKET_TIME.as_secs() });
    let response = answers::json_response(StatusCode::CREATED, &body);
    Ok(([(header::CACHE_CONTROL, "no-store")], response).into_response())
}
