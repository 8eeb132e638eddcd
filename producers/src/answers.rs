//! Answers: what was decided, as HTTP.

use std::fmt::Display;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use factfold_projections::Page;
use factfold_schemas::record::{Answer as Decided, Reply};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    problems::{Answer, Problem},
    reading::{
        body::JSON,
        etag,
        prefer::{PREFERENCE_APPLIED, Prefer},
        read::Read,
    },
    submitting::Submitted,
};

/// Where a command lies: what a later read can wait for.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("factfold-position");

/// The answer to a write. `created` is the path of what it creates.
pub(crate) fn to_write(prefer: Prefer, submitted: Submitted, created: Option<&str>) -> Answer {
    let applied = prefer.applied();
    match submitted.settled() {
        Ok(reply) => {
            let mut response = reply.map_or_else(|| pending(&submitted), |reply| decided(reply, created));
            set(&mut response, POSITION, &submitted.position.to_string());
            if let Some(applied) = &applied {
                set(&mut response, PREFERENCE_APPLIED, applied);
            }
            Ok(response)
        }
        Err(problem) => Err(match &applied {
            Some(applied) => problem.with_header(PREFERENCE_APPLIED, applied),
            None => problem,
        }),
    }
}

/// Stored, and not decided yet.
fn pending(submitted: &Submitted) -> Response {
    let Submitted { command_id, position, .. } = submitted;
    let body = json!({ "command_id": command_id, "position": position, "status": "pending" });
    let mut response = json_response(StatusCode::ACCEPTED, &body);
    set(&mut response, header::LOCATION, &command_path(command_id, &position.to_string()));
    response
}

/// Where to ask for the outcome of a command.
pub(crate) fn command_path(id: &str, position: &str) -> String {
    /// RFC 3986: what never needs to be escaped stays readable.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("/v1/commands/{}?at={position}", utf8_percent_encode(id, ESCAPED))
}

fn decided(reply: &Reply, created: Option<&str>) -> Response {
    let Decided::Accepted { version } = reply.answer else { return present(reply, StatusCode::OK, None) };
    let status = if created.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = present(reply, status, Some(version));
    if let Some(path) = created {
        set(&mut response, header::LOCATION, path);
    }
    response
}

/// The resource as the decision left it; without one, what is known of the command.
fn present(reply: &Reply, status: StatusCode, version: Option<u64>) -> Response {
    let Some(resource) = &reply.resource else {
        let state = if version.is_some() { "accepted" } else { "no-change" };
        let body = json!({ "command_id": reply.command_id, "position": reply.position, "status": state,
                           "version": version });
        return json_response(status, &body);
    };
    let mut response = json_response(status, resource);
    // A repeat is answered with the state of now, which can be later than the version of then.
    if let Some(version) = resource.get("version").and_then(Value::as_u64) {
        set(&mut response, header::ETAG, &etag::of(version));
    }
    response
}

/// A single resource at this version, or 304 when the client has it.
pub(crate) fn to_read(read: &Read, version: u64, resource: &impl Serialize) -> Answer {
    let mut response = if read.has(version)? {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json_response(StatusCode::OK, resource)
    };
    set(&mut response, header::ETAG, &etag::of(version));
    Ok(response)
}

/// A page of a list. `path` and `query` are those of the request, so that the link to the next page keeps its filters.
pub(crate) fn page<T: Serialize, C: Display>(page: &Page<T, C>, path: &str, query: Option<&str>) -> Response {
    let next = page.next.as_ref().map(ToString::to_string);
    let mut response = json_response(StatusCode::OK, &json!({ "items": page.items, "next": next }));
    if let Some(cursor) = next {
        let kept = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
        let query: String = kept.map(|pair| format!("{pair}&")).collect();
        set(&mut response, header::LINK, &format!("<{path}?{query}after={cursor}>; rel=\"next\""));
    }
    response
}

/// A JSON body.
pub(crate) fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer is no JSON");
            Problem::new("internal-error", "the answer could not be written").into_response()
        }
    }
}

/// Sets a header; a value that cannot be one is left out.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
