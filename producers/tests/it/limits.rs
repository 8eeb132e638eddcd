//! Everything has a bound.

use std::time::{Duration, Instant};

use factfold_producers::{Gateway, Settings, StartError};
use factfold_projections::ReadSide;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::stack::{Stack, cluster, header};

#[tokio::test]
async fn beyond_the_bound_nobody_waits_and_nothing_is_written() {
    let stack = Stack::start().await;
    let gateway = stack.gateway_with(Settings { waiting_max: 1, ..stack.settings() }).await;
    let waiting = tokio::spawn(gateway.adjust("silence").header("prefer", "wait=30").send());
    stack.decider.seen(1).await;
    let refused = gateway.adjust("ok").send().await.expect("an answer");
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, "1"));
    // Who does not wait needs no place.
    let quick = gateway.adjust("ok").header("prefer", "respond-async").send().await.expect("an answer");
    assert_eq!(quick.status(), 202);
    assert_eq!(stack.decider.seen(2).await.len(), 2);

    // A client that goes away gives its place back.
    waiting.abort();
    let again = async {
        while gateway.adjust("ok").send().await.expect("an answer").status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("the place is free again");
}

#[tokio::test]
async fn who_is_too_slow_is_let_go() {
    let stack = Stack::start().await;
    let time = Duration::from_millis(300);
    let settings = Settings { header_time: time, body_time: time, ..stack.settings() };
    let gateway = stack.gateway_with(settings).await;
    let mut answers = Vec::new();
    let half_a_head = "POST /v1/goods HTTP/1.1\r\nhost: x\r\n".to_owned();
    let half_a_body = format!(
        "{half_a_head}authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        gateway.token
    );
    for begun in [half_a_head, half_a_body] {
        let mut connection = TcpStream::connect(&gateway.address).await.expect("a connection");
        connection.write_all(begun.as_bytes()).await.expect("written");
        let mut answer = String::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(5), connection.read_to_string(&mut answer)).await;
        ended.expect("the connection ends").expect("orderly");
        answers.push(answer);
    }
    assert_eq!(answers[0], "", "no request, no answer");
    assert!(answers[1].starts_with("HTTP/1.1 408"), "{}", answers[1]);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_said_to_be() {
    let stack = Stack::start().await;
    let settings = Settings { store_time: Duration::from_secs(2), ..stack.settings() };
    let gateway = stack.gateway_with(settings).await;
    stack.delete_topics().await;
    // Until the broker has heard of it, it goes on storing: then the answer must not be a refusal either.
    let deadline = Instant::now() + Duration::from_secs(30);
    let response = loop {
        let response = gateway.adjust("ok").send().await.expect("an answer");
        if !response.status().is_success() {
            break response;
        }
        assert!(Instant::now() < deadline, "topics that are gone still store");
    };
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("a problem");
    let name = body["type"].as_str().and_then(|name| name.strip_prefix("/problems/")).unwrap_or_default();
    match name {
        "storage-unavailable" => assert_eq!(status, 503),
        "outcome-unknown" => assert!(status == 504 && body["command_id"].is_string()),
        _ => panic!("{status} {body}"),
    }
}

#[tokio::test]
async fn without_topics_it_does_not_start() {
    let stack = Stack::start().await;
    let empty = cluster();
    let reads = ReadSide::connect(&empty, "postgres://nobody@127.0.0.1:1/none", 1).await.expect("lazy");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let ended = Gateway::serve(stack.settings(), empty, reads, listener, std::future::pending()).await;
    let Err(StartError::MissingTopic(topic)) = ended else { panic!("{ended:?}") };
    assert!(topic.ends_with("goods.commands"), "{topic}");
}
