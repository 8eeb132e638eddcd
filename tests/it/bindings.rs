//! Bound functions: each event counts once, in the order of its key, whatever dies; and one that fails holds nobody up for long.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use factfold_checker::log;
use factfold_producers::access::Role;
use factfold_schemas::{
    cloudevents::CloudEvent,
    functions::{self, EMITTED, FunctionName, TickFunction},
    ids::UserId,
    kafka::Cluster,
    topics::Service,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{
    cli::Cli,
    installation::{Installation, cluster},
    system::{Client, System},
    walk,
    world::{until, until_within},
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(180);

const FRAUD_CHECK: &str = include_str!("../../consumers/functions/examples/fraud-check.js");
const POINTS_EARNED: &str = include_str!("../../consumers/functions/examples/points-earned.js");
const LOYALTY: &str = include_str!("../../consumers/functions/examples/loyalty.js");
const SOLD: &str = include_str!("../../consumers/functions/examples/sold.js");
const DAY_ENDED: &str = include_str!("../../consumers/functions/examples/day-ended.js");
const NIGHTLY_REPORT: &str = include_str!("../../consumers/functions/examples/nightly-report.js");

pub(crate) async fn deploy(developer: &Client, name: &str, source: &str) {
    // The machine may be busy.
    let body = json!({ "language": "javascript", "source": source, "limits": { "time_ms": 30_000 } });
    let answer = developer.put(&format!("/v1/functions/{name}"), body).await;
    assert!(answer.status.is_success(), "{name}: {}", answer.body);
}

pub(crate) async fn bind(developer: &Client, name: &str, topic: &str, types: &[&str], from: &str) {
    let body = json!({ "topic": topic, "types": types, "from": from });
    developer.put(&format!("/v1/functions/{name}/binding"), body).await.expect(200);
}

/// What functions have said: the type, the key, and the data of each event.
fn emitted(cluster: &Cluster) -> Vec<(String, String, Value)> {
    let records = log::read(cluster, &cluster.topic(EMITTED)).expect("the topic is readable");
    let read = |record: &log::Record| {
        let incoming = record.incoming();
        let event = CloudEvent::read(&incoming).expect("a CloudEvent");
        let key = incoming.key.expect("a key").to_vec();
        (
            event.get("type").expect("a type").to_owned(),
            String::from_utf8(key).expect("text"),
            serde_json::from_slice(&event.data).expect("JSON"),
        )
    };
    records.iter().map(read).collect()
}

/// Waits until functions have said what is asked for.
async fn until_said(
    cluster: &Cluster,
    enough: impl Fn(&[(String, String, Value)]) -> bool,
) -> Vec<(String, String, Value)> {
    until_within(PATIENCE, "enough is said", async || {
        let said = emitted(cluster);
        if enough(&said) { Ok(said) } else { Err(said) }
    })
    .await
}

/// When a function ticks next, as its last tick says.
fn next_tick(system: &System) -> Timestamp {
    let events = system.world.events::<functions::Event>(Service::Functions);
    let next = events.into_iter().rev().find_map(|event| match event.data {
        functions::Event::FunctionTicked(ticked) => ticked.next,
        _ => None,
    });
    next.expect("it ticked, and goes on")
}

/// Orders are checked, points are earned, and a customer rises: from one function to the next, and from the beginning of a
/// history that was there before.
#[tokio::test(flavor = "multi_thread")]
async fn functions_cancel_what_is_suspicious_and_pass_points_on() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let developer = system.client(&[Role::Developer]);
    let tea = walk::goods(&merchant, 1000, 6000).await;
    let pay = async || {
        let order = walk::order(&customer, &tea, 1).await;
        walk::confirmed(&customer, &order).await;
        let payment = json!({ "amount": { "amount": 6000, "currency": "EUR" }, "method": "card" });
        customer.post(&format!("/v1/orders/{order}/payment"), payment).await.expect(200);
    };
    pay().await;
    for (name, source) in
        [("fraud-check", FRAUD_CHECK), ("points-earned", POINTS_EARNED), ("loyalty", LOYALTY)]
    {
        deploy(&developer, name, source).await;
    }
    bind(&developer, "points-earned", "orders.events", &["OrderCreated", "OrderPaid"], "beginning").await;
    bind(&developer, "loyalty", "functions.emitted", &["PointsEarned"], "beginning").await;
    bind(&developer, "fraud-check", "orders.events", &["OrderConfirmed"], "now").await;
    pay().await;
    let is_silver =
        |(name, _, data): &(String, String, Value)| name == "LevelReached" && data["level"] == "silver";
    let said = until_said(&system.world.cluster, |said| said.iter().any(is_silver)).await;
    let user = format!("user-{}", customer.user);
    let points: Vec<_> = said.iter().filter(|(name, ..)| name == "PointsEarned").collect();
    assert_eq!(points.len(), 2, "{said:?}");
    assert!(points.iter().all(|(_, key, data)| *key == user && data["points"] == 60), "{said:?}");
    let risen: Vec<_> = said.iter().filter(|(name, ..)| name == "LevelReached").collect();
    assert_eq!(risen.len(), 1, "{said:?}");
    assert_eq!(risen[0].2, json!({ "level": "silver", "points": 120 }));

    let suspicious = walk::order(&customer, &tea, 100).await;
    let cancelled = customer.get(&format!("/v1/orders/{suspicious}?until=cancelled")).await.expect(200);
    assert_eq!(cancelled.body["status"], "cancelled");

    // What is unbound is given nothing more.
    developer.delete("/v1/functions/fraud-check/binding").await.expect(200);
    developer
        .put("/v1/functions/loyalty/binding", json!({ "topic": "orders.events", "from": "now" }))
        .await
        .expect_problem(409, "already-bound");
    system.stop_proved().await;
}

/// An event that a function cannot take is a dead letter with what it said, and the next one is given; what is deployed
/// meanwhile is what is given the next events. Once it is mended, an operator has it given the event once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_goes_on_with_the_next_event() {
    let system = System::start().await;
    let (merchant, developer) = (system.client(&[Role::Merchant]), system.client(&[Role::Developer]));
    let source = "export default (event) => {
        if (event.data.delta === 13) throw new Error('13 is too much');
        return { events: [{ type: 'Counted', data: { delta: event.data.delta, by: 1 } }] };
    }";
    deploy(&developer, "counts", source).await;
    bind(&developer, "counts", "goods.events", &["StockAdjusted"], "now").await;
    let tea = walk::goods(&merchant, 10, 100).await;
    let adjust = async |delta: i64| {
        let body = json!({ "delta": delta, "reason": "counted" });
        merchant.post(&format!("/v1/goods/{tea}/stock-adjustments"), body).await.expect(200);
    };
    for delta in [1, 13, 2] {
        adjust(delta).await;
    }
    let has = |delta: i64| {
        move |said: &[(String, String, Value)]| said.iter().any(|(.., data)| data["delta"] == delta)
    };
    let said = until_said(&system.world.cluster, has(2)).await;
    assert_eq!(said.len(), 2, "{said:?}");
    let letters = system.world.read(Service::Functions.dead_letters());
    assert_eq!(letters.len(), 1);
    let letter = format!(
        "{:?}",
        letters[0]
            .incoming()
            .headers
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value)))
            .collect::<Vec<_>>()
    );
    assert!(letter.contains("13 is too much"), "{letter}");

    deploy(&developer, "counts", &source.replace("by: 1", "by: 2")).await;
    for delta in [13, 3] {
        adjust(delta).await;
    }
    let said = until_said(&system.world.cluster, has(3)).await;
    assert_eq!(said.last().map(|(.., data)| &data["by"]), Some(&json!(2)), "{said:?}");

    let cli = Cli(&system.world);
    let listed = cli.ok(&["dead-letters", "list", "--service", "functions", "--json"]);
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [first, second] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(first["binding"], json!(["counts", 1]));
    let [first, second] = [first, second].map(|letter| letter["position"].as_str().expect("a position"));
    let refused = |arguments: &[&str], said: &str| {
        let ran = cli.run(&[&["dead-letters", "publish"], arguments].concat());
        assert!(ran.code != 0 && ran.err.contains(said), "{}", ran.err);
    };
    refused(&[first, "--type", "StockCounted"], "it is given as it is");
    deploy(&developer, "counts", &source.replace("=== 13", "=== 14").replace("by: 1", "by: 3")).await;
    until("the mended one answers", async || {
        let answer = developer.post("/fn/counts", json!({ "data": { "delta": 1 } })).await.expect(200).body;
        if answer["events"][0]["data"]["by"] == 3 { Ok(()) } else { Err(answer) }
    })
    .await;
    let done = cli.ok(&["dead-letters", "publish", first]);
    assert!(done.contains("counts is given its event once more"), "{done}");
    refused(&[first], "was published at");
    let said = until_said(&system.world.cluster, has(13)).await;
    assert_eq!(
        said.last().map(|(_, key, data)| (key.as_str(), &data["by"])),
        Some((&*format!("goods-{tea}"), &json!(3)))
    );
    developer.delete("/v1/functions/counts/binding").await.expect(200);
    refused(&[second], "not bound any more");
    assert_eq!(emitted(&system.world.cluster).len(), said.len(), "it was given once");
    system.stop_proved().await;
}

/// A function that has a schedule and is bound to its own events is given each tick once, whoever else ticks. The ticks are
/// sent as a timer sends them: five fields of cron are too slow for a test.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_given_its_own_ticks() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let source = "export default (event) => ({ events: [{ type: 'Reported', data: event.data }] })";
    for name in ["report", "other"] {
        deploy(&developer, name, source).await;
        bind(&developer, name, "functions.events", &["FunctionTicked"], "beginning").await;
    }
    let path = "/v1/functions/report/schedule";
    let morning = json!({ "cron": "0 6 * * *", "time_zone": "Europe/Berlin", "input": { "of": "tea" } });
    let wrong = json!({ "cron": "61 6 * * *", "time_zone": "Europe/Berlin" });
    developer.put(path, wrong).await.expect_problem(422, "invalid-schedule");
    let function = developer.put(path, morning.clone()).await.expect(200).body;
    developer.put(path, morning).await.expect_problem(409, "already-scheduled");

    let name: FunctionName = "report".parse().expect("a name");
    let mut due: Timestamp = function["schedule"]["next"].as_str().expect("a time").parse().expect("a time");
    let mut expected = Vec::new();
    for day in 0..3 {
        let tick = functions::Command::TickFunction(TickFunction { schedule: 1, due });
        for id in ["once", "twice"] {
            system.world.send(Service::Functions, &format!("{id}-{day}"), &name.stream(), &tick).await;
        }
        expected.push(due.to_string());
        let said = until_said(&system.world.cluster, |said| said.len() > day).await;
        let ticks: Vec<_> = said.iter().map(|(.., data)| data["due"].as_str().unwrap_or_default()).collect();
        assert_eq!(ticks, expected, "{said:?}");
        assert!(said.iter().all(|(_, key, data)| key == "function-report" && data["input"]["of"] == "tea"));
        due = next_tick(&system);
    }
    let function = developer.delete(path).await.expect(200).body;
    assert_eq!(function["schedule"], Value::Null);
    system.stop_proved().await;
}

/// What was sold is reported when the day is over, and the next report begins with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_each_night() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let developer = system.client(&[Role::Developer]);
    let tea = walk::goods(&merchant, 1000, 6000).await;
    for (name, source, topic, types) in [
        ("sold", SOLD, "orders.events", &["OrderPaid"][..]),
        ("day-ended", DAY_ENDED, "functions.events", &["FunctionTicked"]),
        ("nightly-report", NIGHTLY_REPORT, "functions.emitted", &["Sold", "DayEnded"]),
    ] {
        deploy(&developer, name, source).await;
        bind(&developer, name, topic, types, "beginning").await;
    }
    let midnight = json!({ "cron": "0 0 * * *", "time_zone": "Europe/Berlin" });
    let function = developer.put("/v1/functions/day-ended/schedule", midnight).await.expect(200).body;
    let mut due: Timestamp = function["schedule"]["next"].as_str().expect("a time").parse().expect("a time");
    let order = walk::order(&customer, &tea, 2).await;
    walk::confirmed(&customer, &order).await;
    let payment = json!({ "amount": { "amount": 12000, "currency": "EUR" }, "method": "card" });
    customer.post(&format!("/v1/orders/{order}/payment"), payment).await.expect(200);
    until_said(&system.world.cluster, |said| !said.is_empty()).await;

    let name: FunctionName = "day-ended".parse().expect("a name");
    let is_report = |(name, ..): &&(String, String, Value)| name == "SalesReported";
    for (night, orders, totals) in [(1, 1, json!({ "EUR": 12000 })), (2, 0, json!({}))] {
        let tick = functions::Command::TickFunction(TickFunction { schedule: 1, due });
        system.world.send(Service::Functions, &format!("night-{night}"), &name.stream(), &tick).await;
        let said =
            until_said(&system.world.cluster, |said| said.iter().filter(is_report).count() == night).await;
        let (.., report) = said.iter().rfind(is_report).expect("a report");
        assert_eq!(*report, json!({ "until": due.to_string(), "orders": orders, "totals": totals }));
        due = next_tick(&system);
    }
    system.stop_proved().await;
}

/// A function that counts, in a system that is killed under load. Its state, what it says and the place where it is move
/// together: each event counts once.
#[tokio::test(flavor = "multi_thread")]
async fn effects_of_a_bound_function_are_there_once_whatever_dies() {
    let kills = if std::env::var_os("FACTFOLD_FULL").is_some() { 10 } else { 3 };
    let mut installation = Installation::new().await;
    let mut addresses = installation.start().await;
    let (http, _) = watch::channel(addresses.http.clone().expect("a gateway"));
    let http = Arc::new(http);
    let user = UserId::generate();
    let token = installation.token(user, &[Role::Merchant, Role::Developer]);
    let client = Client::new(addresses.http.clone().expect("a gateway"), user, token.clone());
    let source = "export default (event, { state }) => {
        const n = (state?.n ?? 0) + 1;
        return { state: { n }, events: [{ type: 'Counted', data: { n, event: event.id } }] };
    }";
    deploy(&client, "counts", source).await;
    bind(&client, "counts", "goods.events", &["StockAdjusted"], "beginning").await;
    let mut goods = Vec::new();
    for _ in 0..4 {
        goods.push(walk::goods(&client, 1_000_000, 100).await);
    }
    let (stop, stopped) = watch::channel(false);
    let load = goods.iter().cloned().map(|goods| {
        let (http, token, stopped) = (http.clone(), token.clone(), stopped.clone());
        tokio::spawn(async move {
            let mut acknowledged = 0_u64;
            while !*stopped.borrow() {
                let key = format!("{goods}-{acknowledged}");
                loop {
                    let client = Client::new(http.borrow().clone(), user, token.clone());
                    if client.try_adjust(&goods, &key).await {
                        break;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
                acknowledged += 1;
            }
            acknowledged
        })
    });
    let load: Vec<_> = load.collect();
    for round in 0..kills {
        // Until it is in the middle of it again.
        let before = emitted(&cluster(&addresses)).len();
        let said = until_said(&cluster(&addresses), |said| said.len() >= before + 20).await;
        installation.kill();
        addresses = installation.start().await;
        http.send_replace(addresses.http.clone().expect("a gateway"));
        eprintln!("round {round}: killed after {} events were counted", said.len());
    }
    stop.send_replace(true);
    let mut expected = BTreeMap::new();
    for (goods, task) in goods.iter().zip(load) {
        expected.insert(format!("goods-{goods}"), task.await.expect("no panic"));
    }
    let all: u64 = expected.values().sum();
    let said = until_said(&cluster(&addresses), |said| said.len() as u64 >= all).await;
    let mut counted = BTreeMap::<String, Vec<u64>>::new();
    let mut events = BTreeSet::new();
    for (_, key, data) in &said {
        counted.entry(key.clone()).or_default().push(data["n"].as_u64().expect("a number"));
        assert!(events.insert(data["event"].to_string()), "counted twice: {data}");
    }
    for (goods, acknowledged) in &expected {
        assert_eq!(counted[goods], (1..=*acknowledged).collect::<Vec<_>>(), "{goods}");
    }
    installation.stop().await;
}
