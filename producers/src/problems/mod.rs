//! Problems: how every refusal and failure looks to a client (RFC 9457). The names stand in the [`catalogue`].
//!
//! A problem must never say more than its reader may know: causes from inside (Kafka, Postgres, a panic) are logged where
//! they are met, and only named here.

pub(crate) mod catalogue;
pub(crate) mod page;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use factfold_schemas::{
    json::{Misfit, schema_of},
    orders,
    rejection::{Reject, Rejection, RejectionKind},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What a handler gives: a response, or a problem.
pub(crate) type Answer = Result<Response, Problem>;

/// A refusal or a failure, on its way to the client.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: HeaderMap,
}

/// One bad field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// What is wrong.
    pub detail: String,
    /// JSON pointer into the body, as a URI fragment (`#/lines/0/quantity`); absent for what stands in a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl FieldError {
    /// What is wrong in the value that stands at `place` of the body (empty: the value is the body).
    pub(crate) fn within(place: &str, misfit: &Misfit) -> Self {
        Self { detail: misfit.detail.clone(), pointer: Some(fragment(&format!("{place}{}", misfit.pointer))) }
    }
}

impl Problem {
    /// A problem of the catalogue.
    pub(crate) fn new(name: &'static str, detail: impl Into<String>) -> Self {
        Self::named(name.to_owned(), catalogue::status_of(name), detail.into())
    }

    /// A refusal because of load: it is counted, and may be repeated in a second.
    pub(crate) fn of_load(name: &'static str, detail: impl Into<String>) -> Self {
        metrics::counter!("factfold_http_refused_total", "reason" => name).increment(1);
        Self::new(name, detail).retry_after(1)
    }

    fn named(name: String, status: StatusCode, detail: String) -> Self {
        let (errors, members, headers) = (Vec::new(), Map::new(), HeaderMap::new());
        Self(Box::new(Inner { name, status, detail, errors, members, headers }))
    }

    /// All bad fields at once.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { detail, pointer: Some(pointer) }] => format!("{pointer} {detail}"),
            [FieldError { detail, pointer: None }] => detail.clone(),
            several => format!("{} fields are wrong", several.len()),
        };
        let mut problem = Self::new("invalid-fields", detail);
        problem.0.errors = errors;
        problem
    }

    /// What a decider said no to.
    pub(crate) fn rejected(rejection: &Rejection) -> Self {
        let rejection = visible(rejection);
        let status = match rejection.kind {
            RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RejectionKind::Conflict => StatusCode::CONFLICT,
            RejectionKind::NotFound => StatusCode::NOT_FOUND,
            RejectionKind::Precondition => StatusCode::PRECONDITION_FAILED,
            RejectionKind::NoChange => StatusCode::OK,
        };
        let mut problem = Self::named(rejection.name, status, rejection.detail);
        if let Some(pointer) = rejection.pointer {
            let (detail, pointer) = (problem.0.detail.clone(), Some(fragment(&pointer)));
            problem.0.errors.push(FieldError { detail, pointer });
        }
        // Apart from the problem's own members: an order's `status` is not the problem's.
        if rejection.data.is_empty() { problem } else { problem.with("data", Value::Object(rejection.data)) }
    }

    /// Says more, for machines.
    pub(crate) fn with(mut self, member: &'static str, value: Value) -> Self {
        self.0.members.insert(member.to_owned(), value);
        self
    }

    /// Adds a header; a value that cannot be one is left out.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The last part of `type`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What happened, in a sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What it says besides, for machines.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0.members
    }

    /// A header of its answer.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.headers.get(name)
    }

    /// All bad fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// All of it but its headers, as JSON.
    pub(crate) fn body(&self) -> Value {
        let Inner { name, status, detail, errors, members, .. } = &*self.0;
        let mut body = Map::from_iter([
            ("type".to_owned(), json!(format!("/problems/{name}"))),
            ("title".to_owned(), json!(catalogue::title_of(name))),
            ("status".to_owned(), json!(status.as_u16())),
            ("detail".to_owned(), json!(detail)),
        ]);
        if !errors.is_empty() {
            body.insert("errors".to_owned(), json!(errors));
        }
        body.extend(members.clone());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, body) = (self.status(), self.body().to_string());
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        response.headers_mut().extend(self.0.headers);
        response
    }
}

/// The schema of every problem.
pub(crate) fn schema() -> Value {
    json!({
        "description": "Why a request was refused, or failed (RFC 9457).",
        "type": "object",
        "properties": {
            "type": { "type": "string", "description": "`/problems/<name>`, which explains it." },
            "title": { "type": "string", "description": "A few words." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What happened, in a sentence." },
            "errors": { "type": "array", "items": schema_of::<FieldError>(), "description": "All bad fields." },
            "command_id": { "type": "string", "description": "The id of the command that was refused." },
            "position": { "type": "string", "description": "Where that command lies." },
            "data": { "type": "object", "description": "What the sentence speaks of, for machines." },
        },
        "required": ["type", "title", "status", "detail"],
    })
}

/// The rejection as its reader may see it. That an order exists is nobody's business but its owner's: another's order
/// looks exactly like none.
pub(crate) fn visible(rejection: &Rejection) -> Rejection {
    match rejection.typed::<orders::Rejection>() {
        Some(orders::Rejection::NotYourOrder) => orders::Rejection::OrderNotFound.to_rejection(),
        _ => rejection.clone(),
    }
}

/// What must be escaped in a URI's fragment.
const OUTSIDE_A_FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A JSON pointer as a URI fragment (RFC 6901, section 6).
fn fragment(pointer: &str) -> String {
    format!("#{}", utf8_percent_encode(pointer, OUTSIDE_A_FRAGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anothers_order_looks_like_none() {
        let another = Problem::rejected(&orders::Rejection::NotYourOrder.to_rejection());
        let none = Problem::rejected(&orders::Rejection::OrderNotFound.to_rejection());
        assert_eq!(format!("{another:?}"), format!("{none:?}"));
    }

    #[test]
    fn a_rejection_names_its_field_and_keeps_its_data_apart_from_the_status() {
        let not_paid = orders::Rejection::NotPaid { status: orders::Status::Created }.to_rejection();
        let problem = Problem::rejected(&not_paid);
        assert_eq!(problem.status(), StatusCode::CONFLICT);
        assert_eq!(problem.0.members["data"]["status"], "created");

        let quantity = orders::Rejection::QuantityOutOfRange { line: 2, given: 0 }.to_rejection();
        assert_eq!(Problem::rejected(&quantity).errors()[0].pointer.as_deref(), Some("#/lines/2/quantity"));
    }

    #[test]
    fn a_pointer_becomes_a_fragment() {
        assert_eq!(fragment("/a b/ü/~1%"), "#/a%20b/%C3%BC/~1%25");
    }
}
