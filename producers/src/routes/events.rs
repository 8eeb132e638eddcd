//! Events as they are: the history of one stream, and all events of a service; past ones as JSON, live ones as server-sent
//! events. Whose a stream is, is for the read model to say; to others it is not there.

pub(super) mod described;

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
};
use factfold_projections::{
    Page,
    events::History,
    log_reader::{Bound, Filter, Kept, envelope},
};
use factfold_schemas::ids::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use crate::{
    access::Caller,
    answers,
    gateway::Gateway,
    live::{
        self,
        ndjson::{self, NDJSON},
        opening::{self, OfStream},
        sse::{self, EVENT_STREAM, LAST_EVENT_ID},
        unreadable,
    },
    problems::{Answer, Problem},
    reading::{
        accept::accepted,
        body::JSON,
        parameters::{self, Parameters, PathText},
        read::Read,
        single,
    },
    settings::HISTORY_TIME,
};

/// What can be asked of the history of a stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamParameters {
    /// How many at most.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
    /// Only events of these types, separated by commas.
    r#type: Option<String>,
    /// Instead of a token.
    #[serde(rename = "ticket")]
    #[schemars(with = "Option<String>")]
    _ticket: Option<IgnoredAny>,
}

/// `GET /v1/streams/{stream}/events`: a page of its history, or all of it and what comes.
pub(super) async fn of_stream(
    State(gateway): State<Gateway>,
    caller: Caller,
    read: Read,
    PathText(name): PathText,
    Parameters(asked): Parameters<StreamParameters>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let media_type = accepted(&headers, &[JSON, EVENT_STREAM])?;
    let (types, after) = (listed(&asked.r#type), resumed(&headers, asked.after)?);
    let asked_for = opening::stream(&gateway, &caller, &read, &name, &types, after.as_deref()).await?;
    let OfStream { scope, filter, from, version } = asked_for;
    if media_type == EVENT_STREAM {
        if asked.limit.is_some() {
            return Err(Problem::new("invalid-parameter", "limit: a stream that is followed has no pages"));
        }
        return Ok(sse::response(live::follow(&gateway, &caller, scope, filter, Some(from)).await?));
    }
    let limit = usize::from(parameters::page(asked.limit, None)?.limit());
    let _seat = gateway.live.scan()?;
    let history = History { filter, version };
    let found = gateway.events.history(&scope, &history, &from, limit, HISTORY_TIME).await;
    let found = found.map_err(unreadable)?;
    let subject = UserId::of_stream(&name);
    let items = found.events.iter().map(|kept| shown(&gateway, subject, kept)).collect::<Result<_, _>>()?;
    Ok(answers::page(&Page { items, next: found.next }, uri.path(), uri.query()))
}

/// What can be asked of a service's events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceParameters {
    /// Only what happened from then on: a time (RFC 3339), or positions as `orders.events/0@17`.
    from: Option<String>,
    /// Only what happened until then.
    to: Option<String>,
    /// The `id` of the last event that was seen.
    after: Option<String>,
    /// Only events of these types, separated by commas.
    r#type: Option<String>,
    /// Instead of a token.
    #[serde(rename = "ticket")]
    #[schemars(with = "Option<String>")]
    _ticket: Option<IgnoredAny>,
}

/// `GET /v1/services/{service}/events`: what comes, or a replay of what was.
pub(super) async fn of_service(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathText(name): PathText,
    Parameters(asked): Parameters<ServiceParameters>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let media_type = accepted(&headers, &[NDJSON, EVENT_STREAM])?;
    let (service, types) = (opening::named(&name)?, listed(&asked.r#type));
    if media_type == EVENT_STREAM {
        not_here("from", &asked.from)?;
        not_here("to", &asked.to)?;
        let after = resumed(&headers, asked.after)?;
        let (scope, filter, place) = opening::service(&gateway, service, &types, after.as_deref()).await?;
        return Ok(sse::response(live::follow(&gateway, &caller, scope, filter, place).await?));
    }
    not_here("after", &asked.after)?;
    let filter = Filter { types: opening::known(service, &types)?, stream: None };
    let range = (bound("from", asked.from, Bound::Beginning)?, bound("to", asked.to, Bound::End)?);
    ndjson::response(&gateway, service.events(), range, filter, &uri).await
}

/// The place that the client names. Where a browser comes back by itself, the header says more than its first request did.
fn resumed(headers: &HeaderMap, after: Option<String>) -> Result<Option<String>, Problem> {
    Ok(single(headers, &LAST_EVENT_ID)?.map(str::to_owned).or(after))
}

/// Texts that are separated by commas.
fn listed(texts: &Option<String>) -> Vec<&str> {
    texts.iter().flat_map(|texts| texts.split(',')).collect()
}

fn bound(name: &str, text: Option<String>, default: Bound) -> Result<Bound, Problem> {
    let parse = |text: String| {
        let wrong = |error| Problem::new("invalid-parameter", format!("{name}: {error}"));
        text.parse().map_err(wrong)
    };
    text.map_or(Ok(default), parse)
}

fn not_here(name: &str, given: &Option<String>) -> Result<(), Problem> {
    let detail = || format!("{name}: has no meaning for this media type");
    given.as_ref().map_or(Ok(()), |_| Err(Problem::new("invalid-parameter", detail())))
}

/// What a person is shown of an event. (What is followed or replayed stays sealed: a copy of it must be forgotten too, when
/// its subject is.)
fn shown(gateway: &Gateway, subject: Option<UserId>, kept: &Kept) -> Result<Box<RawValue>, Problem> {
    let mut line = Vec::new();
    envelope::write(&kept.record(), &mut line);
    let mut text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
    if let (Some(subject), Ok(mut event)) = (subject, serde_json::from_str::<Value>(&text)) {
        gateway.vault.reveal(subject, &mut event["data"]);
        text = event.to_string();
    }
    RawValue::from_string(text).map_err(|error| {
        tracing::error!(%error, "an event is no JSON");
        Problem::new("internal-error", "an event could not be shown")
    })
}
