//! Answers: what was decided, as HTTP.

use std::fmt::Display;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use factfold_projections::Page;
use factfold_schemas::{
    position::Position,
    record::{Answer as Decided, Reply},
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
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
            let mut response = match reply {
                Some(reply) => decided(reply, created),
                None => Undecided::pending(&submitted.command_id, submitted.position).answer(),
            };
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

/// A command that is stored, and not decided yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Undecided {
    /// The command's id.
    command_id: String,
    /// Where it lies.
    position: Position,
    /// How it stands.
    status: Waiting,
    /// Its `notbefore`, if it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    due: Option<Timestamp>,
}

/// What a command waits for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Waiting {
    /// For its turn.
    Pending,
    /// For its time.
    Scheduled,
}

impl Undecided {
    /// A command that waits for its turn.
    pub(crate) fn pending(command_id: impl Into<String>, position: Position) -> Self {
        Self { command_id: command_id.into(), position, status: Waiting::Pending, due: None }
    }

    fn scheduled(command_id: &str, position: Position, due: Timestamp) -> Self {
        Self { status: Waiting::Scheduled, due: Some(due), ..Self::pending(command_id, position) }
    }

    /// Stored, and not decided yet: how it stands, and where to ask again.
    fn answer(&self) -> Response {
        let Self { command_id, position, .. } = self;
        let mut response = json_response(StatusCode::ACCEPTED, self);
        set(&mut response, header::LOCATION, &command_path(command_id, &position.to_string()));
        response
    }
}

/// Where to ask for the outcome of a command.
pub(crate) fn command_path(id: &str, position: &str) -> String {
    /// RFC 3986: what never needs to be escaped stays readable.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("/v1/commands/{}?at={position}", utf8_percent_encode(id, ESCAPED))
}

fn decided(reply: &Reply, created: Option<&str>) -> Response {
    match &reply.answer {
        Decided::Accepted { version } => {
            let status = if created.is_some() { StatusCode::CREATED } else { StatusCode::OK };
            let mut response = present(reply, status, Some(*version));
            if let Some(path) = created {
                set(&mut response, header::LOCATION, path);
            }
            response
        }
        Decided::Scheduled { due } => Undecided::scheduled(&reply.command_id, reply.position, *due).answer(),
        Decided::NoChange | Decided::Rejected { .. } | Decided::DeadLettered { .. } => {
            present(reply, StatusCode::OK, None)
        }
    }
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
