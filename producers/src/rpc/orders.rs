//! `factfold.orders.v1.OrderService`: customers place, pay and cancel their own; merchants give money back.

use factfold_projections::OrderFilter;
use factfold_proto::orders::v1::{self as proto, order_service_server::OrderService};
use factfold_schemas::{
    ids,
    orders::{self, Status as Stage},
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::{
    call::Call,
    messages::{data, given_money, money, time},
    reading::{id, misfit, page},
    writing::{answer, change, create},
};
use crate::{gateway::Gateway, problems::Problem};

/// The service.
pub(super) struct Orders(pub(super) Gateway);

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(
        &self,
        request: Request<proto::CreateOrderRequest>,
    ) -> Result<Response<proto::CreateOrderResponse>, Status> {
        let (call, asked) = Call::of(request);
        let line =
            |line: proto::RequestedLine| json!({ "goods_id": line.goods_id, "quantity": line.quantity });
        let lines: Vec<Value> = asked.lines.into_iter().map(line).collect();
        let data = data([("user_id", Some(json!(call.caller()?.user))), ("lines", Some(json!(lines)))]);
        let submitted = create::<ids::Order>(&self.0, &call, data).await?;
        answer(&submitted, shown, |order, pending| proto::CreateOrderResponse { order, pending })
    }

    async fn pay_order(
        &self,
        request: Request<proto::PayOrderRequest>,
    ) -> Result<Response<proto::PayOrderResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data = data([("amount", asked.amount.map(given_money)), ("method", Some(json!(asked.method)))]);
        let submitted = change::<ids::Order>(&self.0, &call, &asked.id, data).await?;
        answer(&submitted, shown, |order, pending| proto::PayOrderResponse { order, pending })
    }

    async fn refund_order(
        &self,
        request: Request<proto::RefundOrderRequest>,
    ) -> Result<Response<proto::RefundOrderResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data = data([("amount", asked.amount.map(given_money)), ("reason", Some(json!(asked.reason)))]);
        let submitted = change::<ids::Order>(&self.0, &call, &asked.id, data).await?;
        answer(&submitted, shown, |order, pending| proto::RefundOrderResponse { order, pending })
    }

    async fn cancel_order(
        &self,
        request: Request<proto::CancelOrderRequest>,
    ) -> Result<Response<proto::CancelOrderResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data = data([("reason", Some(json!(asked.reason)))]);
        let submitted = change::<ids::Order>(&self.0, &call, &asked.id, data).await?;
        answer(&submitted, shown, |order, pending| proto::CancelOrderResponse { order, pending })
    }

    async fn get_order(
        &self,
        request: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        let (call, asked) = Call::of(request);
        let until = given_stage("until", asked.until)?;
        let order = self.0.order(&call.read()?, call.caller()?, id("id", &asked.id)?, until).await?;
        Ok(Response::new(proto::GetOrderResponse { order: Some(shown(order)) }))
    }

    async fn list_orders(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        let (call, asked) = Call::of(request);
        let page = page(asked.page_size, &asked.page_token)?;
        let goods_id = match asked.goods_id.as_str() {
            "" => None,
            text => Some(id("goods_id", text)?),
        };
        let filter = OrderFilter { user_id: None, status: given_stage("status", asked.status)?, goods_id };
        let listed = self.0.list_orders(&call.read()?, call.caller()?, filter, &page).await?;
        Ok(Response::new(proto::ListOrdersResponse {
            orders: listed.items.into_iter().map(shown).collect(),
            next_page_token: listed.next.map(|next| next.to_string()).unwrap_or_default(),
        }))
    }
}

/// The status in this field; `None` when it is not set.
fn given_stage(field: &str, number: i32) -> Result<Option<Stage>, Problem> {
    let Ok(status) = proto::OrderStatus::try_from(number) else {
        return Err(misfit(field, format_args!("{number} is no OrderStatus")));
    };
    Ok(match status {
        proto::OrderStatus::Unspecified => None,
        proto::OrderStatus::Created => Some(Stage::Created),
        proto::OrderStatus::Confirmed => Some(Stage::Confirmed),
        proto::OrderStatus::Rejected => Some(Stage::Rejected),
        proto::OrderStatus::Paid => Some(Stage::Paid),
        proto::OrderStatus::Refunded => Some(Stage::Refunded),
        proto::OrderStatus::Cancelled => Some(Stage::Cancelled),
        proto::OrderStatus::Expired => Some(Stage::Expired),
    })
}

fn shown_stage(status: Stage) -> proto::OrderStatus {
    match status {
        Stage::Created => proto::OrderStatus::Created,
        Stage::Confirmed => proto::OrderStatus::Confirmed,
        Stage::Rejected => proto::OrderStatus::Rejected,
        Stage::Paid => proto::OrderStatus::Paid,
        Stage::Refunded => proto::OrderStatus::Refunded,
        Stage::Cancelled => proto::OrderStatus::Cancelled,
        Stage::Expired => proto::OrderStatus::Expired,
    }
}

fn shown(order: orders::Order) -> proto::Order {
    let line = |line: orders::Line| proto::Line {
        goods_id: line.goods_id.to_string(),
        quantity: line.quantity,
        unit_price: line.unit_price.map(money),
    };
    let reason = |reason: orders::RejectionReason| proto::RejectionReason {
        name: reason.name,
        detail: reason.detail,
        line: reason.line.into(),
    };
    proto::Order {
        id: order.id.to_string(),
        version: order.version,
        created_at: Some(time(order.created_at)),
        updated_at: Some(time(order.updated_at)),
        user_id: order.user_id.to_string(),
        status: shown_stage(order.status).into(),
        lines: order.lines.into_iter().map(line).collect(),
        total: order.total.map(money),
        paid: order.paid.map(money),
        refunded: order.refunded.map(money),
        rejection: order.rejection.map(reason),
    }
}
