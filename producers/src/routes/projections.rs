//! Projections: how far each read model has come.

pub(super) mod described;

use axum::{extract::State, http::StatusCode};
use factfold_projections::{PartitionProgress, ProjectionProgress};
use factfold_schemas::position::Position;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

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
    let items: Vec<_> = progress.iter().map(Progress::of).collect();
    Ok(answers::json_response(StatusCode::OK, &json!({ "items": items, "next": null })))
}

/// How far a read model has come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Projection")]
struct Progress {
    /// Its name.
    name: &'static str,
    /// The version of its tables.
    version: i32,
    /// Why it does not go on, if it does not.
    failure: Option<String>,
    /// How far it has come in each partition.
    partitions: Vec<Partition>,
}

/// How far a read model has come in one partition.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectedPartition")]
struct Partition {
    /// The topic.
    topic: String,
    /// The partition.
    partition: i32,
    /// The next record to fold.
    next_offset: i64,
    /// Up to which command all is decided and folded.
    decided: Option<Position>,
}

impl Progress {
    fn of(progress: &ProjectionProgress) -> Self {
        let partition = |of: &PartitionProgress| Partition {
            topic: of.topic.to_string(),
            partition: of.partition,
            next_offset: of.next_offset,
            decided: of.decided,
        };
        Self {
            name: progress.projection.name(),
            version: progress.version,
            failure: progress.failure.clone(),
            partitions: progress.partitions.iter().map(partition).collect(),
        }
    }
}
