//! The routes: one file for each resource. A handler says what is checked, in which order, and what is asked or sent; it
//! never talks to Kafka or Postgres itself.

mod commands;
mod events;
mod goods;
pub(crate) mod health;
mod orders;
mod projections;
mod system;
mod tickets;

use axum::{
    Router,
    http::{HeaderMap, Method, Uri},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    access::{self, Operation},
    gateway::Gateway,
    observing,
    problems::Problem,
    rpc,
};

/// The whole API, gRPC too.
pub(crate) fn router(gateway: Gateway) -> Router {
    let mut routes = Router::new();
    for operation in Operation::ALL.iter().copied() {
        let Some((method, path)) = operation.http() else { continue };
        let method = MethodFilter::try_from(method).expect("the table has the usual methods");
        let Some(handler) = handler(operation, method) else { unreachable!("{operation:?} has a route") };
        let guard = middleware::from_fn_with_state((gateway.clone(), operation), access::guard);
        routes = routes.route(path, handler.route_layer(guard));
    }
    routes
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .layer(CatchPanicLayer::custom(observing::panicked))
        .layer(middleware::from_fn(observing::observe))
        .with_state(gateway.clone())
        .merge(rpc::router(&gateway))
}

/// What answers an operation; `None` for those that have no route.
fn handler(operation: Operation, method: MethodFilter) -> Option<MethodRouter<Gateway>> {
    Some(match operation {
        Operation::ListGoods => on(method, goods::list),
        Operation::GetGoods => on(method, goods::show),
        Operation::AddGoods => on(method, goods::add),
        Operation::UpdateGoods => on(method, goods::update),
        Operation::AdjustStock => on(method, goods::adjust_stock),
        Operation::DiscontinueGoods => on(method, goods::discontinue),
        Operation::ListOrders => on(method, orders::list),
        Operation::GetOrder => on(method, orders::show),
        Operation::CreateOrder => on(method, orders::create),
        Operation::PayOrder => on(method, orders::pay),
        Operation::RefundOrder => on(method, orders::refund),
        Operation::CancelOrder => on(method, orders::cancel),
        Operation::SendCommands => on(method, commands::send),
        Operation::GetCommand => on(method, commands::show),
        Operation::ReadStream => on(method, events::of_stream),
        Operation::ReadService => on(method, events::of_service),
        Operation::CreateTicket => on(method, tickets::create),
        Operation::ListProjections => on(method, projections::list),
        Operation::ExplainProblem => on(method, system::problem),
        Operation::ListKeys => on(method, system::keys),
        Operation::IsAlive => on(method, health::alive),
        Operation::IsReady => on(method, health::ready),
        Operation::ReserveStock
        | Operation::ReleaseStock
        | Operation::RecordReservation
        | Operation::RejectOrder
        | Operation::ExpireOrder => return None,
    })
}

async fn nothing_here(uri: Uri, headers: HeaderMap) -> Response {
    if rpc::is_call(&headers) {
        return rpc::nothing_here(uri.path());
    }
    Problem::new("not-found", format!("there is nothing at {}", uri.path())).into_response()
}

async fn not_this_method(method: Method, uri: Uri) -> Problem {
    Problem::new("method-not-allowed", format!("{} cannot be asked for with {method}", uri.path()))
}
