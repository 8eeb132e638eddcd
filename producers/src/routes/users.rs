//! Users: everybody sees and changes themselves, admins see all and say who may do what.

pub(super) mod described;

use axum::{
    extract::{OriginalUri, Request, State},
    http::Extensions,
};
use factfold_projections::UserFilter;
use factfold_schemas::{
    ids::{self},
    users::{Role, Status},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::send;
use crate::{
    access::Caller,
    answers,
    gateway::Gateway,
    peer::Peer,
    problems::{Answer, FieldError, Problem},
    reading::{
        body::{JSON, MERGE_PATCH},
        parameters::{self, Parameters, PathId, PathTexts},
        read::Read,
        write::{Anonymous, Write},
    },
};

/// `POST /v1/users`
pub(super) async fn register(
    State(gateway): State<Gateway>,
    Anonymous(write): Anonymous,
    request: Request,
) -> Answer {
    let asked = gateway.forms.registration.read(gateway.json(request, &[JSON]).await?)?;
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
    send(&gateway, &write, "UpdateProfile", &write.caller.user.stream(), body, None).await
}

/// `PUT /v1/users/me/password`
pub(super) async fn change_password(
    State(gateway): State<Gateway>,
    write: Write,
    extensions: Extensions,
    request: Request,
) -> Answer {
    let asked = gateway.forms.new_password.read(gateway.json(request, &[JSON]).await?)?;
    let submitted = gateway.change_password(&write, &asked, Peer::of(&extensions)).await?;
    answers::to_write(write.prefer, submitted, None)
}

/// `DELETE /v1/users/me/personal-data`
pub(super) async fn erase(State(gateway): State<Gateway>, write: Write, request: Request) -> Answer {
    let body = gateway.json_or_nothing(request).await?;
    let command = gateway.vocabulary.check("ErasePersonalData", body)?;
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
    send(gateway, write, type_name, &id.stream(), json!({ "role": role }), None).await
}

/// `POST /v1/users/{id}/deactivation`
pub(super) async fn deactivate(
    State(gateway): State<Gateway>,
    write: Write,
    PathId(id): PathId<ids::User>,
    request: Request,
) -> Answer {
    let body = gateway.json(request, &[JSON]).await?;
    send(&gateway, &write, "DeactivateUser", &id.stream(), body, None).await
}
