//! What somebody asks who reads events: which, whose they are, and from where on. The same over HTTP and gRPC.

use factfold_projections::{
    Projection,
    events::{Place, Scope},
    log_reader::Filter,
};
use factfold_schemas::{
    functions::FunctionName,
    ids::{GoodsId, OrderId, StreamId, UserId},
    json::event_types,
    record::Outcome,
    topics::Service,
};
use jiff::Timestamp;
use strum::VariantNames as _;

use super::unreadable;
use crate::{
    access::{Caller, Role},
    freshness::failed,
    gateway::Gateway,
    problems::Problem,
    reading::read::Read,
};

/// What is asked of a stream.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Only records of these types, if there are any.
    pub(crate) types: &'a [&'a str],
    /// After this place; without one, from its beginning.
    pub(crate) after: Option<&'a str>,
    /// Also what commands came to that gave no events.
    pub(crate) outcomes: bool,
}

/// Events of a stream.
pub(crate) struct OfStream {
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    pub(crate) from: Place,
    /// The broker's time of its first command.
    pub(crate) since: Timestamp,
    /// The version of its last event.
    pub(crate) version: u64,
}

/// The events of the stream of this name; if it is the caller's to see.
pub(crate) async fn stream(
    gateway: &Gateway,
    caller: &Caller,
    read: &Read,
    name: &str,
    Wanted { types, after, outcomes }: Wanted<'_>,
) -> Result<OfStream, Problem> {
    if outcomes && !caller.is(Role::Auditor) {
        return Err(Problem::new("forbidden", "outcomes: only auditors see what others tried in vain"));
    }
    let stream = find(gateway, caller, read, name).await?;
    let others: &[&str] = if outcomes { Outcome::VARIANTS } else { &[] };
    let types = known_among(stream.service, types, &[event_types(stream.service), others].concat())?;
    let filter = Filter { types, stream: Some(stream.id.clone()) };
    let mut scope =
        gateway.events.scope(stream.service.events(), Some(&stream.id)).await.map_err(unreadable)?;
    if outcomes {
        scope = scope.with_outcomes();
    }
    let from = match after {
        Some(text) => place(&scope, text)?,
        None => gateway.events.beginning(&scope, stream.since).await.map_err(unreadable)?,
    };
    Ok(OfStream { scope, filter, from, since: stream.since, version: stream.version })
}

/// The events of a service, of these types (all, without any), after a place or from now on.
pub(crate) async fn service(
    gateway: &Gateway,
    service: Service,
    types: &[&str],
    after: Option<&str>,
) -> Result<(Scope, Filter, Option<Place>), Problem> {
    let filter = Filter { types: known(service, types)?, stream: None };
    let scope = gateway.events.scope(service.events(), None).await.map_err(unreadable)?;
    let place = after.map(|text| place(&scope, text)).transpose()?;
    Ok((scope, filter, place))
}

/// The service of this name.
pub(crate) fn named(name: &str) -> Result<Service, Problem> {
    name.parse().map_err(|_| Problem::new("not-found", format!("there is no service `{name}`")))
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
    let is_developer = is_auditor || caller.is(Role::Developer);
    let found = if let Some(order) = OrderId::of_stream(name) {
        gateway.freshen(read, Projection::Orders, Some(&id)).await?;
        let order = gateway.reads.order(order).await.map_err(failed)?;
        let order = order.filter(|order| is_auditor || order.user_id == caller.user);
        order.map(|order| (Service::Orders, order.created_at, order.version))
    } else if let Some(goods) = GoodsId::of_stream(name).filter(|_| is_auditor) {
        gateway.freshen(read, Projection::Goods, Some(&id)).await?;
        let goods = gateway.reads.goods(goods).await.map_err(failed)?;
        goods.map(|goods| (Service::Goods, goods.created_at, goods.version))
    } else if let Some(user) = UserId::of_stream(name).filter(|user| is_auditor || *user == caller.user) {
        gateway.freshen(read, Projection::Users, Some(&id)).await?;
        let user = gateway.reads.user(user).await.map_err(failed)?.map(|row| row.user);
        user.map(|user| (Service::Users, user.created_at, user.version))
    } else if let Some(function) = FunctionName::of_stream(name).filter(|_| is_developer) {
        gateway.freshen(read, Projection::Functions, Some(&id)).await?;
        let function = gateway.reads.function(function).await.map_err(failed)?;
        function.map(|function| (Service::Functions, function.created_at, function.version))
    } else {
        None
    };
    let (service, since, version) =
        found.ok_or_else(|| Problem::new("stream-not-found", "there is no such stream that you may see"))?;
    Ok(Stream { id, service, since, version })
}

fn place(scope: &Scope, text: &str) -> Result<Place, Problem> {
    match text.parse::<Place>() {
        Ok(place) if scope.has(&place) => Ok(place),
        _ => Err(Problem::new("invalid-position", format!("`{text}` is no id of an event here"))),
    }
}

/// The types that are wanted.
pub(crate) fn known(service: Service, wanted: &[&str]) -> Result<Vec<String>, Problem> {
    known_among(service, wanted, event_types(service))
}

fn known_among(service: Service, wanted: &[&str], known: &[&str]) -> Result<Vec<String>, Problem> {
    let check = |name: &&str| {
        known.contains(name).then(|| (*name).to_owned()).ok_or_else(|| {
            let known = known.join(", ");
            Problem::new(
                "invalid-parameter",
                format!("type: `{name}` is no event of {service} (known: {known})"),
            )
        })
    };
    wanted.iter().map(check).collect()
}
