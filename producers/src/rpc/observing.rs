//! Calls seen from outside: a trace, a time and a count for each, and an end for each that takes too long or whose client
//! waits no more. Labels are names of operations: their number is bounded.

use std::any::Any;

use axum::{extract::Request, middleware::Next, response::Response};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::{call, operation, status};
use crate::{
    access::Operation,
    observing::{REQUEST_TIME, log_panic},
    problems::Problem,
    reading::trace::Trace,
};

/// The outermost layer.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let rpc = operation(request.uri().path()).map_or("other", Operation::name);
    let trace = Trace::of(request.headers());
    let span = tracing::info_span!("call", rpc.method = rpc, trace.id = trace.id());
    request.extensions_mut().insert(trace);
    // One that cannot be read is refused further in.
    let timeout = call::timeout(request.headers()).ok().flatten();

    let response = async {
        let time = timeout.map_or(REQUEST_TIME, |timeout| timeout.min(REQUEST_TIME));
        let answered = tokio::time::timeout(time, next.run(request)).await;
        let response = answered.unwrap_or_else(|_elapsed| too_late());
        // The status of an answer comes after it; of a refusal it comes first.
        let refusal = Status::from_header_map(response.headers());
        let (code, duration) = (refusal.map_or(Code::Ok, |status| status.code()), begun.elapsed());
        tracing::debug!(rpc.code = ?code, duration_ms = duration.as_millis() as u64, "answered");
        let labels = [("rpc", rpc.to_owned()), ("code", format!("{code:?}"))];
        metrics::counter!("factfold_grpc_calls_total", &labels).increment(1);
        metrics::histogram!("factfold_grpc_call_seconds", &labels[..1]).record(duration);
        response
    };
    response.instrument(span).await
}

fn too_late() -> Response {
    let detail = "there was no answer before the deadline: repeat a write under the same idempotency-key";
    status::to_http(Problem::new("outcome-unknown", detail))
}

/// The answer to a call whose handler panicked.
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    status::to_http(log_panic(payload))
}
