//! Commands as they are: any type, as CloudEvents, singly or in batches; and what became of each.

pub(super) mod described;

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
};
use factfold_projections::{CommandOutcome, Placed, Projection, WaitError};
use factfold_schemas::{position::Position, record::Answer as Decided};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    access::{Caller, Role},
    answers::{self, POSITION, Undecided, command_path, set},
    envelopes::Envelope,
    freshness::failed,
    gateway::Gateway,
    problems::{Answer, Problem, visible},
    reading::{
        body,
        cloudevents::{self, Commands},
        parameters::{Parameters, PathText},
        read::{Read, position},
        write::Write,
    },
    submitting::not_stored,
    writer::NoPosition,
};

/// `POST /v1/commands`: stored, all or none of what is wrong; each is answered with its id and its position.
pub(super) async fn send(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    // Each command can expect a version of its own: `expectedversion`.
    write.refuse_if_match()?;
    let (parts, body) = request.into_parts();
    let body = body::read(body, gateway.settings.body_time).await?;
    match cloudevents::read(&parts.headers, &body)? {
        Commands::One(entry) => {
            let identity = write.identity.clone();
            let envelopes = gateway.envelopes(&write, vec![(entry, identity)]).await?;
            let stored = store(&gateway, &write, envelopes).await?;
            let mut response = answers::json_response(StatusCode::ACCEPTED, &stored.first());
            if let [Stored { id, position }] = stored.as_slice() {
                set(&mut response, header::LOCATION, &command_path(id, &position.to_string()));
                set(&mut response, POSITION, &position.to_string());
            }
            Ok(response)
        }
        Commands::Batch(entries) => {
            let identities = (0..entries.len()).map(|index| write.identity.of_entry(index));
            let envelopes = gateway.envelopes(&write, entries.into_iter().zip(identities).collect()).await?;
            let stored = store(&gateway, &write, envelopes).await?;
            let mut response = answers::json_response(StatusCode::ACCEPTED, &json!({ "items": stored }));
            set(&mut response, POSITION, &last_of_each_partition(&stored));
            Ok(response)
        }
    }
}

/// A command that is stored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredCommand")]
struct Stored {
    /// Its id.
    id: String,
    /// Where it lies.
    position: Position,
}

/// Stores the commands in their order. What is known of a batch that is stored in part is told.
async fn store(gateway: &Gateway, write: &Write, envelopes: Vec<Envelope>) -> Result<Vec<Stored>, Problem> {
    // All are handed over before the first is awaited; after one that was not taken, none is.
    let mut underway = Vec::with_capacity(envelopes.len());
    let mut failure = None;
    for envelope in envelopes {
        match gateway.writer.send(envelope.service, &envelope.record) {
            Ok(storing) => underway.push((envelope.id, storing)),
            Err(error) => {
                failure = Some((envelope.id, error));
                break;
            }
        }
    }
    let mut stored = Vec::with_capacity(underway.len());
    for (id, storing) in underway {
        match storing.position().await {
            Ok(position) => {
                gateway.own_writes.remember(write.caller.user, position);
                stored.push(Stored { id, position });
            }
            // In doubt the whole is in doubt.
            Err(error) if !matches!(error, NoPosition::Surely(_)) || failure.is_none() => {
                failure = Some((id, error))
            }
            Err(_) => {}
        }
    }
    match failure {
        None => Ok(stored),
        Some((id, error)) if stored.is_empty() => Err(not_stored(error, &id)),
        Some((id, error)) => Err(not_stored(error.in_doubt(), &id).with("stored", json!(stored))),
    }
}

/// Decided positions rise within a partition: who has seen the last of a partition has seen them all.
fn last_of_each_partition(stored: &[Stored]) -> String {
    let mut last = BTreeMap::new();
    for Stored { position, .. } in stored {
        let known: &mut Position = last.entry((position.topic, position.partition)).or_insert(*position);
        known.offset = known.offset.max(position.offset);
    }
    last.values().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An outcome as its reader sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CommandOutcome")]
struct Shown {
    /// The command's id.
    command_id: String,
    /// Where it lies.
    position: Position,
    #[serde(flatten)]
    answer: Decided,
    /// The broker's time of the command.
    #[schemars(with = "String", extend("format" = "date-time"))]
    decided_at: Timestamp,
    /// The command's type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// Whether this was a repeat: then the answer is that of the first.
    repeated: bool,
}

impl From<CommandOutcome> for Shown {
    fn from(outcome: CommandOutcome) -> Self {
        let answer = match outcome.answer {
            Decided::Rejected { rejection } => Decided::Rejected { rejection: visible(&rejection) },
            other => other,
        };
        Self {
            command_id: outcome.command_id,
            position: outcome.stored,
            answer,
            decided_at: outcome.decided_at,
            command: outcome.command,
            stream: outcome.stream.map(|stream| stream.to_string()),
            repeated: outcome.repeated,
        }
    }
}

/// What can be asked of one command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParameters {
    /// Where it lies, as the write answered it.
    at: Option<String>,
}

/// `GET /v1/commands/{id}`: its outcome, for whoever sent it. With its position it is pending until it is decided;
/// without, an undecided command cannot be told from one that never was.
pub(super) async fn show(
    State(gateway): State<Gateway>,
    caller: Caller,
    read: Read,
    PathText(id): PathText,
    Parameters(asked): Parameters<ShowParameters>,
) -> Answer {
    let at = asked.at.as_deref().map(position).transpose()?;
    gateway.freshen(&read, Projection::CommandOutcomes, None).await?;
    let may_see =
        |source: &str| source == caller.source() || caller.is(Role::Auditor) || caller.is(Role::Operator);
    // Another's command is answered like one that is not decided.
    let outcome =
        gateway.reads.command(&id, at).await.map_err(failed)?.filter(|outcome| may_see(&outcome.source));
    match (outcome, at) {
        (Some(outcome), _) => Ok(answers::json_response(StatusCode::OK, &Shown::from(outcome))),
        (None, Some(at)) => {
            let now = Instant::now();
            match gateway.reads.wait_for(Projection::CommandOutcomes, at, Placed::Unknown, now).await {
                Err(error @ WaitError::UnknownPosition { .. }) => {
                    Err(Problem::new("invalid-position", error.to_string()))
                }
                Err(WaitError::Failed(error)) => Err(failed(error)),
                Ok(()) | Err(WaitError::Behind { .. }) => {
                    Ok(answers::json_response(StatusCode::OK, &Undecided::pending(id, at)))
                }
            }
        }
        (None, None) => Err(Problem::new(
            "command-not-found",
            "there is no outcome under this id yet: ask with ?at=<position>, as the write answered it",
        )),
    }
}
