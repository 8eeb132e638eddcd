//! The path of a write: stored, decided, answered.

use std::time::Duration;

use factfold_schemas::{command::Auth, ids::GoodsId, partitioner::partition_of, position::Position};
use reqwest::Method;
use serde_json::json;

use crate::stack::{PARTITIONS, Stack, goods, header, read};

#[tokio::test]
async fn a_write_waits_for_its_decision_and_shows_the_resource() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let added =
        gateway.post("/v1/goods", &goods()).header("traceparent", parent).send().await.expect("an answer");
    assert_eq!(added.status(), 201);
    let (location, tag) = (header(&added, "location").to_owned(), header(&added, "etag").to_owned());
    let position: Position = header(&added, "factfold-position").parse().expect("a position");
    assert_eq!(header(&added, "preference-applied"), "");
    let (_, resource) = read(added).await;
    assert_eq!(location, format!("/v1/goods/{}", resource["id"].as_str().expect("an id")));
    assert_eq!(tag, "\"1.1\"");

    let patched = gateway
        .request(Method::PATCH, &location)
        .header("content-type", "application/merge-patch+json")
        .header("if-match", tag)
        .header("prefer", "wait=10")
        .body(r#"{"name":"Green tea"}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!((patched.status().as_u16(), header(&patched, "preference-applied")), (200, "wait=10"));

    let seen = stack.decider.seen(2).await;
    let first = &seen[0];
    assert_eq!((first.type_name.as_str(), first.position), ("AddGoods", position));
    assert_eq!(first.position.partition, partition_of(first.key.as_bytes(), PARTITIONS));
    assert!(GoodsId::of_stream(&first.key).is_some());
    assert_eq!(first.header.source, format!("/clients/{}", stack.user));
    assert_eq!(first.header.auth, Some(Auth::User(stack.user.to_string())));
    let trace = first.header.traceparent.as_deref().expect("a trace");
    assert!(trace.starts_with(&parent[..35]) && trace != parent, "{trace}");
    assert_eq!((seen[1].key.as_str(), seen[1].header.expected_version), (first.key.as_str(), Some(1)));
}

#[tokio::test]
async fn an_order_is_placed_in_the_callers_name() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let order = json!({ "lines": [{ "goods_id": GoodsId::generate(), "quantity": 2 }] });
    let created = gateway.post("/v1/orders", &order).send().await.expect("an answer");
    assert_eq!(created.status(), 201);
    let (_, resource) = read(created).await;
    let path = format!("/v1/orders/{}", resource["id"].as_str().expect("an id"));
    let amount = json!({ "amount": 100, "currency": "EUR" });
    let steps = [
        ("payment", json!({ "amount": amount, "method": "card" })),
        ("refunds", json!({ "amount": amount, "reason": "broken" })),
        ("refunds", json!({ "reason": "all of it" })),
        ("cancellation", json!({ "reason": "late" })),
    ];
    for (step, body) in &steps {
        let answered = gateway.post(&format!("{path}/{step}"), body).send().await.expect("an answer");
        assert_eq!(answered.status(), 200, "{step}");
    }
    let seen = stack.decider.seen(5).await;
    assert_eq!(seen[0].value["user_id"], json!(stack.user));
    let types: Vec<_> = seen.iter().map(|command| command.type_name.as_str()).collect();
    assert_eq!(types, ["CreateOrder", "PayOrder", "RefundOrder", "RefundOrder", "CancelOrder"]);
}

#[tokio::test]
async fn a_wait_that_ran_out_says_where_the_command_lies() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let late = gateway.adjust("silence").header("prefer", "wait=1").send().await.expect("an answer");
    assert_eq!((late.status().as_u16(), header(&late, "preference-applied")), (202, "wait=1"));
    let (location, position) =
        (header(&late, "location").to_owned(), header(&late, "factfold-position").to_owned());
    let (_, body) = read(late).await;
    let command = &stack.decider.seen(1).await[0];
    assert_eq!(position, command.position.to_string());
    assert_eq!(body, json!({ "command_id": command.header.id, "position": position, "status": "pending" }));
    assert_eq!(location, format!("/v1/commands/{}?at={position}", command.header.id));
}

#[tokio::test]
async fn who_does_not_want_to_wait_does_not() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let answered = gateway.adjust("ok").header("prefer", "respond-async").send().await.expect("an answer");
    assert_eq!((answered.status().as_u16(), header(&answered, "preference-applied")), (202, "respond-async"));
    assert_eq!(stack.decider.seen(1).await[0].header.reply_to, None);
}

#[tokio::test]
async fn a_gateway_that_stops_answers_who_still_waits() {
    let stack = Stack::start().await;
    let mut gateway = stack.gateway().await;
    let waiting = tokio::spawn(gateway.adjust("silence").header("prefer", "wait=30").send());
    stack.decider.seen(1).await;
    gateway.tell_to_stop();
    let answer = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("in time");
    assert_eq!(answer.expect("no panic").expect("an answer").status(), 202);
    gateway.stopped().await;
}
