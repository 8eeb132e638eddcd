//! `grpc.health.v1.Health`: a service is serving when the gateway is ready (`/readyz`). Looked at when it is asked for,
//! since nobody else needs to know.

use std::sync::Arc;

use factfold_proto::{
    events::v1::event_service_server, goods::v1::goods_service_server, orders::v1::order_service_server,
    users::v1::user_service_server,
};
use futures::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tonic::{Request, Response, Status, codegen::BoxStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use crate::{
    gateway::Gateway,
    problems::Problem,
    routes::health::{GOOD_FOR, seen},
};

/// How many may watch at once. Anybody may, and each is a stream that stays.
const WATCHERS_MAX: usize = 64;
/// All that can be asked about; the empty name is the whole gateway.
const SERVICES: [&str; 5] = [
    "",
    event_service_server::SERVICE_NAME,
    goods_service_server::SERVICE_NAME,
    order_service_server::SERVICE_NAME,
    user_service_server::SERVICE_NAME,
];

/// The service.
pub(super) struct Service {
    gateway: Gateway,
    places: Arc<Semaphore>,
}

impl Service {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway, places: Arc::new(Semaphore::new(WATCHERS_MAX)) }
    }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match status(&self.gateway, &service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found(format!("there is no service {service}"))),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = format!("{WATCHERS_MAX} are watching already: ask with Check");
            return Err(Problem::new("too-many-waiting", detail).retry_after(10).into());
        };
        let watch = Watch {
            gateway: self.gateway.clone(),
            service: request.into_inner().service,
            told: None,
            _place: place,
        };
        Ok(Response::new(Box::pin(stream::unfold(watch, Watch::next))))
    }
}

/// Somebody who watches a service.
struct Watch {
    gateway: Gateway,
    service: String,
    told: Option<ServingStatus>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next status that differs from the last. It ends when the gateway does.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let stopping = is_stopping(&self.gateway);
            let status = status(&self.gateway, &self.service).await;
            if self.told != Some(status) {
                self.told = Some(status);
                return Some((Ok(response(status)), self));
            }
            if stopping {
                return None;
            }
            tokio::select! {
                () = sleep(GOOD_FOR) => {}
                () = self.gateway.stops() => {}
            }
        }
    }
}

async fn status(gateway: &Gateway, service: &str) -> ServingStatus {
    if !SERVICES.contains(&service) {
        ServingStatus::ServiceUnknown
    } else if is_stopping(gateway) || !seen(gateway).await.missing.is_empty() {
        ServingStatus::NotServing
    } else {
        ServingStatus::Serving
    }
}

fn is_stopping(gateway: &Gateway) -> bool {
    *gateway.stopping.borrow()
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
