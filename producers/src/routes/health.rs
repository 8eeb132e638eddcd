//! Health: `/healthz` says that the process lives, `/readyz` that it can serve, and if not, what is missing.

pub(super) mod described;

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use factfold_projections::Projection;
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

/// What was seen when it was last looked at, and when that was.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Seen)>>);

/// What is missing, and which read models have stopped. A gateway serves without one of those: the others go on, and what it
/// shows is old, but true.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) missing: Vec<String>,
    stopped: Vec<Projection>,
}

/// `GET /healthz`
pub(super) async fn alive() -> Answer {
    Ok(answers::json_response(StatusCode::OK, &json!({ "status": "alive" })))
}

/// `GET /readyz`
pub(super) async fn ready(State(gateway): State<Gateway>) -> Answer {
    let Seen { missing, stopped } = seen(&gateway).await;
    if missing.is_empty() {
        let stopped: Vec<_> = stopped.iter().map(|projection| projection.name()).collect();
        return Ok(answers::json_response(StatusCode::OK, &json!({ "status": "ready", "stopped": stopped })));
    }
    Err(Problem::new("not-ready", missing.join("; ")).with("missing", json!(missing)).retry_after(1))
}

/// One looks, all others who ask meanwhile get the same answer.
pub(crate) async fn seen(gateway: &Gateway) -> Seen {
    let mut last = gateway.readiness.0.lock().await;
    match &*last {
        Some((looked, seen)) if looked.elapsed() < GOOD_FOR => seen.clone(),
        _ => {
            let seen = look(gateway).await;
            *last = Some((Instant::now(), seen.clone()));
            seen
        }
    }
}

async fn look(gateway: &Gateway) -> Seen {
    let asked = gateway.clone();
    let (kafka, read_side) = tokio::join!(
        tokio::task::spawn_blocking(move || asked.writer.reach(REACH_TIME)),
        gateway.reads.stopped(),
    );
    let mut missing = Vec::new();
    if let Err(error) = kafka.unwrap_or(Err(KafkaError::Canceled)) {
        missing.push(format!("Kafka cannot be reached: {error}"));
    }
    if !gateway.replies.is_assigned() {
        missing.push("replies are not read".to_owned());
    }
    let stopped = read_side.unwrap_or_else(|error| {
        missing.push(format!("the read side does not answer: {error}"));
        Vec::new()
    });
    Seen { missing, stopped }
}
