//! Calls that nobody waits for: taken, and asked for later, at any gateway.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use factfold_registry::{Ended, NotTaken, Registry, Standing};
use factfold_schemas::functions::FunctionName;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::time::timeout;
use uuid::Uuid;

use super::calling::{self, CALL};
use crate::{
    access::Caller,
    answers,
    gateway::Gateway,
    problems::{Answer, Problem},
    reading::prefer::{PREFERENCE_APPLIED, Prefer},
};

/// A call that nobody waited for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LaterCall {
    /// Its id; its lines in the logs say the same.
    #[schemars(with = "String", extend("format" = "uuid"))]
    call: Uuid,
    /// What was called.
    function: FunctionName,
    /// How it stands.
    status: Status,
    /// When it was taken.
    #[schemars(with = "String", extend("format" = "date-time"))]
    taken_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    ended_at: Option<Timestamp>,
    /// What it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    output: Option<Box<RawValue>>,
    /// Why it returned nothing: what a caller who waits would have been answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
}

/// How a call stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// It waits for its turn, or runs.
    Pending,
    /// It has returned something.
    Succeeded,
    /// It has not, and will not.
    Failed,
}

impl Gateway {
    /// Takes a call. Whoever waits a while and sees its end is answered as if nothing else had been asked for.
    pub(super) async fn call_later(
        &self,
        name: FunctionName,
        call: Uuid,
        caller: Option<Caller>,
        input: Value,
        prefer: Prefer,
    ) -> Answer {
        let registry = self.functions()?;
        // Once it is taken nothing may be refused: who is refused repeats it.
        let slot = if prefer.wait().is_zero() { None } else { Some(self.slot()?) };
        let taken = registry.call_later(name, call, caller.as_ref().map(calling::told), input).await;
        taken.map_err(|error| not_taken(error, caller.as_ref()).with_header(CALL, &call.to_string()))?;
        let applied = prefer.applied().unwrap_or_default();
        let ended = match &slot {
            Some(_) => end_of(registry, call, prefer).await.unwrap_or_default(),
            None => None,
        };
        if let Some(ended) = ended {
            return match calling::answer(call, ended.result, caller.as_ref()) {
                Ok(mut response) => {
                    answers::set(&mut response, PREFERENCE_APPLIED, &applied);
                    Ok(response)
                }
                Err(problem) => Err(problem.with_header(PREFERENCE_APPLIED, &applied)),
            };
        }
        let standing = registry.standing(call).ok_or_else(|| unknown(registry))?;
        let mut response = LaterCall::pending(call, &standing).answer(StatusCode::ACCEPTED);
        answers::set(&mut response, CALL, &call.to_string());
        answers::set(&mut response, header::LOCATION, &format!("/v1/functions/{name}/calls/{call}"));
        answers::set(&mut response, PREFERENCE_APPLIED, &applied);
        Ok(response)
    }

    /// How a call stands that nobody waited for. Its caller and developers may know; and everybody, where nobody knows who called:
    /// an id cannot be guessed.
    pub(crate) async fn later_call(
        &self,
        name: FunctionName,
        call: Uuid,
        caller: Option<Caller>,
        prefer: Prefer,
    ) -> Answer {
        let registry = self.functions()?;
        let is_for = |standing: &Standing| {
            standing.function == name
                && (calling::is_developer(caller.as_ref())
                    || standing.caller.is_none_or(|user| caller.as_ref().is_some_and(|c| c.user == user)))
        };
        let standing = registry.standing(call).filter(is_for).ok_or_else(|| unknown(registry))?;
        let _slot = self.slot()?;
        let shown = match end_of(registry, call, prefer).await? {
            Some(ended) => LaterCall::ended(call, &standing, ended, caller.as_ref()),
            // It was there, and is gone: Kafka keeps no more than there is room for.
            None if standing.has_ended() => return Err(unknown(registry)),
            None => LaterCall::pending(call, &standing),
        };
        let mut response = shown.answer(StatusCode::OK);
        if let Some(applied) = prefer.applied() {
            answers::set(&mut response, PREFERENCE_APPLIED, &applied);
        }
        Ok(response)
    }
}

/// What came of this call, if it ends as soon as the caller wants to wait.
async fn end_of(registry: &Registry, call: Uuid, prefer: Prefer) -> Result<Option<Ended>, Problem> {
    // In time or not, it is looked at.
    let _ = timeout(prefer.wait(), registry.has_ended(call)).await;
    registry.ended(call).await.map_err(|error| {
        tracing::warn!(%error, %call, "the end of a call cannot be read");
        Problem::new("log-unavailable", "what came of it cannot be read now").retry_after(1)
    })
}

impl LaterCall {
    fn pending(call: Uuid, standing: &Standing) -> Self {
        Self {
            call,
            function: standing.function,
            status: Status::Pending,
            taken_at: standing.taken_at,
            ended_at: None,
            output: None,
            problem: None,
        }
    }

    fn ended(call: Uuid, standing: &Standing, ended: Ended, caller: Option<&Caller>) -> Self {
        let (status, output, problem) = match ended.result {
            Ok(output) => (Status::Succeeded, Some(output), None),
            Err(error) => {
                let problem = calling::problem(error, calling::is_developer(caller));
                (Status::Failed, None, Some(problem.body()))
            }
        };
        Self { status, ended_at: Some(ended.time), output, problem, ..Self::pending(call, standing) }
    }

    fn answer(&self, status: StatusCode) -> Response {
        let mut response = answers::json_response(status, self);
        if matches!(self.status, Status::Pending) {
            answers::set(&mut response, header::RETRY_AFTER, "1");
        }
        response.into_response()
    }
}

fn not_taken(error: NotTaken, caller: Option<&Caller>) -> Problem {
    let detail = error.to_string();
    match error {
        NotTaken::Call(error) => calling::problem(error, calling::is_developer(caller)),
        NotTaken::TooManyWait(_) | NotTaken::TooMuchWaits(_) => {
            Problem::new("too-many-calls", detail).retry_after(1)
        }
        NotTaken::NotStored(error) => {
            tracing::warn!(%error, "a call is not stored");
            let detail = "whether the call was stored is not known: repeat it, at worst it runs twice";
            Problem::new("outcome-unknown", detail)
        }
    }
}

fn unknown(registry: &Registry) -> Problem {
    if !registry.knows_all_calls() {
        return Problem::new("log-unavailable", "this gateway does not know all calls yet").retry_after(1);
    }
    Problem::new(
        "call-not-found",
        "there is no such call of this function that nobody waited for, or not any more",
    )
}
