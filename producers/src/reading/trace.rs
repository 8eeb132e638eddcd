//! W3C Trace Context: a request goes on with the trace of its client, or begins one, and its commands carry it through
//! topics to the read models.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// The header.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace of a request: `00-<trace>-<span>-<flags>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    trace: String,
    span: String,
    flags: String,
}

impl Trace {
    /// The trace of this request, with a span of its own. What cannot be read is no error: the standard says to begin anew.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let client = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse::<Self>().ok());
        let span = Uuid::new_v4().simple().to_string()[..16].to_owned();
        match client {
            Some(client) => Self { span, ..client },
            None => Self { trace: Uuid::new_v4().simple().to_string(), span, flags: "01".to_owned() },
        }
    }

    /// The trace's id.
    pub(crate) fn id(&self) -> &str {
        &self.trace
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-{}", self.trace, self.span, self.flags)
    }
}

impl FromStr for Trace {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return Err(()) };
        let hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let set = |part: &str| part.bytes().any(|b| b != b'0');
        // A later version may add parts at the end; version ff is forbidden.
        let known = hex(version, 2) && *version != "ff" && (*version != "00" || rest.is_empty());
        if known && hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2) {
            Ok(Self { trace: (*trace).to_owned(), span: (*span).to_owned(), flags: (*flags).to_owned() })
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_with_the_clients_trace_in_a_span_of_its_own() {
        let client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let headers = HeaderMap::from_iter([(TRACEPARENT, client.parse().expect("a header"))]);
        let trace = Trace::of(&headers);
        assert_eq!((trace.id(), trace.flags.as_str()), ("0af7651916cd43dd8448eb211c80319c", "00"));
        assert_ne!(trace.span, "b7ad6b7169203331");
        assert_eq!(trace.to_string().parse::<Trace>().expect("a trace"), trace);
    }

    #[test]
    fn begins_a_trace_where_none_can_be_read() {
        let zeros = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        for wrong in ["", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &zeros] {
            assert!(wrong.parse::<Trace>().is_err(), "{wrong}");
        }
        assert!(Trace::of(&HeaderMap::new()).to_string().parse::<Trace>().is_ok());
    }
}
