//! `/v1/commands`: CloudEvents in all three modes, checked whole.

use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    position::Position,
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::stack::{Served, Stack, header, problem, read};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/elsewhere", "type": "AdjustStock",
        "subject": GoodsId::generate().stream(), "data": { "delta": 1, "reason": "count" },
    })
}

fn post(gateway: &Served, media_type: &str, body: &Value) -> RequestBuilder {
    let request = gateway.request(Method::POST, "/v1/commands");
    request.header("content-type", media_type).body(body.to_string())
}

#[tokio::test]
async fn a_command_can_be_sent_in_every_mode() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let stream = OrderId::generate().stream();
    let binary = gateway
        .post("/v1/commands", &json!({ "reason": "late" }))
        .header("ce-specversion", "1.0")
        .header("ce-id", "a%20b")
        .header("ce-type", "CancelOrder")
        .header("ce-subject", stream.as_str())
        .header("ce-correlationid", "c1")
        .header("ce-expectedversion", "7");
    let answer = binary.send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let position = header(&answer, "factfold-position").to_owned();
    assert_eq!(header(&answer, "location"), format!("/v1/commands/a%20b?at={position}"));
    assert_eq!(read(answer).await.1, json!({ "id": "a b", "position": position }));

    let structured = post(&gateway, STRUCTURED, &event("s")).send().await.expect("an answer");
    assert_eq!(read(structured).await.1["id"], "s");

    let batch: Vec<Value> = (0..20).map(|n| event(&format!("b{n}"))).collect();
    let answer = post(&gateway, BATCH, &json!(batch)).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let last: Vec<Position> =
        header(&answer, "factfold-position").split(", ").map(|p| p.parse().expect("a position")).collect();
    assert!(last.len() <= 3);
    let (_, body) = read(answer).await;
    let items = body["items"].as_array().expect("items");
    let ids: Vec<_> = items.iter().map(|item| item["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, (0..20).map(|n| format!("b{n}")).collect::<Vec<_>>());

    let seen = stack.decider.seen(22).await;
    let first = seen.iter().find(|command| command.header.id == "a b").expect("the first");
    assert_eq!((first.key.as_str(), first.type_name.as_str()), (stream.as_str(), "CancelOrder"));
    assert_eq!((first.header.correlation.as_deref(), first.header.expected_version), (Some("c1"), Some(7)));
    let source = format!("/clients/{}", stack.user);
    assert!(seen.iter().all(|command| command.header.source == source && command.header.reply_to.is_none()));
}

#[tokio::test]
async fn one_bad_entry_refuses_the_whole_batch_and_all_that_is_wrong_is_named() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut batch: Vec<Value> = (0..5).map(|n| event(&format!("b{n}"))).collect();
    batch[3]["data"] = json!({ "delta": "one", "colour": 1 });
    batch[4]["subject"] = json!("order-1");
    batch[4]["surplus"] = json!("x");
    let (status, name, body) = problem(post(&gateway, BATCH, &json!(batch))).await;
    assert_eq!((status, name.as_str()), (422, "invalid-fields"));
    let mut pointers: Vec<_> =
        body["errors"].as_array().expect("errors").iter().filter_map(|e| e["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["#/3/data/colour", "#/3/data/delta", "#/3/data/reason", "#/4/subject", "#/4/surplus"]
    );
    // What is stored next is the first that is stored at all.
    post(&gateway, STRUCTURED, &event("next")).send().await.expect("an answer");
    assert_eq!(stack.decider.seen(1).await[0].header.id, "next");
}

/// What is said about a person is sealed before it is stored: of whom nobody has heard, nothing can be.
#[tokio::test]
async fn of_nobody_nothing_is_stored_and_the_document_says_so() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut entry = event("x");
    entry["type"] = json!("UpdateProfile");
    entry["subject"] = json!(UserId::generate().stream());
    entry["data"] = json!({ "name": "Nobody" });
    let (status, name, _) = problem(post(&gateway, BATCH, &json!([event("y"), entry]))).await;
    assert_eq!((status, name.as_str()), (404, "user-not-found"));
    let (_, document) = read(gateway.get("/openapi.json").send().await.expect("an answer")).await;
    assert!(document["paths"]["/v1/commands"]["post"]["responses"]["404"].is_object());
    post(&gateway, STRUCTURED, &event("next")).send().await.expect("an answer");
    assert_eq!(stack.decider.seen(1).await[0].header.id, "next");
}

#[tokio::test]
async fn what_only_the_system_says_is_refused() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    for (name, value) in [
        ("replyto", "0/x"),
        ("commandposition", "goods.commands/0@1"),
        ("scheduledposition", "goods.commands/0@1"),
        ("type", "ReserveStock"),
    ] {
        let mut wrong = event("x");
        wrong[name] = json!(value);
        let (status, problem, _) = problem(post(&gateway, STRUCTURED, &wrong)).await;
        assert_eq!((status, problem.as_str()), (403, "forbidden"), "{name}");
    }
    let mut unknown = event("x");
    unknown["type"] = json!("SellGoods");
    let (status, _, body) = problem(post(&gateway, STRUCTURED, &unknown)).await;
    assert_eq!((status, &body["errors"][0]["pointer"]), (422, &json!("#/type")));
}

/// A command can wait for its time, in every mode, but for a year at most and not until it has expired.
#[tokio::test]
async fn a_command_can_be_sent_for_later() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let hours = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).to_string();
    let (soon, later) = (hours(1), hours(2));
    let mut event = event("later");
    event["notbefore"] = json!(soon);
    event["expirytime"] = json!(later);
    let answer = post(&gateway, STRUCTURED, &event).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let header = stack.decider.seen(1).await[0].header.clone();
    let times = [header.not_before, header.expires].map(|time| time.expect("a time").to_string());
    assert_eq!(times, [soon.clone(), later]);

    for (name, value) in [("notbefore", hours(24 * 367)), ("notbefore", "soon".into()), ("expirytime", soon)]
    {
        let mut wrong = event.clone();
        wrong[name] = json!(value);
        let (status, _, body) = problem(post(&gateway, BATCH, &json!([wrong]))).await;
        assert_eq!((status, &body["errors"][0]["pointer"]), (422, &json!(format!("#/0/{name}"))), "{body}");
    }
}

#[tokio::test]
async fn a_batch_under_a_key_can_be_repeated() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let mut batch = vec![event("a"), event("b")];
    for event in &mut batch {
        event.as_object_mut().expect("an event").remove("id");
    }
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = post(&gateway, BATCH, &json!(batch)).header("idempotency-key", "k");
        let (_, body) = read(request.send().await.expect("an answer")).await;
        answers.push([body["items"][0]["id"].clone(), body["items"][1]["id"].clone()]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[0][0], answers[0][1]);
}
