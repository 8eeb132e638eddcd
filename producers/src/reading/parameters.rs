//! Parameters: ids in paths, and query strings. What is unknown in a query is refused: a misspelt filter that is ignored
//! gives a wrong answer.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::request::Parts,
};
use factfold_projections::PageRequest;
use factfold_schemas::ids::{Id, Kind};
use serde::de::DeserializeOwned;

use crate::{gateway::Gateway, problems::Problem};

/// An id in the path. A text that is no id names nothing, so that is not found.
pub(crate) struct PathId<K>(pub(crate) Id<K>);

impl<K: Kind + Send> FromRequestParts<Gateway> for PathId<K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let segment = PathText::from_request_parts(parts, gateway).await?.0;
        // Only the hyphenated form, as ids are answered: the path is part of a request's identity.
        Id::of_stream(&format!("{}-{segment}", K::PREFIX)).map(Self).ok_or_else(not_found)
    }
}

/// A text in the path.
pub(crate) struct PathText(pub(crate) String);

impl FromRequestParts<Gateway> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let parameters = RawPathParams::from_request_parts(parts, gateway).await.map_err(|_| not_found())?;
        parameters.iter().next().map(|(_, value)| Self(value.to_owned())).ok_or_else(not_found)
    }
}

/// As many texts in the path.
pub(crate) struct PathTexts<const N: usize>(pub(crate) [String; N]);

impl<const N: usize> FromRequestParts<Gateway> for PathTexts<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let parameters = RawPathParams::from_request_parts(parts, gateway).await.map_err(|_| not_found())?;
        let texts: Vec<_> = parameters.iter().map(|(_, value)| value.to_owned()).collect();
        texts.try_into().map(Self).map_err(|_| not_found())
    }
}

/// A query string, read as `Q`, whose fields are all that is allowed.
pub(crate) struct Parameters<Q>(pub(crate) Q);

impl<Q: DeserializeOwned> FromRequestParts<Gateway> for Parameters<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Gateway) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(parameters)| Self(parameters)).map_err(|error| {
            // Only the innermost error speaks of the client's own words.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Problem::new("invalid-parameter", cause.unwrap_or_else(|| error.body_text()))
        })
    }
}

/// For routes without parameters.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct None {}

/// Which page of a list is asked for.
pub(crate) fn page<C: FromStr<Err: Display>>(
    limit: Option<u16>,
    after: Option<&str>,
) -> Result<PageRequest<C>, Problem> {
    let wrong = |name: &str, error: String| Problem::new("invalid-parameter", format!("{name}: {error}"));
    let after = after.map(str::parse::<C>).transpose().map_err(|error| wrong("after", format!("{error}")))?;
    PageRequest::new(limit.unwrap_or(PageRequest::LIMIT_DEFAULT), after)
        .map_err(|error| wrong("limit", error.to_string()))
}

fn not_found() -> Problem {
    Problem::new("not-found", "there is nothing at this path")
}
