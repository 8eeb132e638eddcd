//! Goods: everyone sees them, merchants change them.

pub(super) mod described;

use axum::extract::{OriginalUri, Request, State};
use factfold_projections::GoodsFilter;
use factfold_schemas::ids::Goods;
use schemars::JsonSchema;
use serde::Deserialize;

use super::send;
use crate::{
    answers,
    gateway::Gateway,
    problems::Answer,
    reading::{
        body::{JSON, MERGE_PATCH},
        parameters::{self, Parameters, PathId},
        read::Read,
        write::Write,
    },
};

/// `POST /v1/goods`
pub(super) async fn add(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    let id = write.creates::<Goods>()?;
    let body = gateway.json(request, &[JSON]).await?;
    let path = format!("/v1/goods/{id}");
    send(&gateway, &write, "AddGoods", &id.stream(), body, Some(&path)).await
}

/// `PATCH /v1/goods/{id}`
pub(super) async fn update(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<Goods>,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[MERGE_PATCH, JSON]).await?;
    send(&gateway, &write, "UpdateGoods", &id.stream(), body, None).await
}

/// `POST /v1/goods/{id}/stock-adjustments`
pub(super) async fn adjust_stock(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<Goods>,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    send(&gateway, &write, "AdjustStock", &id.stream(), body, None).await
}

/// `POST /v1/goods/{id}/discontinuation`
pub(super) async fn discontinue(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<Goods>,
    request: Request,
) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    send(&gateway, &write, "DiscontinueGoods", &id.stream(), body, None).await
}

/// What can be asked of the list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// How many at most.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
    /// Only what is sold no more, or only what still is.
    discontinued: Option<bool>,
}

/// `GET /v1/goods`
pub(super) async fn list(
    State(gateway): State<Gateway>,
    read: Read,
    Parameters(asked): Parameters<ListParameters>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let page = parameters::page(asked.limit, asked.after.as_deref())?;
    let filter = GoodsFilter { discontinued: asked.discontinued };
    let goods = gateway.list_goods(&read, &filter, &page).await?;
    Ok(answers::page(&goods, uri.path(), uri.query()))
}

/// `GET /v1/goods/{id}`
pub(super) async fn show(
    State(gateway): State<Gateway>,
    read: Read,
    PathId(id): PathId<Goods>,
    Parameters(parameters::None {}): Parameters<parameters::None>,
) -> Answer {
    let goods = gateway.goods(&read, id).await?;
    answers::to_read(&read, goods.version, &goods)
}
