//! `factfold.users.v1.UserService`: everybody comes in, sees and changes themselves; admins say who may do what.

use factfold_projections::UserFilter;
use factfold_proto::users::v1::{self as proto, user_service_server::UserService};
use factfold_schemas::{
    ids,
    users::{self, Status as Stage},
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::{
    call::Call,
    messages::{data, time},
    reading::{misfit, page},
    writing::{answer, change, change_own, own},
};
use crate::{accounts::Tokens, gateway::Gateway, problems::Problem};

/// The service.
pub(super) struct Users(pub(super) Gateway);

#[tonic::async_trait]
impl UserService for Users {
    async fn register(
        &self,
        request: Request<proto::RegisterRequest>,
    ) -> Result<Response<proto::RegisterResponse>, Status> {
        let (call, asked) = Call::of(request);
        let asked = self.0.forms.registration.read(data([
            ("email", Some(json!(asked.email))),
            ("name", Some(json!(asked.name))),
            ("password", Some(json!(asked.password))),
        ]))?;
        let submitted = self.0.register(&call.anonymous()?, asked).await?;
        answer(&submitted, shown, |user, pending| proto::RegisterResponse { user, pending })
    }

    async fn login(
        &self,
        request: Request<proto::LoginRequest>,
    ) -> Result<Response<proto::LoginResponse>, Status> {
        let (call, asked) = Call::of(request);
        let asked = self
            .0
            .forms
            .login
            .read(data([("email", Some(json!(asked.email))), ("password", Some(json!(asked.password)))]))?;
        let tokens = self.0.log_in(&call.anonymous()?, &asked, call.from()).await?;
        Ok(Response::new(proto::LoginResponse { tokens: Some(given(tokens)) }))
    }

    async fn refresh(
        &self,
        request: Request<proto::RefreshRequest>,
    ) -> Result<Response<proto::RefreshResponse>, Status> {
        let (call, asked) = Call::of(request);
        let asked =
            self.0.forms.refreshing.read(data([("refresh_token", Some(json!(asked.refresh_token)))]))?;
        let tokens = self.0.refresh(&call.anonymous()?, &asked.refresh_token).await?;
        Ok(Response::new(proto::RefreshResponse { tokens: Some(given(tokens)) }))
    }

    async fn logout(
        &self,
        request: Request<proto::LogoutRequest>,
    ) -> Result<Response<proto::LogoutResponse>, Status> {
        let (call, proto::LogoutRequest {}) = Call::of(request);
        call.refuse_version()?;
        let write = call.changes(call.caller()?.user)?;
        self.0.log_out(&write).await?;
        Ok(Response::new(proto::LogoutResponse {}))
    }

    async fn get_me(
        &self,
        request: Request<proto::GetMeRequest>,
    ) -> Result<Response<proto::GetMeResponse>, Status> {
        let (call, proto::GetMeRequest {}) = Call::of(request);
        let user = self.0.user(&call.read()?, call.caller()?.user).await?;
        Ok(Response::new(proto::GetMeResponse { user: Some(shown(user)) }))
    }

    async fn update_profile(
        &self,
        request: Request<proto::UpdateProfileRequest>,
    ) -> Result<Response<proto::UpdateProfileResponse>, Status> {
        let (call, asked) = Call::of(request);
        let submitted = change_own(&self.0, &call, data([("name", Some(json!(asked.name)))])).await?;
        answer(&submitted, shown, |user, pending| proto::UpdateProfileResponse { user, pending })
    }

    async fn change_password(
        &self,
        request: Request<proto::ChangePasswordRequest>,
    ) -> Result<Response<proto::ChangePasswordResponse>, Status> {
        let (call, asked) = Call::of(request);
        let asked = self.0.forms.new_password.read(data([
            ("current_password", Some(json!(asked.current_password))),
            ("new_password", Some(json!(asked.new_password))),
        ]))?;
        let write = call.changes(call.caller()?.user)?;
        let submitted = self.0.change_password(&write, &asked, call.from()).await?;
        answer(&submitted, shown, |user, pending| proto::ChangePasswordResponse { user, pending })
    }

    async fn erase_personal_data(
        &self,
        request: Request<proto::ErasePersonalDataRequest>,
    ) -> Result<Response<proto::ErasePersonalDataResponse>, Status> {
        let (call, proto::ErasePersonalDataRequest {}) = Call::of(request);
        let write = call.changes(call.caller()?.user)?;
        let submitted = self.0.erase(&write, own(&self.0, &call, data([]))?).await?;
        answer(&submitted, shown, |user, pending| proto::ErasePersonalDataResponse { user, pending })
    }

    async fn grant_role(
        &self,
        request: Request<proto::GrantRoleRequest>,
    ) -> Result<Response<proto::GrantRoleResponse>, Status> {
        let (call, asked) = Call::of(request);
        let role = data([("role", given_role(asked.role)?.map(|role| json!(role)))]);
        let submitted = change::<ids::User>(&self.0, &call, &asked.id, role).await?;
        answer(&submitted, shown, |user, pending| proto::GrantRoleResponse { user, pending })
    }

    async fn revoke_role(
        &self,
        request: Request<proto::RevokeRoleRequest>,
    ) -> Result<Response<proto::RevokeRoleResponse>, Status> {
        let (call, asked) = Call::of(request);
        let role = data([("role", given_role(asked.role)?.map(|role| json!(role)))]);
        let submitted = change::<ids::User>(&self.0, &call, &asked.id, role).await?;
        answer(&submitted, shown, |user, pending| proto::RevokeRoleResponse { user, pending })
    }

    async fn deactivate(
        &self,
        request: Request<proto::DeactivateRequest>,
    ) -> Result<Response<proto::DeactivateResponse>, Status> {
        let (call, asked) = Call::of(request);
        let reason = data([("reason", Some(json!(asked.reason)))]);
        let submitted = change::<ids::User>(&self.0, &call, &asked.id, reason).await?;
        answer(&submitted, shown, |user, pending| proto::DeactivateResponse { user, pending })
    }

    async fn list_users(
        &self,
        request: Request<proto::ListUsersRequest>,
    ) -> Result<Response<proto::ListUsersResponse>, Status> {
        let (call, asked) = Call::of(request);
        let page = page(asked.page_size, &asked.page_token)?;
        let filter = UserFilter { status: given_stage(asked.status)?, role: given_role(asked.role)? };
        let listed = self.0.list_users(&call.read()?, &filter, &page).await?;
        Ok(Response::new(proto::ListUsersResponse {
            users: listed.items.into_iter().map(shown).collect(),
            next_page_token: listed.next.map(|next| next.to_string()).unwrap_or_default(),
        }))
    }
}

/// The role that is given; `None` when it is not set.
fn given_role(number: i32) -> Result<Option<users::Role>, Problem> {
    let Ok(role) = proto::Role::try_from(number) else {
        return Err(misfit("role", format_args!("{number} is no Role")));
    };
    Ok(match role {
        proto::Role::Unspecified => None,
        proto::Role::Customer => Some(users::Role::Customer),
        proto::Role::Merchant => Some(users::Role::Merchant),
        proto::Role::Auditor => Some(users::Role::Auditor),
        proto::Role::Operator => Some(users::Role::Operator),
        proto::Role::Developer => Some(users::Role::Developer),
        proto::Role::Admin => Some(users::Role::Admin),
    })
}

fn shown_role(role: users::Role) -> proto::Role {
    match role {
        users::Role::Customer => proto::Role::Customer,
        users::Role::Merchant => proto::Role::Merchant,
        users::Role::Auditor => proto::Role::Auditor,
        users::Role::Operator => proto::Role::Operator,
        users::Role::Developer => proto::Role::Developer,
        users::Role::Admin => proto::Role::Admin,
    }
}

/// The status that is given; `None` when it is not set.
fn given_stage(number: i32) -> Result<Option<Stage>, Problem> {
    let Ok(status) = proto::UserStatus::try_from(number) else {
        return Err(misfit("status", format_args!("{number} is no UserStatus")));
    };
    Ok(match status {
        proto::UserStatus::Unspecified => None,
        proto::UserStatus::Registering => Some(Stage::Registering),
        proto::UserStatus::Active => Some(Stage::Active),
        proto::UserStatus::Rejected => Some(Stage::Rejected),
        proto::UserStatus::Deactivated => Some(Stage::Deactivated),
        proto::UserStatus::Erased => Some(Stage::Erased),
    })
}

fn shown_stage(status: Stage) -> proto::UserStatus {
    match status {
        Stage::Registering => proto::UserStatus::Registering,
        Stage::Active => proto::UserStatus::Active,
        Stage::Rejected => proto::UserStatus::Rejected,
        Stage::Deactivated => proto::UserStatus::Deactivated,
        Stage::Erased => proto::UserStatus::Erased,
    }
}

fn given(tokens: Tokens) -> proto::Tokens {
    proto::Tokens {
        access_token: tokens.access_token,
        token_type: tokens.token_type.to_owned(),
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh_token,
    }
}

fn shown(user: users::User) -> proto::User {
    let session = |session: users::ShownSession| proto::Session {
        id: session.id.to_string(),
        refreshed: session.refreshed,
        expires_at: Some(time(session.expires_at)),
    };
    proto::User {
        id: user.id.to_string(),
        version: user.version,
        created_at: Some(time(user.created_at)),
        updated_at: Some(time(user.updated_at)),
        status: shown_stage(user.status).into(),
        email: user.email.map(|email| email.as_str().to_owned()),
        name: user.name.map(|name| name.as_str().to_owned()),
        roles: user.roles.into_iter().map(|role| shown_role(role).into()).collect(),
        sessions: user.sessions.into_iter().map(session).collect(),
    }
}
