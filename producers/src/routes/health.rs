//! Health: `/healthz` says that the process lives, `/readyz` that it can serve, and if not, what is missing.

pub(super) mod described;

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use rdkafka::error::KafkaError;
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
};

/// How long Kafka may take to answer.
const REACH_TIME: Duration = Duration::from_secs(2);

/// How long an answer is good for. Anybody may ask, and Kafka and Postgres have better things to do.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(1);

/// What was missing when it was last looked at, and when that was.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Vec<String>)>>);

/// `GET /healthz`
pub(super) async fn alive() -> Answer {
    Ok(answers::json_response(StatusCode::OK, &json!({ "status": "alive" })))
}

/// `GET /readyz`
pub(super) async fn ready(State(gateway): State<Gateway>) -> Answer {
    let missing = missing(&gateway).await;
    if missing.is_empty() {
        return Ok(answers::json_response(StatusCode::OK, &json!({ "status": "ready" })));
    }
    Err(Problem::new("not-ready", missing.join("; ")).with("missing", json!(missing)).retry_after(1))
}

/// One looks, all others who ask meanwhile get the same answer.
pub(crate) async fn missing(gateway: &Gateway) -> Vec<String> {
    let mut last = gateway.readiness.0.lock().await;
    match &*last {
        Some((looked, missing)) if looked.elapsed() < GOOD_FOR => missing.clone(),
        _ => {
            let missing = look(gateway).await;
            *last = Some((Instant::now(), missing.clone()));
            missing
        }
    }
}

async fn look(gateway: &Gateway) -> Vec<String> {
    let asked = gateway.clone();
    let (kafka, read_side) = tokio::join!(
        tokio::task::spawn_blocking(move || asked.writer.reach(REACH_TIME)),
        gateway.reads.ping(),
    );
    let mut missing = Vec::new();
    if let Err(error) = kafka.unwrap_or(Err(KafkaError::Canceled)) {
        missing.push(format!("Kafka cannot be reached: {error}"));
    }
    if !gateway.replies.is_assigned() {
        missing.push("replies are not read".to_owned());
    }
    if let Err(error) = read_side {
        missing.push(format!("the read side does not answer: {error}"));
    }
    missing
}
