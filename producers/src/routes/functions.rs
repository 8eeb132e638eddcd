//! Functions: developers deploy and bind them, whoever may calls them.

pub(super) mod described;

use axum::{
    body::HttpBody as _,
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use factfold_projections::{FunctionFilter, NameCursor};
use factfold_registry::Line;
use factfold_schemas::{
    functions::{Language, Rejection},
    rejection::Reject,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    access::Caller,
    answers,
    functions::name,
    gateway::Gateway,
    problems::{Answer, Problem},
    reading::{
        body::{DEPLOYMENT_BYTES_MAX, JSON},
        parameters::{self, Parameters, PathText, PathTexts},
        prefer::Prefer,
        read::Read,
        write::Write,
    },
};

/// `PUT /v1/functions/{name}`
pub(super) async fn deploy(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let name = name(&text)?;
    let bytes_max = request.body().size_hint().upper();
    let _place = gateway.place_for_deployment(bytes_max).await?;
    let body = gateway.json_up_to(request, &[JSON], DEPLOYMENT_BYTES_MAX).await?;
    let deployment = gateway.forms.deployment.read(body)?;
    let submitted = gateway.deploy(&write, name, deployment).await?;
    let resource = submitted.reply.as_ref().and_then(|reply| reply.resource.as_ref());
    let is_new = resource.is_some_and(|function| function["version"] == 1);
    let path = format!("/v1/functions/{name}");
    answers::to_write(write.prefer, submitted, is_new.then_some(path.as_str()))
}

/// `POST /v1/functions/{name}/rollback`
pub(super) async fn roll_back(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    change(&gateway, &write, &text, "RollBackFunction", body).await
}

/// `DELETE /v1/functions/{name}`
pub(super) async fn remove(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    change(&gateway, &write, &text, "RemoveFunction", body).await
}

/// `PATCH /v1/functions/{name}/configuration`
pub(super) async fn configure(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    change(&gateway, &write, &text, "ConfigureFunction", body).await
}

/// `PUT /v1/functions/{name}/binding`
pub(super) async fn bind(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    change(&gateway, &write, &text, "BindFunction", body).await
}

/// `DELETE /v1/functions/{name}/binding`
pub(super) async fn unbind(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    change(&gateway, &write, &text, "UnbindFunction", body).await
}

/// `PUT /v1/functions/{name}/schedule`
pub(super) async fn schedule(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    change(&gateway, &write, &text, "ScheduleFunction", body).await
}

/// `DELETE /v1/functions/{name}/schedule`
pub(super) async fn unschedule(
    State(gateway): State<Gateway>,
    write: Write,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    change(&gateway, &write, &text, "UnscheduleFunction", body).await
}

/// Sends a command about this function, and lets this gateway know what came of it.
async fn change(gateway: &Gateway, write: &Write, text: &str, type_name: &str, body: Value) -> Answer {
    let name = name(text)?;
    let command = gateway.vocabulary.check(type_name, body)?;
    let submitted = gateway.submit(write, command, &name.stream()).await?;
    gateway.follow(name, &submitted).await;
    answers::to_write(write.prefer, submitted, None)
}

/// What can be asked of the list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// How many at most.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
    /// Only what was removed; without it, only what is there.
    removed: Option<bool>,
}

/// `GET /v1/functions`
pub(super) async fn list(
    State(gateway): State<Gateway>,
    read: Read,
    Parameters(asked): Parameters<ListParameters>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let page = parameters::page(asked.limit, asked.after.as_deref())?;
    let filter = FunctionFilter { removed: asked.removed };
    let functions = gateway.list_functions(&read, &filter, &page).await?;
    Ok(answers::page(&functions, uri.path(), uri.query()))
}

/// `GET /v1/functions/{name}`
pub(super) async fn show(
    State(gateway): State<Gateway>,
    read: Read,
    PathText(text): PathText,
    Parameters(parameters::None {}): Parameters<parameters::None>,
) -> Answer {
    let function = gateway.function(&read, name(&text)?).await?;
    answers::to_read(&read, function.version, &function)
}

/// Which source is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceParameters {
    /// Which revision's; without it, that of the one which answers.
    #[schemars(range(min = 1))]
    revision: Option<u32>,
}

/// `GET /v1/functions/{name}/source`
pub(super) async fn source(
    State(gateway): State<Gateway>,
    read: Read,
    PathText(text): PathText,
    Parameters(asked): Parameters<SourceParameters>,
) -> Answer {
    let function = gateway.function(&read, name(&text)?).await?;
    let deployed = match asked.revision {
        Some(revision) => function.revisions.iter().find(|deployed| deployed.revision == revision),
        None => function.current(),
    };
    let missing = || Problem::new("revision-not-found", "there is no such revision, or not any more");
    let deployed = deployed.ok_or_else(missing)?;
    let code = gateway.functions()?.code(&deployed.code).await.map_err(|error| {
        tracing::warn!(%error, function.name = %function.name, "its code cannot be read");
        Problem::new("function-unavailable", error.to_string()).retry_after(1)
    })?;
    let media_type = HeaderValue::from_static(media_type(deployed.language));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, media_type)], code.to_vec()).into_response())
}

/// How source of this language is called on the way.
const fn media_type(language: Language) -> &'static str {
    match language {
        Language::JavaScript => "text/javascript",
        Language::TypeScript => "application/typescript",
        Language::Python => "text/x-python",
        Language::Component | Language::Command => "application/wasm",
    }
}

/// Which lines are asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParameters {
    /// How many at most.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// Only lines that were said after this time.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    since: Option<Timestamp>,
}

/// What a function said lately.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LogLine {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    time: Timestamp,
    /// In which of its revisions.
    revision: u32,
    /// In which call: the `Factfold-Call` of its answer, or the id of the event that it was given.
    call: String,
    /// `debug`, `info`, `warn` or `error`.
    level: String,
    /// What.
    text: String,
}

/// `GET /v1/functions/{name}/logs`
pub(super) async fn logs(
    State(gateway): State<Gateway>,
    PathText(text): PathText,
    Parameters(asked): Parameters<LogParameters>,
) -> Answer {
    let name = name(&text)?;
    let limit = usize::from(parameters::page::<NameCursor>(asked.limit, None)?.limit());
    if gateway.functions()?.catalogue().get(name).is_none() {
        return Err(Problem::rejected(&Rejection::FunctionNotFound.to_rejection()));
    }
    let since = asked.since.unwrap_or(Timestamp::MIN);
    let lines = gateway.functions()?.logs().of(name, since, limit);
    let items: Vec<_> = lines.into_iter().map(LogLine::of).collect();
    Ok(answers::json_response(StatusCode::OK, &json!({ "items": items, "next": null })))
}

impl LogLine {
    fn of(line: Line) -> Self {
        let Line { time, revision, call, level, text, .. } = line;
        Self { time, revision, call, level: level.to_string(), text }
    }
}

/// `POST /fn/{name}`
pub(super) async fn call(
    State(gateway): State<Gateway>,
    caller: Option<Caller>,
    PathText(text): PathText,
    request: Request,
) -> Answer {
    gateway.call(name(&text)?, caller, request).await
}

/// `GET /v1/functions/{name}/calls/{call}`
pub(super) async fn later_call(
    State(gateway): State<Gateway>,
    caller: Option<Caller>,
    PathTexts([text, call]): PathTexts<2>,
    headers: HeaderMap,
    Parameters(parameters::None {}): Parameters<parameters::None>,
) -> Answer {
    let call = call.parse().map_err(|error| Problem::new("invalid-parameter", format!("call: {error}")))?;
    gateway.later_call(name(&text)?, call, caller, Prefer::read(&headers)?).await
}
