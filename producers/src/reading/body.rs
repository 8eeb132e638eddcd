//! Bodies: bounded in size and in time, and JSON.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::list;
use crate::{gateway::Gateway, problems::Problem, settings::BODY_BYTES_MAX};

/// Plain JSON.
pub(crate) const JSON: &str = "application/json";
/// The longest body that deploys a function, in bytes.
pub(crate) const DEPLOYMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// RFC 7396.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

impl Gateway {
    /// The JSON value in the body, when its media type is one of these.
    pub(crate) async fn json(&self, request: Request, media_types: &[&str]) -> Result<Value, Problem> {
        self.json_up_to(request, media_types, BODY_BYTES_MAX).await
    }

    /// As [`Gateway::json`], of another length at most.
    pub(crate) async fn json_up_to(
        &self,
        request: Request,
        media_types: &[&str],
        bytes_max: usize,
    ) -> Result<Value, Problem> {
        let (parts, body) = request.into_parts();
        require_media_type(&parts.headers, media_types)?;
        parse(&read_up_to(body, self.settings.body_time, bytes_max).await?)
    }

    /// As [`Gateway::json`], for a command that has nothing to say: no body at all means `{}`.
    pub(crate) async fn json_or_nothing(&self, request: Request) -> Result<Value, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, self.settings.body_time).await?;
        if bytes.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        require_media_type(&parts.headers, &[JSON])?;
        parse(&bytes)
    }
}

/// The whole body.
pub(crate) async fn read(body: Body, time: Duration) -> Result<Bytes, Problem> {
    read_up_to(body, time, BODY_BYTES_MAX).await
}

async fn read_up_to(body: Body, time: Duration, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new("body-too-large", format!("the body has more than {bytes_max} bytes"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new("invalid-json", "the body broke off")),
        Err(_elapsed) => {
            let detail = format!("the body was not there after {} seconds", time.as_secs());
            Err(Problem::new("request-timeout", detail))
        }
    }
}

/// The JSON in it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new("invalid-json", format!("the body is not JSON: {error}")))
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is packed, or in another alphabet: what its bytes say is what counts.
pub(crate) fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: String| Err(Problem::new("unsupported-media-type", detail));
    let is_identity = |coding: &&str| coding.eq_ignore_ascii_case("identity");
    if let Some(coding) =
        list(headers, &header::CONTENT_ENCODING)?.into_iter().find(|coding| !is_identity(coding))
    {
        return unsupported(format!("the header Content-Encoding says {coding}; send the body as it is"));
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut parameters = parameters.map(|(name, value)| (name.trim(), value.trim().trim_matches('"')));
    match parameters.find(|(name, _)| name.eq_ignore_ascii_case("charset")) {
        Some((_, charset)) if !charset.eq_ignore_ascii_case("utf-8") => {
            unsupported(format!("the header Content-Type says charset={charset}; JSON is in UTF-8"))
        }
        _ => Ok(()),
    }
}

fn require_media_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    refuse_encoded(headers)?;
    let given = media_type(headers);
    if allowed.contains(&given.as_str()) { Ok(()) } else { Err(unsupported(&given, allowed)) }
}

/// The problem of a body in this media type.
pub(crate) fn unsupported(given: &str, allowed: &[&str]) -> Problem {
    let given = if given.is_empty() { "nothing" } else { given };
    let detail = format!("the header Content-Type says {given}; here it must say {}", allowed.join(" or "));
    Problem::new("unsupported-media-type", detail).with_header(header::ACCEPT, &allowed.join(", "))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_body_is_what_its_bytes_say() {
        let refused = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_str(value).expect("a header");
            refuse_encoded(&HeaderMap::from_iter([(name, value)])).is_err()
        };
        for good in
            ["application/json", "application/json; charset=UTF-8", "application/json;charset=\"utf-8\"; x=y"]
        {
            assert!(!refused(header::CONTENT_TYPE, good), "{good}");
        }
        assert!(refused(header::CONTENT_TYPE, "application/json; charset=latin1"));
        assert!(!refused(header::CONTENT_ENCODING, "identity"));
        assert!(
            refused(header::CONTENT_ENCODING, "gzip") && refused(header::CONTENT_ENCODING, "identity, br")
        );
    }
}
