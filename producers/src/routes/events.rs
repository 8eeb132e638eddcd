//! Events as they are: the history of one stream, and all events of a service; past ones as JSON, live ones as server-sent
//! events. Whose a stream is, is for the read model to say; to others it is not there.

pub(super) mod described;

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
};
use factfold_consumers::changes::{Changed, Changes};
use factfold_projections::{
    Cursor, Page,
    events::{Found, History, Place},
    log_reader::{Bound, Filter, Kept, Record, envelope},
};
use factfold_schemas::ids::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    access::Caller,
    answers,
    gateway::Gateway,
    live::{
        self,
        ndjson::{self, NDJSON},
        opening::{self, OfStream, Wanted},
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
    /// Whether each event comes with what it changed of the resource. What lies before a page is read again for that: where
    /// it takes too long, ask without.
    #[serde(default)]
    changes: bool,
    /// Whether what commands came to that gave no events (rejected, repeated …) stands between the events. For auditors.
    #[serde(default)]
    outcomes: bool,
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
    let wanted = Wanted { types: &types, after: after.as_deref(), outcomes: asked.outcomes };
    if media_type == EVENT_STREAM {
        let of_pages =
            [("limit", asked.limit.is_some()), ("changes", asked.changes), ("outcomes", asked.outcomes)];
        if let Some((name, _)) = of_pages.iter().find(|(_, is_given)| *is_given) {
            let detail = format!("{name}: a stream that is followed has no pages");
            return Err(Problem::new("invalid-parameter", detail));
        }
        let OfStream { scope, filter, from, .. } =
            opening::stream(&gateway, &caller, &read, &name, wanted).await?;
        return Ok(sse::response(live::follow(&gateway, &caller, scope, filter, Some(from)).await?));
    }
    let limit = usize::from(parameters::page::<Cursor>(asked.limit, None)?.limit());
    let of_stream = opening::stream(&gateway, &caller, &read, &name, wanted).await?;
    let page = page(&gateway, &name, of_stream, limit, asked.changes).await?;
    Ok(answers::page(&page, uri.path(), uri.query()))
}

/// A page of a history. What an event changed is known to whoever has seen those before it: then it is read from the beginning.
async fn page(
    gateway: &Gateway,
    name: &str,
    OfStream { scope, filter, from: after, since, version }: OfStream,
    limit: usize,
    with_changes: bool,
) -> Result<Page<Box<RawValue>, Place>, Problem> {
    let _seat = gateway.live.scan()?;
    let begin = match with_changes {
        true => gateway.events.beginning(&scope, since).await.map_err(unreadable)?,
        false => after.clone(),
    };
    let mut changes = with_changes.then(|| Changes::of(scope.topic.service, name));
    let see = move |record: &Record<'_>| changes.as_mut().map(|changes| changes.by(&record.incoming()));
    let history = History { filter, version, after: after.clone() };
    let found = gateway.events.history(&scope, history, &begin, (limit, HISTORY_TIME), see).await;
    let Found { records, next } = found.map_err(unreadable)?;
    if records.is_empty() && next.as_ref().is_some_and(|next| !next.covers(&after)) {
        let detail = "what came before this page could not be read in time: ask without `changes`";
        return Err(Problem::new("log-unavailable", detail).retry_after(1));
    }
    let subject = UserId::of_stream(name);
    let items = records.into_iter().map(|(kept, changes)| {
        let event = shown(gateway, subject, &kept)?;
        let Some(mut changes) = changes else { return Ok(event) };
        if let Some(subject) = subject {
            changes.iter_mut().for_each(|change| change.reveal(subject, &gateway.vault));
        }
        to_raw_value(&Changed { event, changes }).map_err(unshown)
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next })
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
    RawValue::from_string(text).map_err(unshown)
}

fn unshown(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "an event is no JSON");
    Problem::new("internal-error", "an event could not be shown")
}
