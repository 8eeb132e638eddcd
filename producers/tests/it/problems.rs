//! Every kind of problem, as clients meet it.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::stack::{Stack, goods, header, problem, read};

#[tokio::test]
async fn each_kind_of_rejection_has_its_status() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let cases = [
        ("invalid", 422, "quantity-out-of-range"),
        ("conflict", 409, "already-paid"),
        ("not-found", 404, "order-not-found"),
        ("not-yours", 404, "order-not-found"),
        ("precondition", 412, "version-mismatch"),
        ("dead-letter", 422, "dead-lettered"),
    ];
    let mut bodies = Vec::new();
    for (instruction, status, name) in cases {
        let (given, named, mut body) = problem(gateway.adjust(instruction)).await;
        assert_eq!((given, named.as_str()), (status, name), "{instruction}");
        assert!(body["position"].is_string() && body["command_id"].is_string());
        body["position"].take();
        body["command_id"].take();
        bodies.push(body);
    }
    assert_eq!(bodies[2], bodies[3], "another's order looks exactly like none");
    assert_eq!(bodies[0]["errors"][0]["pointer"], "#/lines/0/quantity");

    let same = gateway.adjust("no-change").send().await.expect("an answer");
    assert_eq!((same.status().as_u16(), header(&same, "etag")), (200, "\"1.1\""));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_anything_is_stored() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let raw = |media_type: &str, body: String| {
        gateway.request(Method::POST, "/v1/goods").header("content-type", media_type).body(body)
    };
    let json = "application/json";
    let (status, _, body) =
        problem(raw(json, r#"{"price":{"amount":-1,"currency":"XQZ"},"colour":1}"#.into())).await;
    let mut pointers: Vec<_> =
        body["errors"].as_array().expect("errors").iter().filter_map(|e| e["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        (status, pointers),
        (422, vec!["#/colour", "#/name", "#/price/amount", "#/price/currency", "#/stock"])
    );

    let long = format!("\"{}\"", "x".repeat(1024 * 1024));
    let order = json!({ "user_id": Uuid::nil(), "lines": [] });
    let header = |name: &str, value: &str| gateway.post("/v1/goods", &goods()).header(name, value);
    let cases = [
        (raw(json, "{".into()), 400, "invalid-json"),
        (raw("text/plain", "{}".into()), 415, "unsupported-media-type"),
        (raw(json, long), 413, "body-too-large"),
        (gateway.post("/v1/orders", &order), 422, "invalid-fields"),
        (header("prefer", "wait=soon"), 400, "invalid-header"),
        (header("idempotency-key", ""), 400, "invalid-header"),
        (header("if-match", "\"1.1\""), 400, "invalid-header"),
        (header("if-none-match", "*"), 501, "not-implemented"),
        (header("factfold-at-least", "goods.commands/0@1"), 501, "not-implemented"),
        (gateway.post("/v1/goods?dry-run=1", &goods()), 400, "invalid-parameter"),
        (gateway.post("/v1/goods/1/discontinuation", &json!({})), 404, "not-found"),
        (gateway.post("/v1/nothing", &json!({})), 404, "not-found"),
        (gateway.request(Method::DELETE, "/v1/goods"), 405, "method-not-allowed"),
        (gateway.get("/v1/goods?colour=red"), 400, "invalid-parameter"),
        (gateway.get("/v1/goods?limit=201"), 400, "invalid-parameter"),
        (gateway.get("/v1/goods?after=x"), 400, "invalid-parameter"),
        (gateway.get("/v1/orders?as-of=now"), 400, "invalid-parameter"),
        (gateway.get("/v1/goods").header("factfold-at-least", "7@1"), 400, "invalid-position"),
        (
            gateway.get("/v1/goods").header("factfold-at-least", "goods.commands/99@1"),
            400,
            "invalid-position",
        ),
        (gateway.get("/v1/goods"), 503, "read-side-unavailable"),
    ];
    for (number, (request, status, name)) in cases.into_iter().enumerate() {
        let (given, named, body) = problem(request).await;
        assert_eq!((given, named.as_str()), (status, name), "case {number}: {body}");
    }
    assert!(stack.decider.seen(0).await.is_empty());
    let wrong_method = gateway.request(Method::DELETE, "/v1/goods").send().await.expect("an answer");
    assert!(self::header(&wrong_method, "allow").contains("POST"));

    // A discontinuation has nothing to say, and needs no body for it.
    let path = format!("/v1/goods/{}/discontinuation", Uuid::now_v7());
    let nothing = gateway.request(Method::POST, &path).send().await.expect("an answer");
    assert_eq!(nothing.status(), 200);
}

#[tokio::test]
async fn the_gateway_says_what_it_is_and_what_it_misses() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let page = gateway.get("/problems/sold-out").send().await.expect("an answer");
    assert_eq!(read(page).await.1["remedy"], "Order less, or later.");
    let page =
        gateway.get("/problems/sold-out").header("accept", "text/html").send().await.expect("an answer");
    assert!(header(&page, "content-type").starts_with("text/html"));
    assert!(page.text().await.expect("a page").contains("<p>Order less, or later.</p>"));
    assert_eq!(problem(gateway.get("/problems/none")).await.0, 404);

    let (_, keys) = read(gateway.get("/.well-known/jwks.json").send().await.expect("an answer")).await;
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");

    // Kafka is there, Postgres is not: that is all that is missing.
    let (status, name, body) = problem(gateway.get("/readyz")).await;
    assert_eq!((status, name.as_str()), (503, "not-ready"));
    let missing = body["missing"].as_array().expect("a list");
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].as_str().expect("a text").contains("read side"));
}
