//! What every write says besides its body: who, how long it waits, under which key, against which version, in which trace.

use std::time::Instant;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use factfold_schemas::{
    command::Header,
    ids::{Id, Kind, UserId},
};

use super::{
    etag, idempotency::Identity, invalid, parameters, parameters::Parameters, prefer::Prefer, read::AT_LEAST,
    trace::Trace,
};
use crate::{access::Caller, gateway::Gateway, problems::Problem};

/// A write, without its body.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) caller: Caller,
    pub(crate) arrived: Instant,
    pub(crate) prefer: Prefer,
    pub(crate) identity: Identity,
    pub(crate) expected_version: Option<u64>,
    pub(crate) trace: Trace,
}

impl FromRequestParts<Gateway> for Write {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<Gateway>>::from_request_parts(parts, gateway).await?;
        Self::of(caller, parts, gateway).await
    }
}

/// A write of somebody who has not said who that is: who registers, or logs in.
#[derive(Debug, Clone)]
pub(crate) struct Anonymous(pub(crate) Write);

impl FromRequestParts<Gateway> for Anonymous {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let write = Write::of(Caller::nobody(), parts, gateway).await?;
        write.refuse_if_match()?;
        Ok(Self(write))
    }
}

impl Write {
    async fn of(caller: Caller, parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let arrived = Instant::now();
        Parameters::<parameters::None>::from_request_parts(parts, gateway).await?;
        refuse_what_is_for_reads(&parts.headers)?;
        let route = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self {
            arrived,
            prefer: Prefer::read(&parts.headers)?,
            identity: Identity::read(&parts.headers, caller.user, &route)?,
            expected_version: etag::expected_version(&parts.headers)?,
            // `observing` has begun the trace.
            trace: parts.extensions.get().cloned().unwrap_or_else(|| Trace::of(&parts.headers)),
            caller,
        })
    }

    /// The same, in the name of somebody who has just shown who that is; one of several commands that it takes.
    pub(crate) fn proven(&self, user: UserId, index: usize) -> Self {
        let (caller, identity) = (Caller::proven(user), self.identity.of_entry(index));
        Self { caller, identity, prefer: Prefer::default(), ..self.clone() }
    }

    /// The id of what this write creates. It cannot be at any version yet.
    pub(crate) fn creates<K: Kind>(&self) -> Result<Id<K>, Problem> {
        self.refuse_if_match()?;
        Ok(self.identity.resource_id())
    }

    /// Refuses a version where there is nothing to compare it with.
    pub(crate) fn refuse_if_match(&self) -> Result<(), Problem> {
        match self.expected_version {
            Some(_) => Err(invalid(&header::IF_MATCH, "has nothing to match here: leave it out")),
            None => Ok(()),
        }
    }

    /// The header of a command of this write, on behalf of its caller.
    pub(crate) fn header(&self, id: String) -> Header {
        Header {
            traceparent: Some(self.trace.to_string()),
            auth: Some(self.caller.auth()),
            expected_version: self.expected_version,
            ..Header::new(id, self.caller.source())
        }
    }
}

/// A precondition or a position that is ignored would be a promise that is broken.
fn refuse_what_is_for_reads(headers: &HeaderMap) -> Result<(), Problem> {
    for name in [&AT_LEAST, &header::IF_NONE_MATCH, &header::IF_UNMODIFIED_SINCE] {
        if headers.contains_key(name) {
            return Err(Problem::new(
                "not-implemented",
                format!("the header {name} is not built for writes"),
            ));
        }
    }
    Ok(())
}
