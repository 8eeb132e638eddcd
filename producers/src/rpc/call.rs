//! Calls: what comes besides the message, as metadata, becomes the same values that HTTP's headers become. Who calls is
//! known before anything of the message is read.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, header},
    middleware::Next,
    response::Response,
};
use factfold_schemas::ids::{Id, Kind};

use super::{nothing_here, operation, status};
use crate::{
    access::{Caller, Operation, Who},
    gateway::Gateway,
    peer::Peer,
    problems::Problem,
    reading::{
        body,
        idempotency::Identity,
        invalid,
        prefer::{PREFER, Prefer},
        read::{AT_LEAST, Read},
        single,
        trace::Trace,
        write::Write,
    },
    settings::{WAIT_DEFAULT, WAIT_MAX},
};

/// The client's deadline.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The version at which a write finds what it changes.
const EXPECTED_VERSION: HeaderName = HeaderName::from_static("expectedversion");
/// What says something over HTTP only. To ignore it would break a promise.
const OF_HTTP: [HeaderName; 4] =
    [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE, PREFER];

/// A call that was let in.
#[derive(Debug, Clone)]
pub(super) struct Call {
    operation: Operation,
    path: String,
    arrived: Instant,
    caller: Option<Caller>,
    from: Option<IpAddr>,
    /// How long it may wait.
    patience: Option<Duration>,
    trace: Trace,
    metadata: HeaderMap,
}

/// Lets through only who may call this, and only whole messages.
pub(super) async fn guard(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let Some(operation) = operation(&path) else { return nothing_here(&path) };
    let admitted = async {
        let caller = if operation.who() == Who::Everyone {
            <Caller as OptionalFromRequestParts<Gateway>>::from_request_parts(&mut parts, &gateway).await?
        } else {
            let caller =
                <Caller as FromRequestParts<Gateway>>::from_request_parts(&mut parts, &gateway).await?;
            operation.allow(&caller)?;
            Some(caller)
        };
        refuse(&parts.headers, &OF_HTTP)?;
        let call = Call {
            operation,
            path,
            arrived,
            caller,
            from: Peer::of(&parts.extensions),
            patience: timeout(&parts.headers)?.map(patience),
            // `observing` has begun the trace.
            trace: parts.extensions.get().cloned().unwrap_or_else(|| Trace::of(&parts.headers)),
            metadata: parts.headers.clone(),
        };
        // No RPC takes a stream, so the whole of it can be awaited.
        Ok((call, body::read(body, gateway.settings.body_time).await?))
    };
    match admitted.await {
        Ok((call, message)) => {
            parts.extensions.insert(call);
            next.run(Request::from_parts(parts, Body::from(message))).await
        }
        Err(problem) => status::to_http(problem),
    }
}

impl Call {
    /// The call of this request, and its message.
    pub(super) fn of<T>(request: tonic::Request<T>) -> (Self, T) {
        let (_, extensions, message) = request.into_parts();
        (extensions.get::<Self>().cloned().expect("the guard stands before every service"), message)
    }

    /// What is asked for.
    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    /// Who calls; where that must be known, the guard has seen to it.
    pub(super) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Problem::new("unauthenticated", "this needs an access token"))
    }

    /// The address from which it came.
    pub(super) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// The write that this is, of something that is there.
    pub(super) fn changes<K: Kind>(&self, id: Id<K>) -> Result<Write, Problem> {
        // What it is about is part of what makes it the same call, as it is part of a path.
        self.write(self.caller()?.clone(), &format!("{} {id}", self.path))
    }

    /// The write that this is, and the id of what it creates. That cannot be at any version yet.
    pub(super) fn creates<K: Kind>(&self) -> Result<(Write, Id<K>), Problem> {
        self.refuse_version()?;
        let write = self.write(self.caller()?.clone(), &self.path)?;
        let id = write.identity.resource_id();
        Ok((write, id))
    }

    /// The write that this is, of somebody who has not said who that is.
    pub(super) fn anonymous(&self) -> Result<Write, Problem> {
        self.refuse_version()?;
        self.write(Caller::nobody(), &self.path)
    }

    /// Refuses a version where there is nothing to compare it with.
    pub(super) fn refuse_version(&self) -> Result<(), Problem> {
        if self.metadata.contains_key(EXPECTED_VERSION) {
            return Err(invalid(&EXPECTED_VERSION, "has nothing to match here: leave it out"));
        }
        Ok(())
    }

    fn write(&self, caller: Caller, route: &str) -> Result<Write, Problem> {
        refuse(&self.metadata, &[AT_LEAST])?;
        let expected_version = single(&self.metadata, &EXPECTED_VERSION)?
            .map(|text| text.parse().map_err(|_| invalid(&EXPECTED_VERSION, "must be a version, as in 3")))
            .transpose()?;
        Ok(Write {
            arrived: self.arrived,
            prefer: Prefer::waiting(self.patience.unwrap_or(WAIT_DEFAULT)),
            identity: Identity::read(&self.metadata, caller.user, route)?,
            expected_version,
            trace: self.trace.clone(),
            caller,
        })
    }

    /// The read that this is.
    pub(super) fn read(&self) -> Result<Read, Problem> {
        refuse(&self.metadata, &[EXPECTED_VERSION])?;
        let deadline = self.arrived + self.patience.unwrap_or(WAIT_MAX);
        Read::new(self.caller.clone(), deadline.into(), self.metadata.clone())
    }
}

fn refuse(metadata: &HeaderMap, names: &[HeaderName]) -> Result<(), Problem> {
    match names.iter().find(|name| metadata.contains_key(*name)) {
        Some(name) => Err(Problem::new("not-implemented", format!("the metadata {name} says nothing here"))),
        None => Ok(()),
    }
}

/// How long to wait for this deadline's sake: a tenth is left for the answer's way back.
fn patience(timeout: Duration) -> Duration {
    (timeout / 10 * 9).min(WAIT_MAX)
}

/// How long the client waits for the answer; `None` when it does not say.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `Timeout`
pub(super) fn timeout(metadata: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(text) = single(metadata, &GRPC_TIMEOUT)? else { return Ok(None) };
    let parse = || {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        // At most eight digits: no product of them overflows.
        let value = (digits.len() <= 8).then(|| digits.parse::<u32>().ok())??;
        Some(match unit {
            "H" => Duration::from_secs(3600) * value,
            "M" => Duration::from_secs(60) * value,
            "S" => Duration::from_secs(value.into()),
            "m" => Duration::from_millis(value.into()),
            "u" => Duration::from_micros(value.into()),
            "n" => Duration::from_nanos(value.into()),
            _ => return None,
        })
    };
    parse().map(Some).ok_or_else(|| invalid(&GRPC_TIMEOUT, "must be a number and its unit, as in 500m"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_deadline_is_read_and_leaves_time_for_the_answer() {
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a header");
            timeout(&HeaderMap::from_iter([(GRPC_TIMEOUT, value)])).ok().flatten()
        };
        let cases =
            [("2H", 7_200_000), ("3M", 180_000), ("99999999S", 99_999_999_000), ("5m", 5), ("7000u", 7)];
        for (text, ms) in cases {
            assert_eq!(read(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(read("12n"), Some(Duration::from_nanos(12)));
        for wrong in ["", "S", "1", "-1S", "1.5S", "1s", "999999999S", "1é"] {
            let value = HeaderValue::from_bytes(wrong.as_bytes()).expect("a header");
            assert!(timeout(&HeaderMap::from_iter([(GRPC_TIMEOUT, value)])).is_err(), "{wrong}");
        }
        assert_eq!(timeout(&HeaderMap::new()).expect("none"), None);
        assert_eq!(patience(Duration::from_secs(10)), Duration::from_secs(9));
        assert_eq!(patience(Duration::from_secs(3600)), WAIT_MAX);
    }
}
