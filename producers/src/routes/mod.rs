//! The routes: one file for each resource. A handler says what is checked, in which order, and what is asked or sent; it
//! never talks to Kafka or Postgres itself.

mod commands;
mod goods;
pub(crate) mod health;
mod orders;
mod projections;
mod system;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{gateway::Gateway, observing, problems::Problem};

/// The whole API.
pub(crate) fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/v1/goods", get(goods::list).post(goods::add))
        .route("/v1/goods/{id}", get(goods::show).patch(goods::update))
        .route("/v1/goods/{id}/stock-adjustments", post(goods::adjust_stock))
        .route("/v1/goods/{id}/discontinuation", post(goods::discontinue))
        .route("/v1/orders", get(orders::list).post(orders::create))
        .route("/v1/orders/{id}", get(orders::show))
        .route("/v1/orders/{id}/payment", post(orders::pay))
        .route("/v1/orders/{id}/refunds", post(orders::refund))
        .route("/v1/orders/{id}/cancellation", post(orders::cancel))
        .route("/v1/commands", post(commands::send))
        .route("/v1/commands/{id}", get(commands::show))
        .route("/v1/projections", get(projections::list))
        .route("/problems/{name}", get(system::problem))
        .route("/.well-known/jwks.json", get(system::keys))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .layer(CatchPanicLayer::custom(observing::panicked))
        .layer(middleware::from_fn(observing::observe))
        .with_state(gateway)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::new("not-found", format!("there is nothing at {}", uri.path()))
}

async fn not_this_method(method: Method, uri: Uri) -> Problem {
    Problem::new("method-not-allowed", format!("{} cannot be asked for with {method}", uri.path()))
}
