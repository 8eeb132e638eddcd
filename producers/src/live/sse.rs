//! Server-sent events: what a reader is fed, as `text/event-stream` (WHATWG HTML, section 9.2).

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{End, Fed};

/// The media type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// Where reading goes on: the id of the last event that was seen.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx and others that understand it do not keep events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How soon a browser comes back by itself.
const RETRY: &str = "retry: 1000\n";

/// The response that goes on for as long as the reader is fed.
pub(crate) fn response(fed: mpsc::Receiver<Fed>) -> Response {
    let begin = tokio_stream::once(RETRY.as_bytes().to_vec());
    let blocks = begin.chain(ReceiverStream::new(fed).map(|fed| block(&fed))).map(Ok::<_, Infallible>);
    let headers = [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store"),
        (X_ACCEL_BUFFERING, "no"),
    ];
    (headers, Body::from_stream(blocks)).into_response()
}

/// An event has no name, so that a browser hands all of them to one handler: its type stands in its data. Without data a
/// block moves the place and shows nothing. Only the end has a name.
fn block(fed: &Fed) -> Vec<u8> {
    match fed {
        Fed::Event { place, event } => {
            let mut block = format!("id: {place}\ndata: ").into_bytes();
            block.extend_from_slice(event.trim_ascii_end());
            block.extend_from_slice(b"\n\n");
            block
        }
        Fed::Quiet { place } => format!("id: {place}\n\n").into_bytes(),
        Fed::End(end) => {
            let (reason, detail) = explained(*end);
            let data = json!({ "reason": reason, "detail": detail });
            format!("event: end\ndata: {data}\n\n").into_bytes()
        }
    }
}

/// The name of the reason, and what to do about it.
pub(crate) fn explained(end: End) -> (&'static str, &'static str) {
    match end {
        End::TooSlow => ("too-slow", "events come faster than they are read here: go on from the last id"),
        End::TokenExpired => ("token-expired", "the access token has expired: go on with a new one"),
        End::TokenRevoked => ("token-revoked", "the access token is good no more: go on with a new one"),
        End::Stopping => ("stopping", "this gateway stops: go on with another"),
        End::LogUnavailable => {
            ("log-unavailable", "the events cannot be read now: go on from the last id, later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_one_block() {
        let place = || "4.2".parse().expect("a place");
        let text = |fed| String::from_utf8(block(&fed)).expect("text");
        let event = Fed::Event { place: place(), event: b"{\"a\":1}\n".to_vec() };
        assert_eq!(text(event), "id: 4.2\ndata: {\"a\":1}\n\n");
        assert_eq!(text(Fed::Quiet { place: place() }), "id: 4.2\n\n");
        for end in [End::TooSlow, End::TokenExpired, End::TokenRevoked, End::Stopping, End::LogUnavailable] {
            let text = text(Fed::End(end));
            assert!(text.starts_with("event: end\ndata: {") && text.ends_with("}\n\n"), "{text}");
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }
}
