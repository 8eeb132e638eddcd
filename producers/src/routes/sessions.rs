//! Sessions: how somebody comes in, goes on, and leaves.

pub(super) mod described;

use axum::{
    extract::{Request, State},
    http::{Extensions, StatusCode, header},
    response::IntoResponse,
};

use crate::{
    accounts::Tokens,
    answers,
    gateway::Gateway,
    peer::Peer,
    problems::Answer,
    reading::{
        body::JSON,
        write::{Anonymous, Write},
    },
};

/// `POST /v1/sessions`
pub(super) async fn log_in(
    State(gateway): State<Gateway>,
    Anonymous(write): Anonymous,
    extensions: Extensions,
    request: Request,
) -> Answer {
    let asked = gateway.forms.login.read(gateway.json(request, &[JSON]).await?)?;
    let tokens = gateway.log_in(&write, &asked, Peer::of(&extensions)).await?;
    shown(StatusCode::CREATED, &tokens)
}

/// `POST /v1/sessions/refresh`
pub(super) async fn refresh(
    State(gateway): State<Gateway>,
    Anonymous(write): Anonymous,
    request: Request,
) -> Answer {
    let asked = gateway.forms.refreshing.read(gateway.json(request, &[JSON]).await?)?;
    shown(StatusCode::OK, &gateway.refresh(&write, &asked.refresh_token).await?)
}

/// `DELETE /v1/sessions/current`
pub(super) async fn log_out(State(gateway): State<Gateway>, write: Write) -> Answer {
    write.refuse_if_match()?;
    gateway.log_out(&write).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Nobody keeps them on the way.
fn shown(status: StatusCode, tokens: &Tokens) -> Answer {
    Ok(([(header::CACHE_CONTROL, "no-store")], answers::json_response(status, tokens)).into_response())
}
