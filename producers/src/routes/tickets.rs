//! Tickets: a browser's `EventSource` sends no `Authorization`, so it gets an address that is good once, and not for long.

pub(super) mod described;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    access::{Caller, TICKET_TIME},
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
};

/// What opens a route of events once.
#[derive(Debug, Serialize, JsonSchema)]
struct Ticket {
    /// What goes into `?ticket=`.
    ticket: String,
    /// For how long it is good, in seconds.
    expires_in: u64,
}

/// `POST /v1/sessions/tickets`: in the caller's name, for `?ticket=` on the routes of events.
pub(super) async fn create(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    let ticket = gateway.access.ticket(&caller).map_err(|error| {
        tracing::error!(%error, "a ticket could not be made");
        Problem::new("internal-error", "the ticket could not be made")
    })?;
    let ticket = Ticket { ticket, expires_in: TICKET_TIME.as_secs() };
    let response = answers::json_response(StatusCode::CREATED, &ticket);
    Ok(([(header::CACHE_CONTROL, "no-store")], response).into_response())
}
