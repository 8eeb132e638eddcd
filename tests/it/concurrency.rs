//! Optimistic concurrency on everything that has a version: what a client has seen is what it changes, or nothing changes;
//! what it has already is not sent again; and its own writes are in its own next read.

use std::time::{Duration, Instant};

use factfold_producers::access::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    system::{Answer, Client, System},
    walk,
    world::PATIENCE,
};

/// How long a read waits for its caller's own writes.
const OWN_WRITES_TIME: Duration = Duration::from_secs(1);

/// A write to something that is there.
struct Change<'a> {
    by: &'a Client,
    method: Method,
    /// Behind the path of the resource.
    path: &'static str,
    body: Value,
}

impl Change<'_> {
    async fn send(&self, resource: &str, tag: &str) -> Answer {
        let path = format!("{resource}{}", self.path);
        self.by.ask(self.method.clone(), &path, Some(self.body.clone()), &[("if-match", tag)]).await
    }
}

/// Each write on each resource, against a version that is not there any more, and against the one that is.
async fn check(reader: &Client, resource: &str, changes: &[Change<'_>]) {
    let mut tag = reader.get(resource).await.expect(200).header("etag").to_owned();
    let matching = reader.ask(Method::GET, resource, None, &[("if-match", &tag)]).await;
    matching.expect_problem(501, "not-implemented");
    for change in changes {
        let version: u64 =
            tag.trim_matches('"').split('.').next().and_then(|v| v.parse().ok()).expect("a version");
        let other = format!("\"{}.1\"", version + 1);
        for never in [other.as_str(), "W/\"1.1\"", "\"x\""] {
            change.send(resource, never).await.expect_problem(412, "version-mismatch");
        }
        change.send(resource, "").await.expect_problem(400, "invalid-header");
        let unchanged = reader.ask(Method::GET, resource, None, &[("if-none-match", &tag)]).await.expect(304);
        assert_eq!(
            (unchanged.header("etag"), unchanged.body.as_str()),
            (tag.as_str(), Some("")),
            "nothing changed"
        );

        let changed = change.send(resource, &tag).await.expect(200);
        let new = changed.header("etag").to_owned();
        assert_eq!(new, format!("\"{}.1\"", version + 1), "{} {}", change.path, changed.body);
        let position = changed.header("factfold-position");
        let at = [("if-none-match", tag.as_str()), ("factfold-at-least", position)];
        let shown = reader.ask(Method::GET, resource, None, &at).await.expect(200);
        assert_eq!((shown.header("etag"), &shown.body), (new.as_str(), &changed.body));
        tag = new;
    }
}

/// (Seen failing when the gateway forgets what is expected.)
#[tokio::test(flavor = "multi_thread")]
async fn every_write_can_name_the_version_it_is_meant_for() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let tea = walk::goods(&merchant, 10, 500).await;
    let (paid, cancelled) = (walk::order(&customer, &tea, 1).await, walk::order(&customer, &tea, 1).await);
    for order in [&paid, &cancelled] {
        walk::confirmed(&customer, order).await;
    }
    let by = |by, method, path, body| Change { by, method, path, body };
    let eur = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    // Two reservations have changed the goods: no position of ours says when that is shown.
    let (goods, deadline) = (format!("/v1/goods/{tea}"), Instant::now() + PATIENCE);
    while merchant.get(&goods).await.expect(200).body["stock"] != 8 {
        assert!(Instant::now() < deadline, "the stock never shows the reservations");
    }
    let changes = [
        by(&merchant, Method::PATCH, "", json!({ "name": "Green tea" })),
        by(&merchant, Method::POST, "/stock-adjustments", json!({ "delta": 1, "reason": "delivery" })),
        by(&merchant, Method::POST, "/discontinuation", json!({})),
    ];
    check(&merchant, &goods, &changes).await;
    let changes = [
        by(&customer, Method::POST, "/payment", json!({ "amount": eur(500), "method": "card" })),
        by(&merchant, Method::POST, "/refunds", json!({ "amount": eur(100), "reason": "a crack" })),
    ];
    check(&customer, &format!("/v1/orders/{paid}"), &changes).await;
    let changes = [by(&customer, Method::POST, "/cancellation", json!({ "reason": "too late" }))];
    check(&customer, &format!("/v1/orders/{cancelled}"), &changes).await;

    let (email, password) = ("ada@example.org", "seven odd purple teapots");
    let register = json!({ "email": email, "name": "Ada", "password": password });
    customer.anonymous().post("/v1/users", register).await.expect(201);
    let tokens = json!({ "email": email, "password": password });
    let tokens = customer.anonymous().post("/v1/sessions", tokens).await.expect(201);
    let ada = customer.with_token(&tokens.text("access_token"));
    let changes = [by(&ada, Method::PATCH, "", json!({ "name": "Ada Lovelace" }))];
    check(&ada, "/v1/users/me", &changes).await;

    // What is made has no version yet; and a command says what it expects by itself.
    let new = json!({ "name": "Tea", "price": eur(500), "stock": 1 });
    let matching = [("if-match", "\"1.1\"")];
    merchant.ask(Method::POST, "/v1/goods", Some(new), &matching).await.expect_problem(400, "invalid-header");
    let coffee = walk::goods(&merchant, 1, 500).await;
    for (expected, status) in [(7, "rejected"), (1, "accepted")] {
        let command = json!({
            "specversion": "1.0", "type": "UpdateGoods", "subject": format!("goods-{coffee}"),
            "expectedversion": expected, "data": { "name": "Coffee" },
        });
        let sent = merchant
            .ask(
                Method::POST,
                "/v1/commands",
                Some(command),
                &[("content-type", "application/cloudevents+json")],
            )
            .await
            .expect(202);
        let (id, position) = (sent.text("id"), sent.text("position"));
        let ask = format!("/v1/commands/{id}?at={position}");
        let outcome = merchant.get_at(&ask, &position).await.expect(200).body;
        assert_eq!(outcome["status"], status, "{outcome}");
        let reason = outcome["rejection"]["name"].as_str();
        assert_eq!(reason, (status == "rejected").then_some("version-mismatch"), "{outcome}");
    }
    system.stop().await;
}

/// No position is named: the gateway remembers it. When the read model does not come along in time the read says what it
/// has. (Seen failing when nothing is remembered.)
#[tokio::test(flavor = "multi_thread")]
async fn a_callers_reads_include_its_own_writes() {
    let system = System::start().await;
    let merchant = system.client(&[Role::Merchant]);
    let tea = walk::goods(&merchant, 0, 500).await;
    let goods = format!("/v1/goods/{tea}");
    for pieces in 1..=100 {
        let adjust = json!({ "delta": 1, "reason": "delivery" });
        merchant.post(&format!("{goods}/stock-adjustments"), adjust).await.expect(200);
        let asked = Instant::now();
        let shown = merchant.get(&goods).await.expect(200).body["stock"].clone();
        assert!(shown == pieces || asked.elapsed() >= OWN_WRITES_TIME, "{shown} instead of {pieces}");
    }
    system.stop().await;
}
