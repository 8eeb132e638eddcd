//! Health: `/healthz` says that the process lives, `/readyz` that it can serve, and if not, what is missing.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use serde_json::json;

use crate::{
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
};

/// How long Kafka may take to answer.
const REACH_TIME: Duration = Duration::from_secs(2);

/// `GET /healthz`
pub(super) async fn alive() -> Answer {
    Ok(answers::json_response(StatusCode::OK, &json!({ "status": "alive" })))
}

/// `GET /readyz`
pub(super) async fn ready(State(gateway): State<Gateway>) -> Answer {
    // Anybody may ask, and each question blocks a thread for a while: they count among those who wait.
    let _slot = gateway.slot()?;
    let asked = gateway.clone();
    let (kafka, read_side) = tokio::join!(
        tokio::task::spawn_blocking(move || asked.writer.reach(REACH_TIME)),
        gateway.reads.ping(),
    );
    let mut missing = Vec::new();
    if let Err(error) = kafka.unwrap_or(Err(rdkafka::error::KafkaError::Canceled)) {
        missing.push(format!("Kafka cannot be reached: {error}"));
    }
    if !gateway.replies.is_assigned() {
        missing.push("replies are not read".to_owned());
    }
    if let Err(error) = read_side {
        missing.push(format!("the read side does not answer: {error}"));
    }
    if missing.is_empty() {
        Ok(answers::json_response(StatusCode::OK, &json!({ "status": "ready" })))
    } else {
        Err(Problem::new("not-ready", missing.join("; ")).with("missing", json!(missing)).retry_after(1))
    }
}
