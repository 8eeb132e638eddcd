//! gRPC, on the same port: the same commands and questions as over HTTP. One file for each service; [`call`] reads what
//! comes as metadata, [`messages`] makes commands of messages and messages of resources, [`status`] a status of every
//! problem.
//!
//! There must be no rule here that HTTP does not have: what may be asked and what it must look like is checked by the same
//! functions, and a command takes the same path.

mod call;
mod events;
mod goods;
mod health;
mod messages;
mod observing;
mod orders;
mod reading;
mod status;
mod users;
mod writing;

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::HeaderMap,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use factfold_proto::{
    FILE_DESCRIPTOR_SET, events::v1::event_service_server::EventServiceServer,
    goods::v1::goods_service_server::GoodsServiceServer,
    orders::v1::order_service_server::OrderServiceServer, users::v1::user_service_server::UserServiceServer,
};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tower_http::{catch_panic::CatchPanicLayer, timeout::ResponseBodyDeadlineLayer};

use crate::{
    access::Operation,
    gateway::Gateway,
    problems::Problem,
    reading::body::{media_type, unsupported},
};

/// The media type; what follows a plus says how messages are encoded.
const GRPC: &str = "application/grpc";
/// How long somebody may go on asking what there is.
const REFLECTION_TIME: Duration = Duration::from_secs(60);

/// All services.
pub(crate) fn router(gateway: &Gateway) -> Router {
    let services = Routes::new(GoodsServiceServer::new(goods::Goods(gateway.clone())))
        .add_service(EventServiceServer::new(events::Events(gateway.clone())))
        .add_service(OrderServiceServer::new(orders::Orders(gateway.clone())))
        .add_service(UserServiceServer::new(users::Users(gateway.clone())))
        .into_axum_router()
        .reset_fallback()
        .route_layer(middleware::from_fn_with_state(gateway.clone(), call::guard));
    let health = Routes::new(HealthServer::new(health::Service::new(gateway.clone())));
    services
        .merge(health.into_axum_router().reset_fallback())
        .merge(reflection())
        .route_layer(middleware::from_fn(only_calls))
        .route_layer(CatchPanicLayer::custom(observing::panicked))
        .route_layer(middleware::from_fn(observing::observe))
}

/// What there is: in today's protocol, and in the one that many tools still speak.
fn reflection() -> Router {
    let told = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let readable = "descriptors that were compiled";
    Routes::new(told().build_v1().expect(readable))
        .add_service(told().build_v1alpha().expect(readable))
        .into_axum_router()
        .reset_fallback()
        .route_layer(ResponseBodyDeadlineLayer::new(REFLECTION_TIME))
}

/// The operation at this path, `/<service>/<RPC>`.
fn operation(path: &str) -> Option<Operation> {
    Operation::of_rpc(path.rsplit_once('/')?.1)
}

/// Whether a request with these headers is a call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let given = media_type(headers);
    given.strip_prefix(GRPC).is_some_and(|encoding| encoding.is_empty() || encoding.starts_with('+'))
}

/// The answer to a call of what is not there.
pub(crate) fn nothing_here(path: &str) -> Response {
    let detail = format!("there is no RPC {path}: reflection lists those that there are");
    status::to_http(Problem::new("not-implemented", detail))
}

async fn only_calls(request: Request, next: Next) -> Response {
    if is_call(request.headers()) {
        return next.run(request).await;
    }
    unsupported(&media_type(request.headers()), &[GRPC]).into_response()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::access::Who;

    /// The guard lets nothing through that has no line in the table; so every RPC must have one.
    #[test]
    fn every_rpc_has_a_rule() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let services = files.file.iter().flat_map(|file| &file.service);
        let names: Vec<_> = services.flat_map(|service| &service.method).map(|rpc| rpc.name()).collect();
        assert!(names.len() >= 26, "{names:?}");
        for name in names {
            let operation =
                operation(&format!("/any/{name}")).unwrap_or_else(|| panic!("{name} needs a rule"));
            assert_ne!(operation.who(), Who::System, "{name}");
        }
    }
}
