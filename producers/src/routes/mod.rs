//! The routes: one file for each resource. A handler says what is checked, in which order, and what is asked or sent; it
//! never talks to Kafka or Postgres itself.

mod commands;
mod documents;
mod events;
mod functions;
mod goods;
pub(crate) mod health;
mod orders;
mod projections;
mod sessions;
mod system;
mod tickets;
mod users;

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use factfold_schemas::ids::StreamId;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    access::{self, Operation},
    answers,
    documents::{components::Components, description::Description},
    gateway::Gateway,
    observing,
    problems::{Answer, Problem},
    reading::write::Write,
    rpc,
};

/// What answers an operation, and what it says about itself.
pub(crate) struct Route {
    handler: MethodRouter<Gateway>,
    pub(crate) description: fn(&mut Components) -> Description,
}

/// Every operation that has a route, in the order of their table.
pub(crate) fn all() -> impl Iterator<Item = (Operation, Route)> {
    Operation::ALL.iter().filter_map(|operation| {
        let (method, _) = operation.http()?;
        let method = MethodFilter::try_from(method).expect("the table has the usual methods");
        let Some(route) = route(*operation, method) else { unreachable!("{operation:?} has a route") };
        Some((*operation, route))
    })
}

/// The whole API, gRPC too.
pub(crate) fn router(gateway: Gateway) -> Router {
    let mut routes = Router::new();
    for (operation, Route { handler, .. }) in all() {
        let Some((_, path)) = operation.http() else { continue };
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

/// The handler of an operation, and its description; `None` for those that have no route.
fn route(operation: Operation, method: MethodFilter) -> Option<Route> {
    let (handler, description): (_, fn(&mut Components) -> Description) = match operation {
        Operation::ListFunctions => (on(method, functions::list), functions::described::list),
        Operation::GetFunction => (on(method, functions::show), functions::described::show),
        Operation::GetFunctionSource => (on(method, functions::source), functions::described::source),
        Operation::DeployFunction => (on(method, functions::deploy), functions::described::deploy),
        Operation::RollBackFunction => (on(method, functions::roll_back), functions::described::roll_back),
        Operation::RemoveFunction => (on(method, functions::remove), functions::described::remove),
        Operation::ConfigureFunction => (on(method, functions::configure), functions::described::configure),
        Operation::BindFunction => (on(method, functions::bind), functions::described::bind),
        Operation::UnbindFunction => (on(method, functions::unbind), functions::described::unbind),
        Operation::ScheduleFunction => (on(method, functions::schedule), functions::described::schedule),
        Operation::UnscheduleFunction => {
            (on(method, functions::unschedule), functions::described::unschedule)
        }
        Operation::ReadFunctionLogs => (on(method, functions::logs), functions::described::logs),
        Operation::CallFunction => (on(method, functions::call), functions::described::call),
        Operation::GetFunctionCall => (on(method, functions::later_call), functions::described::later_call),
        Operation::ListGoods => (on(method, goods::list), goods::described::list),
        Operation::GetGoods => (on(method, goods::show), goods::described::show),
        Operation::AddGoods => (on(method, goods::add), goods::described::add),
        Operation::UpdateGoods => (on(method, goods::update), goods::described::update),
        Operation::AdjustStock => (on(method, goods::adjust_stock), goods::described::adjust_stock),
        Operation::DiscontinueGoods => (on(method, goods::discontinue), goods::described::discontinue),
        Operation::ListOrders => (on(method, orders::list), orders::described::list),
        Operation::GetOrder => (on(method, orders::show), orders::described::show),
        Operation::CreateOrder => (on(method, orders::create), orders::described::create),
        Operation::PayOrder => (on(method, orders::pay), orders::described::pay),
        Operation::RefundOrder => (on(method, orders::refund), orders::described::refund),
        Operation::CancelOrder => (on(method, orders::cancel), orders::described::cancel),
        Operation::Register => (on(method, users::register), users::described::register),
        Operation::ShowMe => (on(method, users::show), users::described::show),
        Operation::UpdateProfile => (on(method, users::update), users::described::update),
        Operation::SetPassword => (on(method, users::change_password), users::described::change_password),
        Operation::ErasePersonalData => (on(method, users::erase), users::described::erase),
        Operation::ListUsers => (on(method, users::list), users::described::list),
        Operation::GrantRole => (on(method, users::grant), users::described::grant),
        Operation::RevokeRole => (on(method, users::revoke), users::described::revoke),
        Operation::DeactivateUser => (on(method, users::deactivate), users::described::deactivate),
        Operation::LogIn => (on(method, sessions::log_in), sessions::described::log_in),
        Operation::Refresh => (on(method, sessions::refresh), sessions::described::refresh),
        Operation::LogOut => (on(method, sessions::log_out), sessions::described::log_out),
        Operation::SendCommands => (on(method, commands::send), commands::described::send),
        Operation::GetCommand => (on(method, commands::show), commands::described::show),
        Operation::ReadStream => (on(method, events::of_stream), events::described::of_stream),
        Operation::ReadService => (on(method, events::of_service), events::described::of_service),
        Operation::CreateTicket => (on(method, tickets::create), tickets::described::create),
        Operation::ListProjections => (on(method, projections::list), projections::described::list),
        Operation::RebuildProjection => (on(method, projections::rebuild), projections::described::rebuild),
        Operation::ShowOpenApi => (on(method, documents::show_openapi), documents::described::openapi),
        Operation::ShowAsyncApi => (on(method, documents::show_asyncapi), documents::described::asyncapi),
        Operation::ReadDocs => (on(method, documents::show_page), documents::described::page),
        Operation::FetchDocsFile => (on(method, documents::show_file), documents::described::asset),
        Operation::ExplainProblem => (on(method, system::problem), system::described::problem),
        Operation::ListKeys => (on(method, system::keys), system::described::keys),
        Operation::IsAlive => (on(method, health::alive), health::described::alive),
        Operation::IsReady => (on(method, health::ready), health::described::ready),
        Operation::ReserveStock
        | Operation::ReleaseStock
        | Operation::RecordReservation
        | Operation::RejectOrder
        | Operation::ExpireOrder
        | Operation::RegisterUser
        | Operation::TickFunction
        | Operation::ConfirmRegistration
        | Operation::RejectRegistration
        | Operation::ExpireRegistration
        | Operation::ChangePassword
        | Operation::OpenSession
        | Operation::RefreshSession
        | Operation::EndSession
        | Operation::ClaimEmail
        | Operation::ConfirmEmail
        | Operation::ReleaseEmail
        | Operation::RecordLogin => return None,
    };
    Some(Route { handler, description })
}

/// Sends a command with this body, about this stream. `created` is the path of what it creates.
async fn send(
    gateway: &Gateway,
    write: &Write,
    type_name: &str,
    stream: &StreamId,
    body: Value,
    created: Option<&str>,
) -> Answer {
    let command = gateway.vocabulary.check(type_name, body)?;
    let submitted = gateway.submit(write, command, stream).await?;
    answers::to_write(write.prefer, submitted, created)
}

/// What is no route may be a path that a function claims.
async fn nothing_here(State(gateway): State<Gateway>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if rpc::is_call(request.headers()) {
        return rpc::nothing_here(&path);
    }
    let called = gateway.call_at(request).await;
    called.unwrap_or_else(|| Problem::new("not-found", format!("there is nothing at {path}")).into_response())
}

async fn not_this_method(method: Method, uri: Uri) -> Problem {
    Problem::new("method-not-allowed", format!("{} cannot be asked for with {method}", uri.path()))
}
