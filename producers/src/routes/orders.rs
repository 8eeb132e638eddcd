//! Orders: customers place, pay and cancel their own; merchants give money back. Whose an order is, is for the decider
//! and the read model to say; to others it is not there.

pub(super) mod described;

use axum::extract::{OriginalUri, Request, State};
use factfold_projections::{At, OrderFilter};
use factfold_schemas::{
    ids::{self, GoodsId, OrderId},
    json::Misfit,
    orders::Status,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::send;
use crate::{
    access::Caller,
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
    reading::{
        body::JSON,
        parameters::{self, Parameters, PathId},
        read::Read,
        write::Write,
    },
    vocabulary::Refused,
};

/// `POST /v1/orders`: in the caller's own name, so the body has no `user_id`.
pub(super) async fn create(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    let id = write.creates::<ids::Order>()?;
    let mut body = gateway.json(request, &[JSON]).await?;
    let mut named = None;
    if let Value::Object(order) = &mut body {
        named = order.insert("user_id".to_owned(), json!(write.caller.user));
    }
    let command = gateway.vocabulary.check("CreateOrder", body);
    let command = match (command, named) {
        (command, None) => command,
        (command, Some(_)) => {
            let mut misfits = match command {
                Err(Refused::Misfits(misfits)) => misfits,
                _ => Vec::new(),
            };
            misfits.push(Misfit::new("/user_id", "is unknown here: an order is placed in the caller's name"));
            Err(Refused::Misfits(misfits))
        }
    };
    let submitted = gateway.submit(&write, command?, &id.stream()).await?;
    answers::to_write(write.prefer, submitted, Some(&format!("/v1/orders/{id}")))
}

/// `POST /v1/orders/{id}/payment`
pub(super) async fn pay(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<ids::Order>,
    request: Request,
) -> Answer {
    change(&gateway, &write, "PayOrder", id, request).await
}

/// `POST /v1/orders/{id}/refunds`
pub(super) async fn refund(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<ids::Order>,
    request: Request,
) -> Answer {
    change(&gateway, &write, "RefundOrder", id, request).await
}

/// `POST /v1/orders/{id}/cancellation`
pub(super) async fn cancel(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<ids::Order>,
    request: Request,
) -> Answer {
    change(&gateway, &write, "CancelOrder", id, request).await
}

async fn change(gateway: &Gateway, write: &Write, type_name: &str, id: OrderId, request: Request) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    send(gateway, write, type_name, &id.stream(), body, None).await
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
    /// Only those with this status.
    status: Option<Status>,
    /// Only those with these goods.
    goods_id: Option<GoodsId>,
}

/// `GET /v1/orders`: one's own; merchants and auditors see all.
pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    read: Read,
    Parameters(asked): Parameters<ListParameters>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let page = parameters::page(asked.limit, asked.after.as_deref())?;
    let filter = OrderFilter { status: asked.status, goods_id: asked.goods_id, user_id: None };
    let orders = gateway.list_orders(&read, &caller, filter, &page).await?;
    Ok(answers::page(&orders, uri.path(), uri.query()))
}

/// What can be asked of one order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParameters {
    /// Wait for this status or a final one, 30 seconds at most.
    until: Option<Status>,
    /// As it was at this time (RFC 3339), or so long ago (`15m`), by the broker's clock.
    #[serde(rename = "as-of")]
    as_of: Option<String>,
}

/// `GET /v1/orders/{id}`
pub(super) async fn show(
    State(gateway): State<Gateway>,
    caller: Caller,
    read: Read,
    PathId(id): PathId<ids::Order>,
    Parameters(asked): Parameters<ShowParameters>,
) -> Answer {
    let order = match asked.as_of {
        None => gateway.order(&read, &caller, id, asked.until).await?,
        Some(_) if asked.until.is_some() => {
            return Err(Problem::new(
                "invalid-parameter",
                "as-of: what was cannot be waited for: leave `until` out",
            ));
        }
        Some(text) => match text.parse() {
            Ok(At::Time(time)) => gateway.order_as_of(&read, &caller, id, time).await?,
            _ => {
                let detail = format!("as-of: `{text}` is no time: expected 2026-01-31T12:00:00Z, or 15m");
                return Err(Problem::new("invalid-parameter", detail));
            }
        },
    };
    answers::to_read(&read, order.version, &order)
}
