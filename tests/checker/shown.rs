//! What the read models show, asked as people ask: each resource alone, all lists page by page, timelines, and the view
//! of outcomes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use factfold_consumers::decider::Decider;
use factfold_projections::{
    Error, FunctionFilter, GoodsFilter, OrderFilter, Page, PageRequest, ReadSide, TimelineEntry, UserFilter,
};
use factfold_schemas::{
    functions::{Function, FunctionName},
    goods::Goods,
    ids::{GoodsId, OrderId, StreamId, UserId},
    kafka::Cluster,
    orders::Order,
    users::User,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow};

use crate::history::{Log, ServiceLog};

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// Everything that the read models show.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The goods.
    pub goods: Resources,
    /// The orders.
    pub orders: Resources,
    /// The users.
    pub users: Resources,
    /// The functions.
    pub functions: Resources,
    /// The timelines of the orders.
    pub timelines: BTreeMap<StreamId, Vec<TimelineEntry>>,
    /// The rows of `command_outcomes`.
    pub outcomes: Vec<OutcomeRow>,
    /// The read models that have stopped, and why.
    pub failures: Vec<(String, String)>,
}

/// The resources of one service.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// Those that were asked for alone.
    pub found: BTreeMap<StreamId, Value>,
    /// All that the list shows, in its order.
    pub listed: Vec<(StreamId, Value)>,
}

/// A row of `command_outcomes`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct OutcomeRow {
    pub decided: String,
    pub stored: String,
    pub command_id: String,
    pub source: String,
    pub stream: Option<String>,
    pub command: Option<String>,
    pub status: String,
    pub version: Option<i64>,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub rejection: Option<Value>,
    pub first: Option<String>,
    pub forwarded_to: Option<i32>,
    /// In milliseconds since 1970.
    pub due_ms: Option<i64>,
    pub after: Option<String>,
    /// In milliseconds since 1970.
    pub decided_ms: i64,
    pub auth_kind: Option<String>,
    pub auth_id: Option<String>,
    pub correlation: Option<String>,
}

/// Asks for everything: each aggregate that is in the log, and all that the lists show.
pub async fn ask(reads: &ReadSide, cluster: &Cluster, database_url: &str, log: &Log) -> Result<Shown> {
    let mut shown = Shown {
        goods: goods(reads, &streams(&log.goods)).await.context("asking for goods")?,
        orders: orders(reads, &streams(&log.orders)).await.context("asking for orders")?,
        users: users(reads, &streams(&log.users)).await.context("asking for users")?,
        functions: functions(reads, &streams(&log.functions)).await.context("asking for functions")?,
        outcomes: outcomes(cluster, database_url).await.context("asking for outcomes")?,
        ..Shown::default()
    };
    shown.timelines = stream::iter(streams(&log.orders))
        .map(async |stream| {
            let Some(id) = OrderId::of_stream(stream.as_str()) else {
                return anyhow::Ok((stream, Vec::new()));
            };
            Ok((stream, reads.order_timeline(id).await?))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    for progress in reads.progress().await? {
        shown.failures.extend(progress.failure.map(|failure| (progress.projection.to_string(), failure)));
    }
    Ok(shown)
}

fn streams<D: Decider>(log: &ServiceLog<D>) -> Vec<StreamId> {
    let mut streams: Vec<_> = log.events.iter().map(|event| event.record.stream.clone()).collect();
    streams.sort_unstable();
    streams.dedup();
    streams
}

/// The resources of one kind: all pages of the list, and each of these alone.
async fn resources<I, T: Serialize, C>(
    ids: impl Iterator<Item = I>,
    stream: impl Fn(&T) -> StreamId,
    list: impl AsyncFn(&PageRequest<C>) -> Result<Page<T, C>, Error>,
    ask: impl AsyncFn(I) -> Result<Option<T>, Error>,
) -> Result<Resources> {
    let mut resources = Resources::default();
    let mut page = PageRequest::new(PageRequest::LIMIT_MAX, None)?;
    loop {
        let items = list(&page).await?;
        for item in items.items {
            resources.listed.push((stream(&item), serde_json::to_value(item)?));
        }
        let Some(next) = items.next else { break };
        page.after = Some(next);
    }
    let found: Vec<_> = stream::iter(ids).map(|id| ask(id)).buffer_unordered(AT_ONCE).try_collect().await?;
    for item in found.into_iter().flatten() {
        resources.found.insert(stream(&item), serde_json::to_value(item)?);
    }
    Ok(resources)
}

async fn goods(reads: &ReadSide, streams: &[StreamId]) -> Result<Resources> {
    let list = async |page: &PageRequest| reads.list_goods(&GoodsFilter::default(), page).await;
    let ids = streams.iter().filter_map(|stream| GoodsId::of_stream(stream.as_str()));
    resources(ids, |goods: &Goods| goods.id.stream(), list, async |id| reads.goods(id).await).await
}

async fn orders(reads: &ReadSide, streams: &[StreamId]) -> Result<Resources> {
    let list = async |page: &PageRequest| reads.list_orders(&OrderFilter::default(), page).await;
    let ids = streams.iter().filter_map(|stream| OrderId::of_stream(stream.as_str()));
    resources(ids, |order: &Order| order.id.stream(), list, async |id| reads.order(id).await).await
}

/// Names and addresses are sealed here, as they are in the events.
async fn users(reads: &ReadSide, streams: &[StreamId]) -> Result<Resources> {
    let list = async |page: &PageRequest| reads.list_users(&UserFilter::default(), page).await;
    let ask = async |id| Ok(reads.user(id).await?.map(|row| row.user));
    let ids = streams.iter().filter_map(|stream| UserId::of_stream(stream.as_str()));
    resources(ids, |user: &User| user.id.stream(), list, ask).await
}

async fn functions(reads: &ReadSide, streams: &[StreamId]) -> Result<Resources> {
    let list = async |page: &PageRequest<_>| reads.list_functions(&FunctionFilter::default(), page).await;
    let ask = async |name| reads.function(name).await;
    let names = streams.iter().filter_map(|stream| FunctionName::of_stream(stream.as_str()));
    resources(names, |function: &Function| function.name.stream(), list, ask).await
}

async fn outcomes(cluster: &Cluster, database_url: &str) -> Result<Vec<OutcomeRow>> {
    let mut connection = PgConnection::connect(database_url).await?;
    let schema = cluster.namespace.schema();
    let select = format!(
        "SELECT *, (extract(epoch FROM decided_at) * 1000)::BIGINT AS decided_ms,
                trunc(extract(epoch FROM due) * 1000)::BIGINT AS due_ms
         FROM {schema}.command_outcomes"
    );
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter().map(|row| outcome(row).context("a row of command_outcomes")).collect()
}

fn outcome(row: &PgRow) -> Result<OutcomeRow, sqlx::Error> {
    Ok(OutcomeRow {
        decided: row.try_get("decided")?,
        stored: row.try_get("stored")?,
        command_id: row.try_get("command_id")?,
        source: row.try_get("source")?,
        stream: row.try_get("stream")?,
        command: row.try_get("command")?,
        status: row.try_get("status")?,
        version: row.try_get("version")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        rejection: row.try_get("rejection")?,
        first: row.try_get("first")?,
        forwarded_to: row.try_get("forwarded_to")?,
        due_ms: row.try_get("due_ms")?,
        after: row.try_get("after")?,
        decided_ms: row.try_get("decided_ms")?,
        auth_kind: row.try_get("auth_kind")?,
        auth_id: row.try_get("auth_id")?,
        correlation: row.try_get("correlation")?,
    })
}
