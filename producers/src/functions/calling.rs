//! A call: who may, with what, and how it is answered.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use factfold_registry::{CallError, Reason};
use factfold_schemas::{
    functions::{FunctionName, Rejection},
    json::Misfit,
    rejection::Reject,
};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use crate::{
    access::{self, Caller, Role},
    answers,
    gateway::Gateway,
    problems::{Answer, FieldError, Problem},
    reading::{body::JSON, idempotency::IDEMPOTENCY_KEY, prefer::Prefer},
};

/// Which call it was: its lines in the logs say the same.
pub(crate) const CALL: HeaderName = HeaderName::from_static("factfold-call");

impl Gateway {
    /// Calls this function with the body of the request.
    pub(crate) async fn call(&self, name: FunctionName, caller: Option<Caller>, request: Request) -> Answer {
        let registry = self.functions()?;
        let function = registry.catalogue().get(name);
        let deployed = function.as_ref().and_then(|function| function.current());
        // Who has not said who that is learns of public functions alone.
        if caller.is_none() && !deployed.is_some_and(|deployed| deployed.public) {
            return Err(access::unauthenticated());
        }
        if deployed.is_none() {
            return Err(Problem::rejected(&Rejection::FunctionNotFound.to_rejection()));
        }
        refuse_what_is_not_built(request.headers())?;
        let prefer = Prefer::read(request.headers())?;
        let input = self.json_or_nothing(request).await?;
        let call = Uuid::now_v7();
        if prefer.responds_async() {
            return self.call_later(name, call, caller, input, prefer).await;
        }
        let told = caller.as_ref().map(told);
        let called = registry.call(name, call, told.as_ref(), &input).await;
        answer(call, called, caller.as_ref())
    }

    /// Calls the function that answers this path; `None` where none does.
    pub(crate) async fn call_at(&self, request: Request) -> Option<Response> {
        let name = self.functions().ok()?.catalogue().at_path(request.uri().path())?;
        let caller = match self.access.caller(request.headers()).await {
            Ok(caller) => caller,
            Err(problem) => return Some(problem.into_response()),
        };
        // A path that is not theirs to know of is no path.
        let function = self.functions().ok()?.catalogue().get(name)?;
        if caller.is_none() && !function.current()?.public {
            return None;
        }
        Some(match request.method().as_str() {
            "POST" => self.call(name, caller, request).await.into_response(),
            method => {
                let detail = format!("{} cannot be asked for with {method}", request.uri().path());
                Problem::new("method-not-allowed", detail).with_header(header::ALLOW, "POST").into_response()
            }
        })
    }
}

/// Each call runs: whoever asks for anything else must not think to have got it.
fn refuse_what_is_not_built(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = format!("the header {IDEMPOTENCY_KEY} is not built for calls of functions");
        return Err(Problem::new("not-implemented", detail));
    }
    Ok(())
}

/// Who calls, as the function is told.
pub(super) fn told(caller: &Caller) -> factfold_registry::Caller {
    factfold_registry::Caller { user: caller.user, roles: caller.roles().to_vec() }
}

/// What the caller is told of a call that has ended.
pub(super) fn answer(
    call: Uuid,
    result: Result<Box<RawValue>, CallError>,
    caller: Option<&Caller>,
) -> Answer {
    let call = call.to_string();
    match result {
        Ok(output) => {
            let mut response = ([(header::CONTENT_TYPE, JSON)], output.get().to_owned()).into_response();
            answers::set(&mut response, CALL, &call);
            Ok(response)
        }
        Err(error) => Err(problem(error, is_developer(caller)).with_header(CALL, &call)),
    }
}

pub(super) fn is_developer(caller: Option<&Caller>) -> bool {
    caller.is_some_and(|caller| caller.is(Role::Developer))
}

/// What the caller is told about a call that gave nothing. Where in its code it failed is for developers alone.
pub(super) fn problem(error: CallError, is_developer: bool) -> Problem {
    let detail = error.to_string();
    let errors = |misfits: Vec<Misfit>| misfits.iter().map(|misfit| FieldError::within("", misfit)).collect();
    match error {
        CallError::NotFound(_) => Problem::rejected(&Rejection::FunctionNotFound.to_rejection()),
        CallError::Busy(_) | CallError::BusyInAll(_) => Problem::new("too-many-calls", detail).retry_after(1),
        CallError::Input(misfits) => Problem::invalid(errors(misfits)),
        CallError::Output(misfits) => {
            let errors: Vec<FieldError> = errors(misfits);
            Problem::new("function-failed", detail).with("errors", json!(errors))
        }
        CallError::Failed(Reason::Thrown { message, stack }) => {
            let problem = Problem::new("function-failed", message);
            match stack.filter(|_| is_developer) {
                Some(stack) => problem.with("stack", Value::String(stack)),
                None => problem,
            }
        }
        CallError::Failed(Reason::Stopped(_)) => Problem::new("function-stopped", detail),
        CallError::Failed(Reason::Ours(_)) | CallError::Unfit(_) | CallError::Sealed => {
            tracing::warn!(error = detail, "a function cannot be run");
            Problem::new("function-unavailable", "it cannot be run now, or not here").retry_after(1)
        }
    }
}
