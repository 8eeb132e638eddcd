//! Writes: from a message to a command that is decided, and from the decision to an answer.

use axum::http::{HeaderMap, HeaderValue};
use factfold_proto::common::v1::Pending;
use factfold_schemas::{ids::Kind, record::Answer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::{Extensions, Response, Status, metadata::MetadataMap};

use super::{call::Call, messages::given_id};
use crate::{
    answers::POSITION,
    gateway::Gateway,
    problems::Problem,
    submitting::Submitted,
    vocabulary::{Checked, Refused},
};

/// Sends the command of this call, about something new.
pub(super) async fn create<K: Kind>(
    gateway: &Gateway,
    call: &Call,
    data: Value,
) -> Result<Submitted, Problem> {
    let (write, id) = call.creates::<K>()?;
    let command = check(gateway, call, data)?;
    gateway.submit(&write, command, &id.stream()).await
}

/// Sends the command of this call, about what has this id.
pub(super) async fn change<K: Kind>(
    gateway: &Gateway,
    call: &Call,
    id: &str,
    data: Value,
) -> Result<Submitted, Problem> {
    let (id, command) = match (given_id::<K>("id", id), check(gateway, call, data)) {
        (Ok(id), Ok(command)) => (id, command),
        // All that is wrong is named at once.
        (Err(misfit), Err(Refused::Misfits(misfits))) => {
            return Err(Refused::Misfits([vec![misfit], misfits].concat()).into());
        }
        (Err(misfit), _) => return Err(Refused::Misfits(vec![misfit]).into()),
        (_, Err(refused)) => return Err(refused.into()),
    };
    gateway.submit(&call.changes(id)?, command, &id.stream()).await
}

/// Sends the command of this call, about the caller.
pub(super) async fn change_own(gateway: &Gateway, call: &Call, data: Value) -> Result<Submitted, Problem> {
    let user = call.caller()?.user;
    gateway.submit(&call.changes(user)?, own(gateway, call, data)?, &user.stream()).await
}

/// The command of this call, about the caller.
pub(super) fn own(gateway: &Gateway, call: &Call, data: Value) -> Result<Checked, Problem> {
    Ok(check(gateway, call, data)?)
}

fn check(gateway: &Gateway, call: &Call, data: Value) -> Result<Checked, Refused> {
    gateway.vocabulary.check(call.operation().name(), data)
}

/// The answer to a write: the resource as the decision left it, or where the command lies; and its position in any case.
pub(super) fn answer<R: DeserializeOwned, M, A>(
    submitted: &Submitted,
    shown: impl FnOnce(R) -> M,
    answer: impl FnOnce(Option<M>, Option<Pending>) -> A,
) -> Result<Response<A>, Status> {
    let position = submitted.position.to_string();
    // What waits for its time is not decided yet either.
    let decided = submitted.settled()?.filter(|reply| !matches!(reply.answer, Answer::Scheduled { .. }));
    let (resource, pending) = match decided {
        Some(reply) => (reply.resource.as_ref().map(R::deserialize).transpose().map_err(unreadable)?, None),
        None => {
            let (command_id, position) = (submitted.command_id.clone(), position.clone());
            (None, Some(Pending { command_id, position }))
        }
    };
    let position = HeaderValue::from_str(&position).ok().map(|position| (POSITION, position));
    let metadata = MetadataMap::from_headers(HeaderMap::from_iter(position));
    Ok(Response::from_parts(metadata, answer(resource.map(shown), pending), Extensions::default()))
}

fn unreadable(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "a reply's resource cannot be read");
    Problem::new("internal-error", "it was done, but the answer could not be written: read it")
}
