//! Events as they are: the history of one stream, and all events of a service; past ones as JSON, live ones as server-sent
//! events. Whose a stream is, is for the read model to say; to others it is not there.

pub(super) mod described;

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
};
use factfold_projections::{
    Page, Projection,
    events::{History, Place, Scope},
    log_reader::{Bound, Filter, Kept, envelope},
};
use factfold_schemas::{
    ids::{GoodsId, OrderId, StreamId, UserId},
    json::event_types,
    topics::Service,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use crate::{
    access::{Caller, Role},
    answers,
    freshness::failed,
    gateway::Gateway,
    live::{
        self,
        ndjson::{self, NDJSON},
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
    let stream = find(&gateway, &caller, &read, &name).await?;
    let filter = Filter { types: types(stream.service, asked.r#type)?, stream: Some(stream.id.clone()) };
    let scope = gateway.events.scope(stream.service.events(), Some(&stream.id)).await.map_err(unreadable)?;
    let from = match place(&scope, &headers, asked.after)? {
        Some(place) => place,
        None => gateway.events.beginning(&scope, stream.since).await.map_err(unreadable)?,
    };
    if media_type == EVENT_STREAM {
        if asked.limit.is_some() {
            return Err(Problem::new("invalid-parameter", "limit: a stream that is followed has no pages"));
        }
        return Ok(sse::response(live::follow(&gateway, &caller, scope, filter, Some(from)).await?));
    }
    let limit = usize::from(parameters::page(asked.limit, None)?.limit());
    let _seat = gateway.live.scan()?;
    let history = History { filter, version: stream.version };
    let found = gateway.events.history(&scope, &history, &from, limit, HISTORY_TIME).await;
    let found = found.map_err(unreadable)?;
    let subject = UserId::of_stream(&name);
    let items = found.events.iter().map(|kept| shown(&gateway, subject, kept)).collect::<Result<_, _>>()?;
    Ok(answers::page(&Page { items, next: found.next }, uri.path(), uri.query()))
}

/// A stream, as the read model knows it.
struct Stream {
    id: StreamId,
    service: Service,
    since: Timestamp,
    version: u64,
}

/// The stream of this name, if it is the caller's to see.
async fn find(gateway: &Gateway, caller: &Caller, read: &Read, name: &str) -> Result<Stream, Problem> {
    let id = StreamId::new(name);
    let is_auditor = caller.is(Role::Auditor);
    let found = if let Some(order) = OrderId::of_stream(name) {
        gateway.freshen(read, Projection::Orders, Some(&id)).await?;
        let order = gateway.reads.order(order).await.map_err(failed)?;
        let order = order.filter(|order| is_auditor || order.user_id == caller.user);
        order.map(|order| (Service::Orders, order.created_at, order.version))
    } else if let Some(user) = UserId::of_stream(name).filter(|user| is_auditor || *user == caller.user) {
        gateway.freshen(read, Projection::Users, Some(&id)).await?;
        let found = gateway.reads.user(user).await.map_err(failed)?;
        found.map(|found| (Service::Users, found.user.created_at, found.user.version))
    } else if let Some(goods) = GoodsId::of_stream(name).filter(|_| is_auditor) {
        gateway.freshen(read, Projection::Goods, Some(&id)).await?;
        let goods = gateway.reads.goods(goods).await.map_err(failed)?;
        goods.map(|goods| (Service::Goods, goods.created_at, goods.version))
    } else if let Some(user) = UserId::of_stream(name).filter(|user| is_auditor || *user == caller.user) {
        gateway.freshen(read, Projection::Users, Some(&id)).await?;
        let user = gateway.reads.user(user).await.map_err(failed)?.map(|row| row.user);
        user.map(|user| (Service::Users, user.created_at, user.version))
    } else {
        None
    };
    let (service, since, version) =
        found.ok_or_else(|| Problem::new("stream-not-found", "there is no such stream that you may see"))?;
    Ok(Stream { id, service, since, version })
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
    let service: Service =
        name.parse().map_err(|_| Problem::new("not-found", format!("there is no service `{name}`")))?;
    let filter = Filter { types: types(service, asked.r#type)?, stream: None };
    if media_type == EVENT_STREAM {
        not_here("from", &asked.from)?;
        not_here("to", &asked.to)?;
        let scope = gateway.events.scope(service.events(), None).await.map_err(unreadable)?;
        let place = place(&scope, &headers, asked.after)?;
        return Ok(sse::response(live::follow(&gateway, &caller, scope, filter, place).await?));
    }
    not_here("after", &asked.after)?;
    let range = (bound("from", asked.from, Bound::Beginning)?, bound("to", asked.to, Bound::End)?);
    ndjson::response(&gateway, service.events(), range, filter, &uri).await
}

/// The place that the client names. Where a browser comes back by itself, the header says more than its first request did.
fn place(scope: &Scope, headers: &HeaderMap, after: Option<String>) -> Result<Option<Place>, Problem> {
    let Some(text) = single(headers, &LAST_EVENT_ID)?.map(str::to_owned).or(after) else { return Ok(None) };
    match text.parse::<Place>() {
        Ok(place) if scope.has(&place) => Ok(Some(place)),
        _ => Err(Problem::new("invalid-position", format!("`{text}` is no id of an event here"))),
    }
}

fn bound(name: &str, text: Option<String>, default: Bound) -> Result<Bound, Problem> {
    let parse = |text: String| {
        let wrong = |error| Problem::new("invalid-parameter", format!("{name}: {error}"));
        text.parse().map_err(wrong)
    };
    text.map_or(Ok(default), parse)
}

/// The types that are wanted, separated by commas.
fn types(service: Service, wanted: Option<String>) -> Result<Vec<String>, Problem> {
    let Some(wanted) = wanted else { return Ok(Vec::new()) };
    let known = event_types(service);
    let check = |name: &str| {
        known.contains(&name).then(|| name.to_owned()).ok_or_else(|| {
            let known = known.join(", ");
            Problem::new(
                "invalid-parameter",
                format!("type: `{name}` is no event of {service} (known: {known})"),
            )
        })
    };
    wanted.split(',').map(check).collect()
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
