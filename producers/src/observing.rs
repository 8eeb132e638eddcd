//! Seen from outside: a trace, a time and a count for each request, and an end for each that takes too long. Labels are
//! route templates, never paths: their number is bounded. Headers and bodies are never logged.

use std::{any::Any, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{problems::Problem, reading::trace::Trace};

/// Longer than the longest wait, the storing and the body together: only what hangs meets it.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(90);

/// The outermost layer.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str).to_owned();
    let trace = Trace::of(request.headers());
    let span =
        tracing::info_span!("request", http.method = %method, http.route = route, trace.id = trace.id());
    request.extensions_mut().insert(trace);

    let response = async {
        let answered = tokio::time::timeout(REQUEST_TIME, next.run(request)).await;
        let response = answered.unwrap_or_else(|_elapsed| too_late(&method));
        let (status, duration) = (response.status().as_u16(), begun.elapsed());
        tracing::debug!(http.status = status, duration_ms = duration.as_millis() as u64, "answered");
        let labels = [("method", name(&method)), ("route", route.clone()), ("status", status.to_string())];
        metrics::counter!("factfold_http_requests_total", &labels).increment(1);
        metrics::histogram!("factfold_http_request_seconds", &labels[..2]).record(duration);
        response
    };
    response.instrument(span).await
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    log_panic(payload).into_response()
}

/// What the client is told about a panic.
pub(crate) fn log_panic(payload: Box<dyn Any + Send>) -> Problem {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = message, "a handler panicked");
    Problem::new("internal-error", "something broke inside; it was logged")
}

fn too_late(method: &Method) -> Response {
    tracing::error!("a request hung, and was given up");
    let problem = if method.is_safe() {
        Problem::new("read-side-unavailable", "the read models did not answer in time").retry_after(5)
    } else {
        let detail = "the request took too long: repeat it under the same Idempotency-Key";
        Problem::new("outcome-unknown", detail)
    };
    problem.into_response()
}

/// A method can be any word that a client makes up.
fn name(method: &Method) -> String {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) { method.to_string() } else { "other".to_owned() }
}
