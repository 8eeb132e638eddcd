//! Users: everybody sees and changes themselves, admins see all and say who may do what.

pub(super) mod described;

use axum::{
    extract::{OriginalUri, Request, State},
    http::Extensions,
};
use factfold_projections::UserFilter;
use factfold_schemas::{
    ids::{self, StreamId},
    users::{Role, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    access::Caller,
    accounts::{self, NewPassword, Registration},
    answers,
    gateway::Gateway,
    problems::{Answer, FieldError, Problem},
    reading::{
        body::{JSON, MERGE_PATCH},
        parameters::{self, Parameters, PathId, PathTexts},
        read::Read,
        write::{Anonymous, Write},
    },
    server::Peer,
    vocabulary::{Checked, Refused},
};

/// `POST /v1/users`
pub(super) async fn register(
    State(gateway): State<Gateway>,
    Anonymous(write): Anonymous,
    request: Request,
) -> Answer {
    let asked: Registration = body(&gateway, request).await?;
    let submitted = gateway.register(&write, asked).await?;
    answers::to_write(write.prefer, submitted, Some("/v1/users/me"))
}

/// `GET /v1/users/me`
pub(super) async fn show(
    State(gateway): State<Gateway>,
    caller: Caller,
    read: Read,
    Parameters(parameters::None {}): Parameters<parameters::None>,
) -> Answer {
    let user = gateway.user(&read, caller.user).await?;
    answers::to_read(&read, user.version, &user)
}

/// `PATCH /v1/users/me`
pub(super) async fn update(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    let body = gateway.json(request, &[MERGE_PATCH, JSON]).await?;
    let command = check(&gateway, "UpdateProfile", body)?;
    let submitted = gateway.submit(&write, command, &write.caller.user.stream()).await?;
    answers::to_write(write.prefer, submitted, None)
}

/// `PUT /v1/users/me/password`
pub(super) async fn change_password(
    State(gateway): State<Gateway>,
    write: Write,
    extensions: Extensions,
    request: Request,
) -> Answer {
    let asked: NewPassword = body(&gateway, request).await?;
    let submitted = gateway.change_password(&write, &asked, Peer::of(&extensions)).await?;
    answers::to_write(write.prefer, submitted, None)
}

/// `DELETE /v1/users/me/personal-data`
pub(super) async fn erase(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    let command = check(&gateway, "ErasePersonalData", body)?;
    let submitted = gateway.erase(&write, command).await?;
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
    /// Only those whose account is here in its life. Without it, those who came to nothing are left out.
    status: Option<Status>,
    /// Only those who have this role.
    role: Option<Role>,
}

/// `GET /v1/users`
pub(super) async fn list(
    State(gateway): State<Gateway>,
    read: Read,
    Parameters(asked): Parameters<ListParameters>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let page = parameters::page(asked.limit, asked.after.as_deref())?;
    let filter = UserFilter { status: asked.status, role: asked.role };
    let users = gateway.list_users(&read, &filter, &page).await?;
    Ok(answers::page(&users, uri.path(), uri.query()))
}

/// `PUT /v1/users/{id}/roles/{role}`
pub(super) async fn grant(
    State(gateway): State<Gateway>,
    write: Write,
    path: PathTexts<2>,
    request: Request,
) -> Answer {
    change_role(&gateway, &write, "GrantRole", path, request).await
}

/// `DELETE /v1/users/{id}/roles/{role}`
pub(super) async fn revoke(
    State(gateway): State<Gateway>,
    write: Write,
    path: PathTexts<2>,
    request: Request,
) -> Answer {
    change_role(&gateway, &write, "RevokeRole", path, request).await
}

async fn change_role(
    gateway: &Gateway,
    write: &Write,
    type_name: &str,
    PathTexts([id, role]): PathTexts<2>,
    request: Request,
) -> Answer {
    let nothing = || Problem::new("not-found", "there is no such user, or no such role");
    let id = ids::UserId::of_stream(&format!("user-{id}")).ok_or_else(nothing)?;
    role.parse::<Role>().map_err(|_| nothing())?;
    if gateway.json_or_nothing(request).await? != json!({}) {
        let misfit = factfold_schemas::json::Misfit::new("", "must be empty: the path says all");
        return Err(Problem::invalid(vec![FieldError::within("", &misfit)]));
    }
    send(gateway, write, check(gateway, type_name, json!({ "role": role }))?, &id.stream()).await
}

/// `POST /v1/users/{id}/deactivation`
pub(super) async fn deactivate(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<ids::User>,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    send(&gateway, &write, check(&gateway, "DeactivateUser", body)?, &id.stream()).await
}

async fn send(gateway: &Gateway, write: &Write, command: Checked, stream: &StreamId) -> Answer {
    let submitted = gateway.submit(write, command, stream).await?;
    answers::to_write(write.prefer, submitted, None)
}

fn check(gateway: &Gateway, type_name: &str, body: Value) -> Result<Checked, Problem> {
    gateway.vocabulary.check(type_name, body).map_err(to_problem)
}

fn to_problem(refused: Refused) -> Problem {
    refused.into_problem(|misfit| FieldError::within("", misfit))
}

/// A body that is no command, because it says a password.
pub(super) async fn body<B: DeserializeOwned + JsonSchema>(
    gateway: &Gateway,
    request: Request,
) -> Result<B, Problem> {
    accounts::read(gateway.json(request, &[JSON]).await?)
}
