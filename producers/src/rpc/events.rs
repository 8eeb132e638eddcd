//! `factfold.events.v1.EventService`: events as they come.

use factfold_projections::events::Place;
use factfold_proto::events::v1::{self as proto, event_service_server::EventService};
use prost_types::Struct;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, codegen::BoxStream};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{call::Call, messages, status::DOMAIN};
use crate::{
    gateway::Gateway,
    live::{
        self, End, Fed,
        opening::{self, OfStream, Wanted},
        sse::explained,
    },
    problems::Problem,
};

/// The service.
pub(super) struct Events(pub(super) Gateway);

#[tonic::async_trait]
impl EventService for Events {
    type ReadStreamStream = BoxStream<proto::ReadStreamResponse>;

    async fn read_stream(
        &self,
        request: Request<proto::ReadStreamRequest>,
    ) -> Result<Response<Self::ReadStreamStream>, Status> {
        let (call, asked) = Call::of(request);
        let (caller, read, types) = (call.caller()?, call.read()?, texts(&asked.types));
        let wanted = Wanted { types: &types, after: given(&asked.after), ..Wanted::default() };
        let opened = opening::stream(&self.0, caller, &read, &asked.stream, wanted).await?;
        let OfStream { scope, filter, from, .. } = opened;
        let fed = live::follow(&self.0, caller, scope, filter, Some(from)).await?;
        Ok(answer(fed, |place, event| proto::ReadStreamResponse { place, event }))
    }

    type ReadServiceStream = BoxStream<proto::ReadServiceResponse>;

    async fn read_service(
        &self,
        request: Request<proto::ReadServiceRequest>,
    ) -> Result<Response<Self::ReadServiceStream>, Status> {
        let (call, asked) = Call::of(request);
        let (service, types) = (opening::named(&asked.service)?, texts(&asked.types));
        let opened = opening::service(&self.0, service, &types, given(&asked.after)).await?;
        let (scope, filter, place) = opened;
        let fed = live::follow(&self.0, call.caller()?, scope, filter, place).await?;
        Ok(answer(fed, |place, event| proto::ReadServiceResponse { place, event }))
    }
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// What a reader is fed, as answers.
fn answer<M: Send + 'static>(
    fed: mpsc::Receiver<Fed>,
    message: impl Fn(String, Option<Struct>) -> M + Send + 'static,
) -> Response<BoxStream<M>> {
    let said = move |fed| match fed {
        Fed::Event { place, event } => Ok(message(text(&place), Some(shown(&event)?))),
        Fed::Quiet { place } => Ok(message(text(&place), None)),
        Fed::End(end) => Err(ended(end)),
    };
    Response::new(Box::pin(ReceiverStream::new(fed).map(said)))
}

fn text(place: &Place) -> String {
    place.to_string()
}

fn shown(event: &[u8]) -> Result<Struct, Problem> {
    let object = serde_json::from_slice(event).map_err(|error| {
        tracing::error!(%error, "an event is no JSON");
        Problem::new("internal-error", "an event could not be shown")
    })?;
    Ok(messages::structure(object))
}

fn ended(end: End) -> Status {
    let code = match end {
        End::TooSlow => Code::ResourceExhausted,
        End::TokenExpired | End::TokenRevoked => Code::Unauthenticated,
        End::Stopping | End::LogUnavailable => Code::Unavailable,
    };
    let (reason, detail) = explained(end);
    Status::with_error_details(code, detail, ErrorDetails::with_error_info(reason, DOMAIN, []))
}
