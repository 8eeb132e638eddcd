//! Projections: how far each read model has come.

pub(super) mod described;

use axum::{extract::State, http::StatusCode};
use factfold_projections::{PartitionProgress, Projection, ProjectionProgress};
use factfold_schemas::position::Position;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    answers,
    freshness::failed,
    gateway::Gateway,
    problems::{Answer, Problem},
    reading::parameters::{self, Parameters, PathTexts},
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

/// `POST /v1/projections/{name}/rebuilds`
pub(super) async fn rebuild(
    State(gateway): State<Gateway>,
    Parameters(parameters::None {}): Parameters<parameters::None>,
    PathTexts([name]): PathTexts<1>,
) -> Answer {
    let projection: Projection = name.parse().map_err(|_| {
        let known = Projection::ALL.map(Projection::name).join(", ");
        Problem::new("not-found", format!("there is no read model `{name}` (there are {known})"))
    })?;
    let build = gateway.reads.rebuild(projection).await.map_err(failed)?;
    let underway = Rebuild { name: build.projection.name(), version: build.version };
    Ok(answers::json_response(StatusCode::ACCEPTED, &underway))
}

/// A read model that is built anew.
#[derive(Debug, Serialize, JsonSchema)]
struct Rebuild {
    /// Its name.
    name: &'static str,
    /// Which of its builds that is.
    version: i32,
}

/// How far a read model has come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Projection")]
struct Progress {
    /// Its name.
    name: &'static str,
    /// Which of its builds is shown.
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
