//! The same over gRPC: the same checks, the same path of a command, the same answers.

use std::time::{Duration, Instant};

use factfold_producers::{
    Settings,
    access::{Operation, Role, Who},
};
use factfold_proto::{
    FILE_DESCRIPTOR_SET,
    common::v1::Money,
    goods::v1::{self as goods, goods_service_client::GoodsServiceClient},
    orders::v1::{self as orders, order_service_client::OrderServiceClient},
};
use factfold_schemas::{command::Auth, ids::OrderId};
use futures::{StreamExt as _, future::join_all, stream};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::json;
use strum::VariantArray as _;
use tonic::{
    Code, Request, Status,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::stack::{Served, Stack, read};

const PATIENCE: Duration = Duration::from_secs(5);

fn channel(gateway: &Served) -> Channel {
    Endpoint::from_shared(format!("http://{}", gateway.address)).expect("an address").connect_lazy()
}

fn goods_of(gateway: &Served) -> GoodsServiceClient<Channel> {
    GoodsServiceClient::new(channel(gateway))
}

fn orders_of(gateway: &Served) -> OrderServiceClient<Channel> {
    OrderServiceClient::new(channel(gateway))
}

/// A call with the caller's token, and more metadata.
fn call<M>(gateway: &Served, message: M, metadata: &[(&'static str, &str)]) -> Request<M> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", gateway.token);
    for (name, value) in [("authorization", bearer.as_str())].iter().chain(metadata) {
        request.metadata_mut().insert(*name, value.parse().expect("metadata"));
    }
    request
}

fn tea() -> goods::AddGoodsRequest {
    let price = Some(Money { amount: 250, currency: "EUR".to_owned() });
    goods::AddGoodsRequest { name: "Tea".to_owned(), price, stock: 3 }
}

/// An adjustment whose reason tells the decider what to answer.
fn adjust(instruction: &str) -> goods::AdjustStockRequest {
    goods::AdjustStockRequest { id: Uuid::now_v7().to_string(), delta: 1, reason: instruction.to_owned() }
}

fn position(metadata: &MetadataMap) -> String {
    metadata.get("factfold-position").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    let mut fields: Vec<_> = violations.into_iter().flatten().map(|violation| violation.field).collect();
    fields.sort_unstable();
    fields
}

#[tokio::test]
async fn a_command_is_the_same_as_over_http() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let added =
        goods_of(&gateway).add_goods(call(&gateway, tea(), &[("traceparent", parent)])).await.expect("added");
    let at = position(added.metadata());
    let shown = added.into_inner().goods.expect("goods");
    assert_eq!((shown.version, shown.price), (1, tea().price));
    assert_eq!(shown.created_at.map(|time| time.nanos), Some(500_000_000));
    let update = goods::UpdateGoodsRequest { id: shown.id.clone(), name: Some("Green".into()), price: None };
    let update = call(&gateway, update, &[("expectedversion", "7")]);
    goods_of(&gateway).update_goods(update).await.expect("updated");
    let (status, _) =
        read(gateway.post("/v1/goods", &crate::stack::goods()).send().await.expect("an answer")).await;
    assert_eq!(status, 201);

    let seen = stack.decider.seen(3).await;
    assert_eq!((seen[0].position.to_string(), seen[0].key.as_str()), (at, &*format!("goods-{}", shown.id)));
    assert_eq!((&seen[0].type_name, &seen[0].value), (&seen[2].type_name, &seen[2].value));
    assert_eq!(seen[0].header.source, seen[2].header.source);
    assert_eq!(seen[0].header.auth, Some(Auth::User(stack.user.to_string())));
    let trace = seen[0].header.traceparent.as_deref().expect("a trace");
    assert!(trace.starts_with(&parent[..35]) && trace != parent, "{trace}");
    assert_eq!((&seen[1].value, seen[1].header.expected_version), (&json!({ "name": "Green" }), Some(7)));
}

#[tokio::test]
async fn an_order_is_placed_in_the_callers_name() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut client = orders_of(&gateway);
    let line = orders::RequestedLine { goods_id: Uuid::now_v7().to_string(), quantity: 2 };
    let order = call(&gateway, orders::CreateOrderRequest { lines: vec![line] }, &[]);
    let created = client.create_order(order).await.expect("created").into_inner().order.expect("an order");
    assert_eq!(created.status(), orders::OrderStatus::Created);
    let (id, amount) = (created.id, Some(Money { amount: 100, currency: "EUR".to_owned() }));
    let pay = orders::PayOrderRequest { id: id.clone(), amount: amount.clone(), method: "card".to_owned() };
    client.pay_order(call(&gateway, pay, &[])).await.expect("paid");
    let refund = |amount| orders::RefundOrderRequest { id: id.clone(), amount, reason: "broken".to_owned() };
    client.refund_order(call(&gateway, refund(amount), &[])).await.expect("refunded");
    client.refund_order(call(&gateway, refund(None), &[])).await.expect("refunded");
    let cancel = orders::CancelOrderRequest { id: id.clone(), reason: "late".to_owned() };
    client.cancel_order(call(&gateway, cancel, &[])).await.expect("cancelled");

    let seen = stack.decider.seen(5).await;
    assert_eq!(seen[0].value["user_id"], json!(stack.user));
    let types: Vec<_> = seen.iter().map(|command| command.type_name.as_str()).collect();
    assert_eq!(types, ["CreateOrder", "PayOrder", "RefundOrder", "RefundOrder", "CancelOrder"]);
    assert_eq!(seen[3].value, json!({ "reason": "broken" }));
}

#[tokio::test]
async fn a_repeat_is_the_same_command_through_any_gateway() {
    let stack = Stack::start().await;
    let (one, other) = (stack.gateway().await, stack.gateway().await);
    let mut ids = Vec::new();
    for gateway in [&one, &other] {
        let added = goods_of(gateway).add_goods(call(gateway, tea(), &[("idempotency-key", "k")])).await;
        ids.push(added.expect("added").into_inner().goods.expect("goods").id);
    }
    assert_eq!(ids[0], ids[1]);
    let another = call(&one, goods::AddGoodsRequest { stock: 4, ..tea() }, &[("idempotency-key", "k")]);
    let reused = goods_of(&one).add_goods(another).await.expect_err("another");
    assert_eq!((reused.code(), reason(&reused).as_str()), (Code::InvalidArgument, "command-id-reused"));
    // The same key for something else is another call.
    for _ in 0..2 {
        let other = call(&one, adjust("ok"), &[("idempotency-key", "k")]);
        goods_of(&one).adjust_stock(other).await.expect("adjusted");
    }
    assert_eq!(stack.decider.seen(5).await.len(), 5);
}

#[tokio::test]
async fn each_kind_of_problem_has_its_code_and_its_details() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut client = goods_of(&gateway);
    let cases = [
        ("invalid", Code::InvalidArgument, "quantity-out-of-range"),
        ("conflict", Code::FailedPrecondition, "already-paid"),
        ("not-found", Code::NotFound, "order-not-found"),
        ("not-yours", Code::NotFound, "order-not-found"),
        ("precondition", Code::Aborted, "version-mismatch"),
        ("dead-letter", Code::InvalidArgument, "dead-lettered"),
    ];
    let mut refusals = Vec::new();
    for (instruction, code, name) in cases {
        let refused =
            client.adjust_stock(call(&gateway, adjust(instruction), &[])).await.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, name), "{instruction}");
        let info = refused.get_details_error_info().expect("error info");
        assert_eq!(
            (info.domain.as_str(), info.metadata["position"].clone()),
            ("factfold", position(refused.metadata()))
        );
        assert!(Uuid::try_parse(&info.metadata["command_id"]).is_ok());
        refusals.push(refused);
    }
    assert_eq!(refusals[2].message(), refusals[3].message(), "another's order looks exactly like none");
    assert_eq!(fields(&refusals[0]), ["lines[0].quantity"]);
    client.adjust_stock(call(&gateway, adjust("no-change"), &[])).await.expect("it is so already");
}

#[tokio::test]
async fn all_bad_fields_are_named_at_once_and_nothing_is_stored() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let (mut goods_client, mut orders_client) = (goods_of(&gateway), orders_of(&gateway));
    let wrong = |price| goods::AddGoodsRequest { name: String::new(), price, stock: -1 };
    let money = |amount, currency: &str| Some(Money { amount, currency: currency.to_owned() });

    let refused =
        goods_client.add_goods(call(&gateway, wrong(money(-1, "XQZ")), &[])).await.expect_err("wrong");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "invalid-fields"));
    assert_eq!(fields(&refused), ["name", "price.amount", "price.currency", "stock"]);
    let refused = goods_client.add_goods(call(&gateway, wrong(None), &[])).await.expect_err("wrong");
    assert_eq!(fields(&refused), ["name", "price", "stock"]);

    let pay = orders::PayOrderRequest { id: "1".to_owned(), amount: None, method: String::new() };
    let refused = orders_client.pay_order(call(&gateway, pay, &[])).await.expect_err("wrong");
    assert_eq!(fields(&refused), ["amount", "id", "method"]);
    let id = Uuid::now_v7().to_string().to_uppercase();
    let cancel = orders::CancelOrderRequest { id, reason: "late".to_owned() };
    let refused = orders_client.cancel_order(call(&gateway, cancel, &[])).await.expect_err("wrong");
    assert_eq!(fields(&refused), ["id"]);

    let list = orders::ListOrdersRequest { page_size: 201, ..Default::default() };
    let refused = orders_client.list_orders(call(&gateway, list, &[])).await.expect_err("wrong");
    assert_eq!(fields(&refused), ["page_size"]);
    let list = orders::ListOrdersRequest { status: 99, ..Default::default() };
    let refused = orders_client.list_orders(call(&gateway, list, &[])).await.expect_err("wrong");
    assert_eq!(fields(&refused), ["status"]);
    assert!(stack.decider.seen(0).await.is_empty());
}

#[tokio::test]
async fn metadata_that_cannot_be_followed_is_refused() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut client = goods_of(&gateway);
    let of_writes = [
        (("if-match", "\"1.1\""), Code::Unimplemented),
        (("prefer", "respond-async"), Code::Unimplemented),
        (("factfold-at-least", "goods.commands/0@1"), Code::Unimplemented),
        (("expectedversion", "1"), Code::InvalidArgument),
        (("idempotency-key", ""), Code::InvalidArgument),
        (("grpc-timeout", "soon"), Code::InvalidArgument),
    ];
    for (metadata, code) in of_writes {
        let refused = client.add_goods(call(&gateway, tea(), &[metadata])).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{metadata:?}: {refused}");
        assert!(refused.message().contains(metadata.0), "{refused}");
    }
    let at_least =
        |position| call(&gateway, goods::ListGoodsRequest::default(), &[("factfold-at-least", position)]);
    for (position, code) in [("7@1", Code::InvalidArgument), ("goods.commands/99@1", Code::InvalidArgument)] {
        let refused = client.list_goods(at_least(position)).await.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, "invalid-position"));
    }
    let long = goods::AddGoodsRequest { name: "x".repeat(1024 * 1024), ..tea() };
    let refused = client.add_goods(call(&gateway, long, &[])).await.expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "body-too-large"));
    assert!(stack.decider.seen(0).await.is_empty());
}

/// A wait ends before the client's deadline, and what is stored is never reported as failed. (Seen failing when a call waits
/// for the whole of its deadline, or as long as HTTP does.)
#[tokio::test]
async fn before_the_deadline_it_is_said_where_the_command_lies() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut request = call(&gateway, adjust("silence"), &[]);
    request.set_timeout(Duration::from_secs(1));
    let asked = Instant::now();
    let answer = goods_of(&gateway).adjust_stock(request).await.expect("stored");
    assert!(asked.elapsed() < Duration::from_secs(1));
    let at = position(answer.metadata());
    let answer = answer.into_inner();
    let pending = answer.pending.expect("not decided yet");
    let command = &stack.decider.seen(1).await[0];
    assert_eq!((answer.goods, &pending.command_id), (None, &command.header.id));
    assert_eq!((&pending.position, &at), (&command.position.to_string(), &pending.position));
}

#[tokio::test]
async fn beyond_the_bound_nobody_waits_and_nothing_is_written() {
    let stack = Stack::start().await;
    let gateway = stack.gateway_with(Settings { waiting_max: 1, ..stack.settings() }).await;
    let (request, mut client) = (call(&gateway, adjust("silence"), &[]), goods_of(&gateway));
    let waiting = tokio::spawn(async move { client.adjust_stock(request).await });
    stack.decider.seen(1).await;
    let refused =
        goods_of(&gateway).adjust_stock(call(&gateway, adjust("ok"), &[])).await.expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "too-many-waiting"));
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    // A client that goes away gives its place back, over HTTP/2 too.
    waiting.abort();
    let again =
        async { while goods_of(&gateway).adjust_stock(call(&gateway, adjust("ok"), &[])).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the place is free again");
}

/// (Seen failing when a watcher goes on while the gateway stops.)
#[tokio::test]
async fn a_gateway_that_stops_answers_who_still_waits_and_lets_go_who_watches() {
    let stack = Stack::start().await;
    let mut gateway = stack.gateway().await;
    let (request, mut client) = (call(&gateway, adjust("silence"), &[]), goods_of(&gateway));
    let waiting = tokio::spawn(async move { client.adjust_stock(request).await });
    let mut health = HealthClient::new(channel(&gateway));
    let watched = health.watch(HealthCheckRequest::default()).await.expect("a stream");
    stack.decider.seen(1).await;
    gateway.tell_to_stop();
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert!(answer.expect("stored").into_inner().pending.is_some());
    let told: Vec<_> = tokio::time::timeout(PATIENCE, watched.into_inner().collect()).await.expect("it ends");
    assert!(
        told.iter().all(|told| told.as_ref().is_ok_and(|told| told.status() == ServingStatus::NotServing))
    );
    gateway.stopped().await;
}

/// Every role at every RPC. (Seen failing when the guard does not ask who may.)
#[tokio::test]
async fn every_role_is_tried_at_every_rpc() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let tokens: Vec<_> = Role::VARIANTS.iter().map(|role| (*role, stack.token(&[*role]))).collect();
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let rpcs = files.file.iter().flat_map(|file| {
        let path = |service: &str, rpc: &str| format!("/{}.{service}/{rpc}", file.package());
        file.service.iter().flat_map(move |service| {
            service.method.iter().map(move |rpc| (path(service.name(), rpc.name()), rpc.name()))
        })
    });
    let channel = channel(&gateway);
    let walk = rpcs.map(|(path, name)| {
        let (channel, tokens) = (&channel, &tokens);
        async move {
            let path: PathAndQuery = path.parse().expect("a path");
            let ask = async |token: Option<&str>| {
                let mut client = tonic::client::Grpc::new(channel.clone());
                client.ready().await.expect("a connection");
                let mut request = Request::new(());
                if let Some(token) = token {
                    let bearer = format!("Bearer {token}").parse().expect("metadata");
                    request.metadata_mut().insert("authorization", bearer);
                }
                let answer = client.unary(request, path.clone(), ProstCodec::<(), ()>::default()).await;
                answer.map_or_else(|status| status.code(), |_| Code::Ok)
            };
            let who = Operation::of_rpc(name).expect("an operation").who();
            assert_eq!(ask(None).await == Code::Unauthenticated, who != Who::Everyone, "{path}");
            assert_eq!(ask(Some("a.b.c")).await, Code::Unauthenticated, "{path}");
            for (role, token) in tokens {
                let may = match who {
                    Who::Everyone | Who::Owner => true,
                    Who::Roles(roles) => *role == Role::Admin || roles.contains(role),
                    Who::System => panic!("{path} is for everybody to see"),
                };
                let code = ask(Some(token)).await;
                let refused = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
                assert_eq!(refused, !may, "{path} as {role:?}: {code:?}");
            }
        }
    });
    assert!(join_all(walk).await.len() >= 12);
}

#[tokio::test]
async fn it_tells_what_there_is_and_whether_it_can_serve() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(channel(&gateway));
    let answers = client.server_reflection_info(stream::iter([asked])).await.expect("a stream").into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.expect("an answer").message_response).collect().await;
    let [Some(MessageResponse::ListServicesResponse(listed))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    let mut services: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    services.sort_unstable();
    let expected = [
        "factfold.events.v1.EventService",
        "factfold.goods.v1.GoodsService",
        "factfold.orders.v1.OrderService",
        "factfold.users.v1.UserService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(services, expected);

    // There is no Postgres here, so the gateway is not ready.
    let mut health = HealthClient::new(channel(&gateway));
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", expected[0], expected[1], expected[2], expected[3]] {
        let status = health.check(check(service)).await.expect("an answer").into_inner().status();
        assert_eq!(status, ServingStatus::NotServing);
    }
    assert_eq!(health.check(check("none")).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn http_and_grpc_share_a_port() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let (over_http, over_grpc) = tokio::join!(gateway.adjust("ok").send(), async {
        goods_of(&gateway).adjust_stock(call(&gateway, adjust("ok"), &[])).await
    },);
    assert_eq!(over_http.expect("an answer").status(), 200);
    over_grpc.expect("an answer");

    let path = "/factfold.goods.v1.GoodsService/AddGoods";
    let (status, body) = read(gateway.post(path, &json!({})).send().await.expect("an answer")).await;
    assert_eq!((status, &body["type"]), (415, &json!("/problems/unsupported-media-type")));
    for unknown in ["/factfold.goods.v1.GoodsService/SellGoods", "/factfold.none.v1.NoService/AddGoods"] {
        let mut client = tonic::client::Grpc::new(channel(&gateway));
        client.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(unknown);
        let answer = client.unary(call(&gateway, (), &[]), path, ProstCodec::<(), ()>::default()).await;
        assert_eq!(answer.expect_err("unknown").code(), Code::Unimplemented, "{unknown}");
    }
    let get = orders::GetOrderRequest { id: OrderId::generate().to_string(), until: 0 };
    let refused = orders_of(&gateway).get_order(call(&gateway, get, &[])).await.expect_err("no Postgres");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "read-side-unavailable"));
}
