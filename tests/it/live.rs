//! Events over HTTP: who may see which, that none is lost or doubled wherever a reader goes on, and that a replay is the
//! same as on the command line.

use std::process::Command;

use factfold_producers::access::Role;
use factfold_schemas::{
    ids::{GoodsId, UserId},
    position::Position,
    topics::Service,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    binary::binary,
    fleet::Fleet,
    goods,
    sse::Sse,
    system::{Client, System},
    walk,
    world::{Job, World, settings},
};

const SSE: (&str, &str) = ("accept", "text/event-stream");
/// How many goods are added while somebody reads.
const ADDED: usize = 300;
/// After so many events a reader goes elsewhere.
const MOVES_AFTER: usize = 41;

/// A reader comes from the past, moves to another gateway again and again, and meets the death of one: it sees each event
/// once, and each partition in order. (Seen failing when the place is not moved by what is read, and when it is not looked
/// at while the ring is read.)
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_at_any_gateway_and_nothing_is_lost_or_doubled() {
    let fleet = Fleet::new().await;
    let worker = fleet.world.start(Job::Goods, settings("one"));
    let (first, second) = tokio::join!(fleet.gateway(1), fleet.gateway(2));
    let auditor = |address: &str| {
        let user = UserId::generate();
        Client::new(format!("http://{address}"), user, fleet.token(user, &[Role::Auditor]))
    };
    let auditors = [auditor(&first.1), auditor(&second.1)];
    let add = async {
        for number in 0..ADDED {
            let stream = GoodsId::generate().stream();
            fleet.world.send(Service::Goods, &format!("{number}"), &stream, &goods::add(1)).await;
        }
    };
    let mut doomed = Some(first.0);
    let read = async {
        let (mut seen, mut place) = (Vec::new(), "0.0.0.0".to_owned());
        for turn in 0.. {
            if seen.len() == ADDED {
                break;
            }
            let at = if doomed.is_some() { &auditors[turn % 2] } else { &auditors[1] };
            let mut stream =
                Sse::new(at.open("/v1/services/goods/events", &[SSE, ("last-event-id", &place)]).await);
            let enough = (seen.len() + MOVES_AFTER).min(ADDED);
            while seen.len() < enough {
                let Some(event) = stream.next().await else { break };
                seen.push(event["position"].as_str().expect("a position").to_owned());
                place = stream.last_id.clone().expect("an id");
                if seen.len() > ADDED / 2
                    && turn % 2 == 0
                    && let Some(process) = doomed.take()
                {
                    process.signal(Signal::SIGKILL);
                }
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(add, read);
    assert!(doomed.is_none(), "no gateway was killed");
    let mut log = positions(&fleet.world, Service::Goods);
    assert_eq!(log.len(), ADDED);
    let mut seen: Vec<Position> = seen.iter().map(|text| text.parse().expect("a position")).collect();
    assert!((0..4).all(|p| seen.iter().filter(|at| at.partition == p).is_sorted()), "out of order");
    seen.sort();
    log.sort();
    assert_eq!(seen, log);
    second.0.stop().await;
    worker.stop().expect("it stops in order");
}

fn positions(world: &World, service: Service) -> Vec<Position> {
    let records = world.read(service.events());
    records.iter().map(|record| Position::new(service.events(), record.partition, record.offset)).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

/// An order that is paid while its owner watches; and everybody who may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_its_owners_and_the_auditors() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let (auditor, stranger) = (system.client(&[Role::Auditor]), system.client(&[Role::Customer]));
    let tea = walk::goods(&merchant, 9, 500).await;
    let order = walk::order(&customer, &tea, 2).await;
    walk::confirmed(&customer, &order).await;
    let path = format!("/v1/streams/order-{order}/events");
    let confirmed = ["OrderCreated", "LineReserved", "OrderConfirmed"];

    let mut watched = Sse::new(customer.open(&path, &[SSE]).await);
    assert_eq!(types(&watched.take(3).await), confirmed);
    let payment = json!({ "amount": { "amount": 1000, "currency": "EUR" }, "method": "card" });
    let paid = customer.post(&format!("/v1/orders/{order}/payment"), payment).await.expect(200);
    let event = watched.next().await.expect("an event");
    assert_eq!((&event["type"], &event["id"]), (&json!("OrderPaid"), &json!(format!("order-{order}@4"))));
    assert_eq!(event["data"]["amount"]["amount"], 1000);
    let mut later =
        Sse::new(customer.open(&path, &[SSE, ("last-event-id", &watched.last_id.expect("an id"))]).await);
    let refund = json!({ "reason": "a broken cup" });
    merchant.post(&format!("/v1/orders/{order}/refunds"), refund).await.expect(200);
    assert_eq!(types(&later.take(1).await), ["OrderRefunded"]);

    // As a list, in pages, and filtered.
    let all = ["OrderCreated", "LineReserved", "OrderConfirmed", "OrderPaid", "OrderRefunded"];
    let whole = auditor.get_at(&path, paid.header("factfold-position")).await.expect(200).body;
    assert!(types(whole["items"].as_array().expect("items")).starts_with(&all[..4]), "{whole}");
    let (mut pages, mut next) = (Vec::new(), Some(format!("{path}?limit=2")));
    while let Some(page) = next {
        let answer = customer.get(&page).await.expect(200);
        pages.extend(answer.body["items"].as_array().expect("items").clone());
        next = answer.body["next"].as_str().map(|after| format!("{path}?limit=2&after={after}"));
        assert_eq!(answer.headers.contains_key("link"), next.is_some());
    }
    assert_eq!(types(&pages), all);
    let some = customer.get(&format!("{path}?type=OrderPaid,OrderRefunded")).await.expect(200).body;
    assert_eq!(some["items"], json!(pages[3..]));

    for other in [&stranger, &merchant] {
        other.get(&path).await.expect_problem(404, "stream-not-found");
        other.ask(Method::GET, &path, None, &[SSE]).await.expect_problem(404, "stream-not-found");
    }
    let nothing = format!("/v1/streams/order-{}/events", GoodsId::generate());
    for missing in [nothing.as_str(), "/v1/streams/shoe/events"] {
        auditor.get(missing).await.expect_problem(404, "stream-not-found");
    }
    let goods = format!("/v1/streams/goods-{tea}/events");
    customer.get(&goods).await.expect_problem(404, "stream-not-found");
    assert_eq!(
        types(auditor.get(&goods).await.expect(200).body["items"].as_array().expect("items")),
        ["GoodsAdded", "StockReserved"]
    );
    for other in [&stranger, &merchant] {
        other
            .ask(Method::GET, "/v1/services/orders/events", None, &[SSE])
            .await
            .expect_problem(403, "forbidden");
    }
    system.impostor(None).get(&path).await.expect_problem(401, "unauthenticated");
    drop(later);
    system.stop().await;
}

/// All items of a list, in pages of two.
async fn in_pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), Some(format!("{path}&limit=2")));
    while let Some(page) = next {
        let page = client.get(&page).await.expect(200).body;
        items.extend(page["items"].as_array().expect("items").clone());
        next = page["next"].as_str().map(|after| format!("{path}&limit=2&after={after}"));
    }
    items
}

/// What these changes make of nothing.
fn made_by(items: &[Value]) -> Value {
    let mut resource = Value::Null;
    for change in items.iter().flat_map(|item| item["changes"].as_array().expect("changes")) {
        let path = change["path"].as_str().expect("a path");
        let place = resource.pointer_mut(path).unwrap_or_else(|| panic!("no {path} to change"));
        assert_eq!(*place, change["before"]);
        *place = change["after"].clone();
    }
    resource
}

/// Each event is shown with what it changed: all of that is the resource. On any page, and with what was refused in between,
/// it is the same. (Seen failing when a page begins with nothing.)
#[tokio::test(flavor = "multi_thread")]
async fn what_each_event_changed_is_shown_and_what_was_refused_to_auditors() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let auditor = system.client(&[Role::Auditor]);
    let tea = walk::goods(&merchant, 9, 500).await;
    let order = walk::order(&customer, &tea, 2).await;
    walk::confirmed(&customer, &order).await;
    let (of_order, payment) = (format!("/v1/orders/{order}"), format!("/v1/orders/{order}/payment"));
    let pay = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" }, "method": "card" });
    customer.post(&payment, pay(999)).await.expect_problem(422, "wrong-amount");
    customer.post(&payment, pay(1000)).await.expect(200);
    customer.post(&payment, pay(1000)).await.expect_problem(409, "already-paid");
    let refund = json!({ "amount": { "amount": 100, "currency": "EUR" }, "reason": "a broken cup" });
    let refunded = merchant.post(&format!("{of_order}/refunds"), refund).await.expect(200);

    let path = format!("/v1/streams/order-{order}/events?changes=true");
    let position = refunded.header("factfold-position");
    let whole = customer.get_at(&path, position).await.expect(200).body["items"].clone();
    let whole = whole.as_array().expect("items");
    let events: Vec<_> = whole.iter().map(|item| item["event"].clone()).collect();
    let expected = ["OrderCreated", "LineReserved", "OrderConfirmed", "OrderPaid", "OrderRefunded"];
    assert_eq!(types(&events), expected);
    let paid = json!({ "path": "/status", "before": "confirmed", "after": "paid" });
    assert_eq!(whole[3]["changes"][0], paid);
    let mut made = made_by(whole);
    for field in ["version", "updated_at"] {
        made[field] = refunded.body[field].clone();
    }
    assert_eq!(made, refunded.body);
    assert_eq!(in_pages(&customer, &path).await, *whole);
    let some = customer.get(&format!("{path}&type=OrderPaid")).await.expect(200).body;
    assert_eq!(some["items"], json!([whole[3]]));

    // (An order's expiry is put off, too, at a moment of its own.)
    let refused = format!("{path}&outcomes=true&type={},Rejected", expected.join(","));
    let all = auditor.get(&refused).await.expect(200).body["items"].clone();
    let all = all.as_array().expect("items");
    let events: Vec<_> = all.iter().map(|item| item["event"].clone()).collect();
    let between = [&expected[..3], &["Rejected", "OrderPaid", "Rejected", "OrderRefunded"]].concat();
    assert_eq!(types(&events), between);
    assert_eq!(events[3]["data"]["rejection"]["name"], "wrong-amount");
    assert_eq!((&all[3]["changes"], &all[4]), (&json!([]), &whole[3]));
    assert_eq!(in_pages(&auditor, &refused).await, *all);
    let plain = format!("/v1/streams/order-{order}/events");
    let only = auditor.get(&format!("{plain}?outcomes=true&type=Rejected")).await.expect(200).body;
    assert_eq!(only["items"], json!([events[3], events[5]]));
    let whole = auditor.get(&format!("{plain}?outcomes=true")).await.expect(200).body["items"].clone();
    assert!(types(whole.as_array().expect("items")).contains(&"Scheduled"), "{whole}");
    customer.get(&refused).await.expect_problem(403, "forbidden");
    customer.get(&format!("{plain}?type=Rejected")).await.expect_problem(400, "invalid-parameter");
    customer.ask(Method::GET, &path, None, &[SSE]).await.expect_problem(400, "invalid-parameter");

    // What is sealed is opened for whoever may see it, before as after.
    let ada = json!({ "email": "ada@example.org", "name": "Ada", "password": "seven odd purple teapots" });
    let id = system.impostor(None).post("/v1/users", ada).await.expect(201).text("id");
    let login = json!({ "email": "ada@example.org", "password": "seven odd purple teapots" });
    let token = system.impostor(None).post("/v1/sessions", login).await.expect(201).text("access_token");
    let ada = system.impostor(Some(&token));
    let renamed = ada.patch("/v1/users/me", json!({ "name": "Ada Lovelace" })).await.expect(200);
    let path = format!("/v1/streams/user-{id}/events?changes=true&type=ProfileUpdated");
    let shown = auditor.get_at(&path, renamed.header("factfold-position")).await.expect(200).body;
    let name = json!([{ "path": "/name", "before": "Ada", "after": "Ada Lovelace" }]);
    assert_eq!(shown["items"][0]["changes"], name, "{shown}");
    system.stop().await;
}

/// (Seen failing when nobody notes which tickets were used.)
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once_and_gives_no_more_than_its_owner_may() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let tea = walk::goods(&merchant, 9, 500).await;
    let order = walk::order(&customer, &tea, 2).await;
    walk::confirmed(&customer, &order).await;
    let (nobody, path) = (system.impostor(None), format!("/v1/streams/order-{order}/events"));
    let ticket = async |of: &Client| {
        let made = of.post("/v1/sessions/tickets", json!({})).await.expect(201);
        assert_eq!((made.header("cache-control"), &made.body["expires_in"]), ("no-store", &json!(30)));
        made.text("ticket")
    };
    let with = |ticket: &str| format!("{path}?ticket={ticket}");

    let good = ticket(&customer).await;
    let mut watched = Sse::new(nobody.open(&with(&good), &[SSE]).await);
    assert_eq!(watched.take(1).await[0]["type"], "OrderCreated");
    nobody.get(&with(&good)).await.expect_problem(401, "unauthenticated");
    nobody.get(&with(&ticket(&customer).await)).await.expect(200);
    nobody
        .get(&with(&ticket(&system.client(&[Role::Customer])).await))
        .await
        .expect_problem(404, "stream-not-found");
    let service = format!("/v1/services/orders/events?ticket={}", ticket(&customer).await);
    nobody.get(&service).await.expect_problem(403, "forbidden");

    // A ticket is no token, a token is no ticket, and elsewhere neither is one.
    system.impostor(Some(&ticket(&customer).await)).get(&path).await.expect_problem(401, "unauthenticated");
    let token = customer.token.as_deref().expect("a token");
    nobody.get(&with(token)).await.expect_problem(401, "unauthenticated");
    nobody.get(&with("forged")).await.expect_problem(401, "unauthenticated");
    let elsewhere = format!("/v1/orders?ticket={}", ticket(&customer).await);
    nobody.get(&elsewhere).await.expect_problem(401, "unauthenticated");
    nobody.post("/v1/sessions/tickets", json!({})).await.expect_problem(401, "unauthenticated");
    drop(watched);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_over_http_is_that_of_the_command_line() {
    let system = System::start().await;
    let (merchant, auditor) = (system.client(&[Role::Merchant]), system.client(&[Role::Auditor]));
    for _ in 0..20 {
        let tea = walk::goods(&merchant, 9, 500).await;
        let adjust = json!({ "delta": 1, "reason": "delivery" });
        merchant.post(&format!("/v1/goods/{tea}/stock-adjustments"), adjust).await.expect(200);
    }
    let printed = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["replay", "--service", "goods"]).args(arguments);
        let ran = command.env("FACTFOLD_NAMESPACE", system.world.name()).output().expect("it runs");
        String::from_utf8(ran.stdout).expect("text")
    };
    let replayed = async |query: &str| {
        let path = format!("/v1/services/goods/events{query}");
        let response = auditor.open(&path, &[("accept", "application/x-ndjson")]).await;
        assert_eq!(response.status(), 200);
        let link = response.headers()["link"].to_str().expect("text").to_owned();
        (response.text().await.expect("all of it"), link)
    };
    let (whole, link) = replayed("").await;
    assert_eq!(whole.lines().count(), 40);
    assert_eq!(whole, printed(&[]));
    let adjusted = replayed("?type=StockAdjusted").await.0;
    assert_eq!((adjusted.lines().count(), adjusted), (20, printed(&["--type", "StockAdjusted"])));
    let middle: Value = serde_json::from_str(whole.lines().nth(19).expect("a line")).expect("JSON");
    let middle = middle["position"].as_str().expect("a position");
    let (before, after) =
        (replayed(&format!("?to={middle}")).await.0, replayed(&format!("?from={middle}")).await.0);
    assert_eq!((before, after), (printed(&["--to", middle]), printed(&["--from", middle])));

    // The next one begins where this one ended.
    let next =
        link.strip_prefix("</v1/services/goods/events").and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let next = next.expect("a link to what comes").to_owned();
    assert_eq!(replayed(&next).await.0, "");
    walk::goods(&merchant, 9, 500).await;
    assert_eq!(replayed(&next).await.0.lines().count(), 1);
    for wrong in ["?from=yesterday", "?from=goods.events/9@0", "?after=0.0.0.0", "?type=OrderPaid"] {
        auditor.get(&format!("/v1/services/goods/events{wrong}")).await.expect(400);
    }
    system.stop().await;
}
