//! Projections: how far each read model has come.

use axum::{extract::State, http::StatusCode};
use factfold_projections::{PartitionProgress, ProjectionProgress};
use serde_json::{Value, json};

use crate::{
    answers,
    freshness::failed,
    gateway::Gateway,
    problems::Answer,
    reading::parameters::{self, Parameters},
};

/// `GET /v1/projections`
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Parameters(parameters::None {}): Parameters<parameters::None>,
) -> Answer {
    let progress = gateway.reads.progress().await.map_err(failed)?;
    let items: Vec<Value> = progress.iter().map(shown).collect();
    Ok(answers::json_response(StatusCode::OK, &json!({ "items": items, "next": null })))
}

fn shown(progress: &ProjectionProgress) -> Value {
    let partition = |of: &PartitionProgress| {
        json!({ "topic": of.topic.to_string(), "partition": of.partition, "next_offset": of.next_offset,
                "decided": of.decided })
    };
    json!({
        "name": progress.projection.name(),
        "version": progress.version,
        "failure": progress.failure,
        "partitions": progress.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}
