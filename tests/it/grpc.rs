//! The walk over gRPC, by a client that was generated from the protos.

use std::time::{Duration, Instant};

use factfold_producers::access::Role;
use factfold_proto::{
    common::v1::Money,
    events::v1::{
        ReadServiceRequest, ReadStreamRequest, ReadStreamResponse, event_service_client::EventServiceClient,
    },
    goods::v1::{self as goods, goods_service_client::GoodsServiceClient},
    orders::v1::{self as orders, OrderStatus, order_service_client::OrderServiceClient},
    users::v1::{self as users, UserStatus, user_service_client::UserServiceClient},
};
use futures::StreamExt as _;
use prost_types::{Struct, value::Kind};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::{
    system::{Client, System},
    world::PATIENCE,
};

fn channel(system: &System) -> Channel {
    Endpoint::from_shared(system.http.clone()).expect("an address").connect_lazy()
}

fn eur(amount: i64) -> Option<Money> {
    Some(Money { amount, currency: "EUR".to_owned() })
}

/// What this client asks, with more metadata.
fn ask<M>(client: &Client, message: M, metadata: &[(&'static str, &str)]) -> Request<M> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", client.token.as_deref().expect("a token"));
    for (name, value) in [("authorization", bearer.as_str())].iter().chain(metadata) {
        request.metadata_mut().insert(*name, value.parse().expect("metadata"));
    }
    request
}

fn position<M>(answer: &Response<M>) -> String {
    let position = answer.metadata().get("factfold-position").expect("a position");
    position.to_str().expect("text").to_owned()
}

#[track_caller]
fn refused<M: std::fmt::Debug>(answer: Result<Response<M>, Status>, code: Code, reason: &str) -> Status {
    let status = answer.expect_err(reason);
    let info = status.get_details_error_info().expect("error info");
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "factfold"));
    status
}

fn create(goods: &str, quantity: i64) -> orders::CreateOrderRequest {
    orders::CreateOrderRequest { lines: vec![orders::RequestedLine { goods_id: goods.to_owned(), quantity }] }
}

fn get(id: &str, until: OrderStatus) -> orders::GetOrderRequest {
    orders::GetOrderRequest { id: id.to_owned(), until: until.into() }
}

fn pay(id: &str, amount: i64) -> orders::PayOrderRequest {
    orders::PayOrderRequest { id: id.to_owned(), amount: eur(amount), method: "card".to_owned() }
}

fn refund(id: &str, amount: Option<Money>) -> orders::RefundOrderRequest {
    orders::RefundOrderRequest { id: id.to_owned(), amount, reason: "a broken cup".to_owned() }
}

async fn tea(shop: &mut GoodsServiceClient<Channel>, merchant: &Client) -> goods::Goods {
    let add = goods::AddGoodsRequest { name: "Tea".to_owned(), price: eur(499), stock: 10 };
    let added = shop.add_goods(ask(merchant, add, &[])).await.expect("added");
    added.into_inner().goods.expect("decided in time")
}

/// (Seen failing when an order is shown to everybody.)
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_confirmed_paid_and_refunded_over_grpc() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let stranger = system.client(&[Role::Customer]);
    let (mut shop, mut desk) =
        (GoodsServiceClient::new(channel(&system)), OrderServiceClient::new(channel(&system)));
    let tea = tea(&mut shop, &merchant).await;

    // Twice under a key: one order.
    let create = || ask(&customer, create(&tea.id, 2), &[("idempotency-key", "k")]);
    let created = desk.create_order(create()).await.expect("created");
    let at = position(&created);
    let order = created.into_inner().order.expect("decided in time");
    let again = desk.create_order(create()).await.expect("created").into_inner();
    let again = again.order.expect("decided in time");
    assert_eq!((order.id.as_str(), order.user_id), (again.id.as_str(), customer.user.to_string()));
    let id = order.id.as_str();

    let until = ask(&customer, get(id, OrderStatus::Confirmed), &[("factfold-at-least", &at)]);
    let confirmed = desk.get_order(until).await.expect("shown").into_inner().order.expect("an order");
    assert_eq!((confirmed.status(), confirmed.total.clone()), (OrderStatus::Confirmed, eur(998)));
    assert_eq!(confirmed.lines[0].unit_price, eur(499));

    // To a stranger it is not there, whatever is asked.
    let get_it = desk.get_order(ask(&stranger, get(id, OrderStatus::Unspecified), &[])).await;
    refused(get_it, Code::NotFound, "order-not-found");
    let pay_it = desk.pay_order(ask(&stranger, pay(id, 998), &[])).await;
    refused(pay_it, Code::NotFound, "order-not-found");
    let cancel_it = orders::CancelOrderRequest { id: id.to_owned(), reason: "envy".to_owned() };
    let cancelled = desk.cancel_order(ask(&stranger, cancel_it, &[])).await;
    refused(cancelled, Code::NotFound, "order-not-found");
    let theirs = desk.list_orders(ask(&stranger, orders::ListOrdersRequest::default(), &[])).await;
    assert_eq!(theirs.expect("listed").into_inner().orders, []);

    let wrong = desk.pay_order(ask(&customer, pay(id, 997), &[])).await;
    let violations = refused(wrong, Code::InvalidArgument, "wrong-amount").get_details_bad_request();
    assert_eq!(violations.expect("a field").field_violations[0].field, "amount.amount");
    let stale = desk.pay_order(ask(&customer, pay(id, 998), &[("expectedversion", "1")])).await;
    refused(stale, Code::Aborted, "version-mismatch");
    let paid = desk.pay_order(ask(&customer, pay(id, 998), &[])).await.expect("paid").into_inner();
    assert_eq!(paid.order.expect("decided in time").status(), OrderStatus::Paid);
    let twice = desk.pay_order(ask(&customer, pay(id, 998), &[])).await;
    refused(twice, Code::FailedPrecondition, "already-paid");

    let by_customer = desk.refund_order(ask(&customer, refund(id, None), &[])).await;
    refused(by_customer, Code::PermissionDenied, "forbidden");
    let part = desk.refund_order(ask(&merchant, refund(id, eur(98)), &[])).await.expect("refunded");
    assert_eq!(part.into_inner().order.expect("decided in time").refunded, eur(98));
    let rest = desk.refund_order(ask(&merchant, refund(id, None), &[])).await.expect("refunded");
    let at = position(&rest);
    let rest = rest.into_inner().order.expect("decided in time");
    assert_eq!((rest.status(), rest.refunded.clone()), (OrderStatus::Refunded, eur(998)));

    // The read models show the same, at the position of the last write.
    let get = ask(&customer, get(id, OrderStatus::Unspecified), &[("factfold-at-least", &at)]);
    let shown = desk.get_order(get).await.expect("shown").into_inner().order;
    assert_eq!(shown, Some(rest.clone()));
    let list = ask(&customer, orders::ListOrdersRequest::default(), &[]);
    assert_eq!(desk.list_orders(list).await.expect("listed").into_inner().orders, [rest]);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_listed_page_by_page_and_health_follows_readiness() {
    let system = System::start().await;
    let merchant = system.client(&[Role::Merchant]);
    let mut shop = GoodsServiceClient::new(channel(&system));
    let mut added = Vec::new();
    for _ in 0..3 {
        added.insert(0, tea(&mut shop, &merchant).await);
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let list = goods::ListGoodsRequest { page_size: 2, page_token, discontinued: Some(false) };
        let page = shop.list_goods(ask(&merchant, list, &[])).await.expect("listed").into_inner();
        listed.extend(page.goods);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, added);

    let status = HealthClient::new(channel(&system)).check(HealthCheckRequest::default()).await;
    assert_eq!(status.expect("an answer").into_inner().status(), ServingStatus::Serving);
    system.stop().await;
}

/// A read that waits ends before its deadline, with what there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_waited_for_until_the_deadline() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let tea = tea(&mut GoodsServiceClient::new(channel(&system)), &merchant).await;
    let mut desk = OrderServiceClient::new(channel(&system));
    let created = desk.create_order(ask(&customer, create(&tea.id, 1), &[])).await.expect("created");
    let id = created.into_inner().order.expect("decided in time").id;
    let confirmed = desk.get_order(ask(&customer, get(&id, OrderStatus::Confirmed), &[])).await;
    confirmed.expect("shown");

    // Nobody pays.
    let mut until = ask(&customer, get(&id, OrderStatus::Paid), &[]);
    until.set_timeout(Duration::from_secs(2));
    let asked = Instant::now();
    let shown = desk.get_order(until).await.expect("shown").into_inner().order.expect("an order");
    assert_eq!(shown.status(), OrderStatus::Confirmed);
    assert!((1..2).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    system.stop().await;
}

/// What one reader saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    types: Vec<String>,
    places: Vec<String>,
}

impl Seen {
    /// Reads on until an event of this type.
    async fn until(&mut self, wanted: &str, stream: &mut Streaming<ReadStreamResponse>) {
        let read = async {
            while self.types.last().is_none_or(|last| last != wanted) {
                let answer = stream.next().await.expect("it goes on").expect("an event");
                if let Some(event) = answer.event {
                    self.types.push(kind(&event));
                    self.places.push(answer.place);
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the event comes");
    }
}

fn kind(event: &Struct) -> String {
    let Some(Kind::StringValue(name)) = &event.fields["type"].kind else { panic!("no type: {event:?}") };
    name.clone()
}

/// An owner follows an order, goes elsewhere and on from there; an auditor follows the whole service; nobody else sees any of
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_and_gone_on_with() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let (stranger, auditor) = (system.client(&[Role::Customer]), system.client(&[Role::Auditor]));
    let mut desk = OrderServiceClient::new(channel(&system));
    let mut events = EventServiceClient::new(channel(&system));
    let types = vec!["OrderRefunded".to_owned()];
    let service = ReadServiceRequest { service: "orders".to_owned(), after: String::new(), types };
    let answer = events.read_service(ask(&auditor, service.clone(), &[])).await.expect("a stream");
    let mut all = answer.into_inner();

    let tea = tea(&mut GoodsServiceClient::new(channel(&system)), &merchant).await;
    let created = desk.create_order(ask(&customer, create(&tea.id, 2), &[])).await.expect("created");
    let id = created.into_inner().order.expect("decided in time").id;
    let until = ask(&customer, get(&id, OrderStatus::Confirmed), &[]);
    desk.get_order(until).await.expect("shown");
    desk.pay_order(ask(&customer, pay(&id, 998), &[])).await.expect("paid");

    let follow = |after: &str| ReadStreamRequest {
        stream: format!("order-{id}"),
        after: after.to_owned(),
        types: Vec::new(),
    };
    let mut seen = Seen::default();
    let mut stream =
        events.read_stream(ask(&customer, follow(""), &[])).await.expect("a stream").into_inner();
    seen.until("OrderPaid", &mut stream).await;
    assert_eq!(seen.types, ["OrderCreated", "LineReserved", "OrderConfirmed", "OrderPaid"]);
    let mut again = Seen::default();
    let rest = events.read_stream(ask(&customer, follow(&seen.places[1]), &[])).await.expect("a stream");
    again.until("OrderPaid", &mut rest.into_inner()).await;
    assert_eq!((&again.types[..], &again.places[..]), (&seen.types[2..], &seen.places[2..]));
    // What comes while somebody looks on.
    desk.refund_order(ask(&merchant, refund(&id, None), &[])).await.expect("refunded");
    seen.until("OrderRefunded", &mut stream).await;
    let refunded = async {
        loop {
            let answer = all.next().await.expect("it goes on").expect("an event");
            if let Some(event) = answer.event {
                return kind(&event);
            }
        }
    };
    let refunded = tokio::time::timeout(PATIENCE, refunded).await.expect("the event comes");
    assert_eq!(refunded, "OrderRefunded", "no other type was asked for");

    let theirs = events.read_stream(ask(&stranger, follow(""), &[])).await;
    refused(theirs, Code::NotFound, "stream-not-found");
    let theirs = events.read_service(ask(&customer, service, &[])).await;
    refused(theirs, Code::PermissionDenied, "forbidden");
    let nowhere = events.read_stream(ask(&customer, follow("nowhere"), &[])).await;
    refused(nowhere, Code::InvalidArgument, "invalid-position");

    let stopped = tokio::spawn(system.stop());
    let end = tokio::time::timeout(PATIENCE, async {
        loop {
            match stream.next().await.expect("a reason") {
                Ok(answer) => assert_eq!(answer.event, None),
                Err(status) => return status,
            }
        }
    });
    let end = end.await.expect("it ends");
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(end.get_details_error_info().expect("a reason").reason, "stopping");
    stopped.await.expect("no panic");
}

/// Somebody registers, comes in, may do more, is called otherwise, leaves, and is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_registers_comes_in_and_is_forgotten_over_grpc() {
    const PASSWORD: &str = "seven odd purple teapots";
    let system = System::start().await;
    let admin = system.client(&[Role::Admin]);
    let mut door = UserServiceClient::new(channel(&system));
    let register = |email: &str, password: &str| users::RegisterRequest {
        email: email.to_owned(),
        name: "Ada Lovelace".to_owned(),
        password: password.to_owned(),
    };
    let login = |password: &str| users::LoginRequest {
        email: "ADA@Example.org".to_owned(),
        password: password.to_owned(),
    };
    let weak = door.register(register("ada@example.org", "short")).await;
    let violations = refused(weak, Code::InvalidArgument, "invalid-fields").get_details_bad_request();
    assert_eq!(violations.expect("a field").field_violations[0].field, "password");
    let ada = door.register(register("ada@example.org", PASSWORD)).await.expect("registered");
    let ada = ada.into_inner().user.expect("decided in time");
    assert_eq!((ada.status(), ada.email()), (UserStatus::Active, "ada@example.org"));
    let taken = door.register(register("Ada@example.ORG", PASSWORD)).await;
    refused(taken, Code::AlreadyExists, "email-taken");

    refused(door.login(login("eight odd purple teapots")).await, Code::Unauthenticated, "wrong-credentials");
    let tokens = door.login(login(PASSWORD)).await.expect("let in").into_inner().tokens.expect("tokens");
    let me = admin.with_token(&tokens.access_token);
    let shown = door.get_me(ask(&me, users::GetMeRequest {}, &[])).await.expect("shown").into_inner();
    let shown = shown.user.expect("a user");
    assert_eq!((&shown.id, shown.roles), (&ada.id, vec![users::Role::Customer.into()]));
    let update = users::UpdateProfileRequest { name: "Ada King".to_owned() };
    let updated = door.update_profile(ask(&me, update, &[])).await.expect("updated").into_inner();
    assert_eq!(updated.user.expect("decided in time").name(), "Ada King");

    let grant = users::GrantRoleRequest { id: ada.id.clone(), role: users::Role::Auditor.into() };
    refused(door.grant_role(ask(&me, grant.clone(), &[])).await, Code::PermissionDenied, "forbidden");
    door.grant_role(ask(&admin, grant, &[])).await.expect("granted");
    let list = users::ListUsersRequest { role: users::Role::Auditor.into(), ..Default::default() };
    let listed = door.list_users(ask(&admin, list, &[])).await.expect("listed").into_inner().users;
    assert_eq!(listed.iter().map(|user| &user.id).collect::<Vec<_>>(), [&ada.id]);
    let revoke = users::RevokeRoleRequest { id: ada.id.clone(), role: users::Role::Auditor.into() };
    door.revoke_role(ask(&admin, revoke, &[])).await.expect("revoked");

    let refresh = users::RefreshRequest { refresh_token: tokens.refresh_token };
    let tokens = door.refresh(refresh).await.expect("gone on").into_inner().tokens.expect("tokens");
    let me = admin.with_token(&tokens.access_token);
    door.logout(ask(&me, users::LogoutRequest {}, &[])).await.expect("gone");
    let again = door.refresh(users::RefreshRequest { refresh_token: tokens.refresh_token }).await;
    assert_eq!(again.expect_err("it is over").code(), Code::Unauthenticated);

    let tokens = door.login(login(PASSWORD)).await.expect("let in").into_inner().tokens.expect("tokens");
    let me = admin.with_token(&tokens.access_token);
    let erase = ask(&me, users::ErasePersonalDataRequest {}, &[]);
    let erased = door.erase_personal_data(erase).await.expect("forgotten").into_inner().user;
    let erased = erased.expect("decided in time");
    assert_eq!((erased.status(), erased.email, erased.name), (UserStatus::Erased, None, None));
    system.stop().await;
}
