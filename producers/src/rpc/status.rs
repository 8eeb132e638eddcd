//! Statuses: how every problem looks to a gRPC client. It gets the code that CONTRACT has for it, and `google.rpc` details:
//! the problem's name, all bad fields, and when to try again.

use std::{collections::HashMap, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{
    answers::POSITION,
    problems::{FieldError, Problem},
};

/// Whose the names of problems are.
pub(super) const DOMAIN: &str = "factfold";
/// How much is said about bad fields at most, in bytes. Details travel as a header, and many clients take no more than 8 KiB
/// of those.
const VIOLATIONS_BYTES_MAX: usize = 4 * 1024;

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let mut details = ErrorDetails::new();
        let members = problem.members().iter().map(|(name, value)| (name.clone(), text(value)));
        details.set_error_info(problem.name(), DOMAIN, members.collect::<HashMap<_, _>>());
        let violation = |error: &FieldError| {
            let field = error.pointer.as_deref().map(path).unwrap_or_default();
            FieldViolation::new(field, &error.detail)
        };
        let mut bytes = 0;
        let has_room = |violation: &FieldViolation| {
            bytes += violation.field.len() + violation.description.len();
            bytes <= VIOLATIONS_BYTES_MAX
        };
        let violations: Vec<_> = problem.errors().iter().map(violation).take_while(has_room).collect();
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        let seconds =
            problem.header(&header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(seconds) = seconds {
            details.set_retry_info(Some(Duration::from_secs(seconds)));
        }
        let position = problem.header(&POSITION).map(|position| (POSITION, position.clone()));
        let metadata = MetadataMap::from_headers(HeaderMap::from_iter(position));
        Self::with_error_details_and_metadata(code(&problem), problem.detail(), details, metadata)
    }
}

/// The answer to a call that never reached its service.
pub(super) fn to_http(problem: Problem) -> Response {
    Status::from(problem).into_http::<Body>().map(axum::body::Body::new)
}

fn code(problem: &Problem) -> Code {
    match problem.status() {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT if problem.name() == "email-taken" => Code::AlreadyExists,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::PRECONDITION_FAILED => Code::Aborted,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
        // What came too slowly was not written either.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => Code::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// `#/lines/0/quantity` as the path of a field: `lines[0].quantity`.
fn path(fragment: &str) -> String {
    let pointer = percent_decode_str(fragment.trim_start_matches('#')).decode_utf8_lossy();
    let mut path = String::new();
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
    }
    path
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use factfold_schemas::json::Misfit;

    use super::*;

    #[test]
    fn a_pointer_becomes_the_path_of_a_field() {
        for (fragment, expected) in [
            ("#/lines/0/quantity", "lines[0].quantity"),
            ("#/name", "name"),
            ("#/a/b/12", "a.b[12]"),
            ("#", ""),
        ] {
            assert_eq!(path(fragment), expected);
        }
    }

    #[test]
    fn however_much_is_wrong_the_details_fit_into_a_header() {
        let misfit = |n| Misfit::new(format!("/lines/{n}/goods_id"), "𝄞".repeat(60));
        let errors: Vec<_> = (0..200).map(|n| FieldError::within("", &misfit(n))).collect();
        let status = Status::from(Problem::invalid(errors));
        let named = status.get_details_bad_request().expect("bad fields").field_violations;
        assert!((10..200).contains(&named.len()), "{}", named.len());
        assert_eq!(
            (named[1].field.as_str(), status.message()),
            ("lines[1].goods_id", "200 fields are wrong")
        );
        assert!(status.details().len() < 6 * 1024, "{}", status.details().len());
    }
}
