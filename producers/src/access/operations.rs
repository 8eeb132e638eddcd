//! Everything that can be asked of the gateway, and who may ask it: one table for routes, RPCs and commands alike. A
//! command has the same rule by whatever way it comes.

use axum::http::Method;

use super::{Caller, Role};
use crate::problems::Problem;

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody, also without a token.
    Everyone,
    /// Everybody with a token, about what is theirs. Whose it is, is for the decider or the read model to say; to others
    /// it is not there.
    Owner,
    /// Whoever has one of these roles. (An admin has them all.)
    Roles(&'static [Role]),
    /// Only the system's own reactors and timers.
    System,
}

/// Something that can be asked of the gateway. One that sends a command is called like the command's type.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[expect(missing_docs, reason = "the table says it")]
pub enum Operation {
    DeployFunction,
    CallFunction,
    GetFunctionCall,
    ListFunctions,
    GetFunction,
    GetFunctionSource,
    ReadFunctionLogs,
    RollBackFunction,
    BindFunction,
    UnbindFunction,
    ScheduleFunction,
    UnscheduleFunction,
    ConfigureFunction,
    TickFunction,
    RemoveFunction,

    ListGoods,
    GetGoods,
    AddGoods,
    UpdateGoods,
    AdjustStock,
    DiscontinueGoods,
    ReserveStock,
    ReleaseStock,

    ListOrders,
    GetOrder,
    CreateOrder,
    PayOrder,
    RefundOrder,
    CancelOrder,
    RecordReservation,
    RejectOrder,
    ExpireOrder,

    Register,
    ShowMe,
    UpdateProfile,
    SetPassword,
    ErasePersonalData,
    ListUsers,
    GrantRole,
    RevokeRole,
    DeactivateUser,
    LogIn,
    Refresh,
    LogOut,
    RegisterUser,
    ConfirmRegistration,
    RejectRegistration,
    ExpireRegistration,
    ChangePassword,
    OpenSession,
    RefreshSession,
    EndSession,
    ClaimEmail,
    ConfirmEmail,
    ReleaseEmail,
    RecordLogin,

    SendCommands,
    GetCommand,

    ReadStream,
    ReadService,
    CreateTicket,

    ListProjections,
    RebuildProjection,
    ShowOpenApi,
    ShowAsyncApi,
    ReadDocs,
    FetchDocsFile,
    ExplainProblem,
    ListKeys,
    IsAlive,
    IsReady,
}

/// Who may, and how it is asked.
struct Row {
    who: Who,
    http: Option<(Method, &'static str)>,
}

const CUSTOMER: Who = Who::Roles(&[Role::Customer]);
const MERCHANT: Who = Who::Roles(&[Role::Merchant]);
const ADMIN: Who = Who::Roles(&[Role::Admin]);
const AUDITOR: Who = Who::Roles(&[Role::Auditor]);
const DEVELOPER: Who = Who::Roles(&[Role::Developer]);
const OPERATOR: Who = Who::Roles(&[Role::Operator]);

impl Operation {
    /// The table.
    #[rustfmt::skip]
    fn row(self) -> Row {
        use Who::{Everyone, Owner};
        const GET: Method = Method::GET;
        const POST: Method = Method::POST;
        const PATCH: Method = Method::PATCH;
        const PUT: Method = Method::PUT;
        const DELETE: Method = Method::DELETE;
        match self {
            Self::DeployFunction    => row(DEVELOPER, PUT,   "/v1/functions/{name}"),
            // With a token, or without one where it was deployed for everybody: the handler looks.
            Self::CallFunction      => row(Everyone, POST,   "/fn/{name}"),
            // Who called, developers, and whoever knows the id of a call that was nobody's: the handler looks.
            Self::GetFunctionCall   => row(Everyone, GET,    "/v1/functions/{name}/calls/{call}"),
            Self::ListFunctions     => row(DEVELOPER, GET,   "/v1/functions"),
            Self::GetFunction       => row(DEVELOPER, GET,   "/v1/functions/{name}"),
            Self::GetFunctionSource => row(DEVELOPER, GET,   "/v1/functions/{name}/source"),
            Self::ReadFunctionLogs  => row(DEVELOPER, GET,   "/v1/functions/{name}/logs"),
            Self::RollBackFunction  => row(DEVELOPER, POST,  "/v1/functions/{name}/rollback"),
            Self::BindFunction      => row(DEVELOPER, PUT,   "/v1/functions/{name}/binding"),
            Self::UnbindFunction    => row(DEVELOPER, DELETE, "/v1/functions/{name}/binding"),
            Self::ScheduleFunction  => row(DEVELOPER, PUT,   "/v1/functions/{name}/schedule"),
            Self::UnscheduleFunction => row(DEVELOPER, DELETE, "/v1/functions/{name}/schedule"),
            Self::ConfigureFunction => row(DEVELOPER, PATCH, "/v1/functions/{name}/configuration"),
            Self::TickFunction      => internal(),
            Self::RemoveFunction    => row(DEVELOPER, DELETE, "/v1/functions/{name}"),

            Self::ListGoods         => row(Everyone, GET,    "/v1/goods"),
            Self::GetGoods          => row(Everyone, GET,    "/v1/goods/{id}"),
            Self::AddGoods          => row(MERCHANT, POST,   "/v1/goods"),
            Self::UpdateGoods       => row(MERCHANT, PATCH,  "/v1/goods/{id}"),
            Self::AdjustStock       => row(MERCHANT, POST,   "/v1/goods/{id}/stock-adjustments"),
            Self::DiscontinueGoods  => row(MERCHANT, POST,   "/v1/goods/{id}/discontinuation"),
            Self::ReserveStock      => internal(),
            Self::ReleaseStock      => internal(),

            // One's own; merchants and auditors see all.
            Self::ListOrders        => row(Owner,    GET,    "/v1/orders"),
            Self::GetOrder          => row(Owner,    GET,    "/v1/orders/{id}"),
            Self::CreateOrder       => row(CUSTOMER, POST,   "/v1/orders"),
            Self::PayOrder          => row(Owner,    POST,   "/v1/orders/{id}/payment"),
            Self::RefundOrder       => row(MERCHANT, POST,   "/v1/orders/{id}/refunds"),
            Self::CancelOrder       => row(Owner,    POST,   "/v1/orders/{id}/cancellation"),
            Self::RecordReservation => internal(),
            Self::RejectOrder       => internal(),
            Self::ExpireOrder       => internal(),

            Self::Register          => row(Everyone, POST,   "/v1/users"),
            Self::ShowMe            => row(Owner,    GET,    "/v1/users/me"),
            Self::UpdateProfile     => row(Owner,    PATCH,  "/v1/users/me"),
            Self::SetPassword       => row(Owner,    PUT,    "/v1/users/me/password"),
            Self::ErasePersonalData => row(Owner,    DELETE, "/v1/users/me/personal-data"),
            Self::ListUsers         => row(ADMIN,    GET,    "/v1/users"),
            Self::GrantRole         => row(ADMIN,    PUT,    "/v1/users/{id}/roles/{role}"),
            Self::RevokeRole        => row(ADMIN,    DELETE, "/v1/users/{id}/roles/{role}"),
            Self::DeactivateUser    => row(ADMIN,    POST,   "/v1/users/{id}/deactivation"),
            Self::LogIn             => row(Everyone, POST,   "/v1/sessions"),
            Self::Refresh           => row(Everyone, POST,   "/v1/sessions/refresh"),
            Self::LogOut            => row(Owner,    DELETE, "/v1/sessions/current"),
            // Nobody sends them as they are: the routes above do, once a password is checked; and the reactors.
            Self::RegisterUser
            | Self::ConfirmRegistration
            | Self::RejectRegistration
            | Self::ExpireRegistration
            | Self::ChangePassword
            | Self::OpenSession
            | Self::RefreshSession
            | Self::EndSession
            | Self::ClaimEmail
            | Self::ConfirmEmail
            | Self::ReleaseEmail
            | Self::RecordLogin     => internal(),

            // Each command has the rule of its own line besides; its sender sees its outcome.
            Self::SendCommands      => row(Owner,    POST,   "/v1/commands"),
            Self::GetCommand        => row(Owner,    GET,    "/v1/commands/{id}"),

            // A stream's owner sees its history; auditors see all.
            Self::ReadStream        => row(Owner,    GET,    "/v1/streams/{stream}/events"),
            Self::ReadService       => row(AUDITOR,  GET,    "/v1/services/{service}/events"),
            Self::CreateTicket      => row(Owner,    POST,   "/v1/sessions/tickets"),

            Self::ListProjections   => row(OPERATOR, GET,    "/v1/projections"),
            Self::RebuildProjection => row(OPERATOR, POST,   "/v1/projections/{name}/rebuilds"),
            Self::ShowOpenApi       => row(Everyone, GET,    "/openapi.json"),
            Self::ShowAsyncApi      => row(Everyone, GET,    "/asyncapi.json"),
            Self::ReadDocs          => row(Everyone, GET,    "/docs"),
            Self::FetchDocsFile     => row(Everyone, GET,    "/docs/{name}"),
            Self::ExplainProblem    => row(Everyone, GET,    "/problems/{name}"),
            Self::ListKeys          => row(Everyone, GET,    "/.well-known/jwks.json"),
            Self::IsAlive           => row(Everyone, GET,    "/healthz"),
            Self::IsReady           => row(Everyone, GET,    "/readyz"),
        }
    }

    /// All of them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// `AddGoods`
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The one that sends commands of this type; `None` when there is no such type.
    pub(crate) fn sending(type_name: &str) -> Option<Self> {
        type_name.parse().ok()
    }

    /// The one that an RPC of this name asks for: they are called alike, but for a few that gRPC calls otherwise.
    pub fn of_rpc(name: &str) -> Option<Self> {
        match name {
            "Login" => Some(Self::LogIn),
            "Logout" => Some(Self::LogOut),
            "GetMe" => Some(Self::ShowMe),
            "ChangePassword" => Some(Self::SetPassword),
            "Deactivate" => Some(Self::DeactivateUser),
            name => name.parse().ok(),
        }
    }

    /// Whether clients can send it as an event: not what only the system sends, nor what its route must look at first.
    pub(crate) fn takes_events(self) -> bool {
        self.who() != Who::System && self != Self::DeployFunction
    }

    /// Who may ask for it.
    pub fn who(self) -> Who {
        self.row().who
    }

    /// Its method and path; `None` when it has no route.
    pub fn http(self) -> Option<(Method, &'static str)> {
        self.row().http
    }

    /// Whether a ticket is as good as a token: where browsers cannot send one.
    pub(super) const fn takes_tickets(self) -> bool {
        matches!(self, Self::ReadStream | Self::ReadService)
    }

    /// Refuses whoever may not ask for it.
    pub(crate) fn allow(self, caller: &Caller) -> Result<(), Problem> {
        match self.who() {
            Who::Everyone | Who::Owner => Ok(()),
            Who::Roles(roles) => caller.require_one_of(roles),
            Who::System => {
                Err(Problem::new("forbidden", format!("only the system itself sends {}", self.name())))
            }
        }
    }
}

fn row(who: Who, method: Method, path: &'static str) -> Row {
    Row { who, http: Some((method, path)) }
}

/// A command of the system's own.
fn internal() -> Row {
    Row { who: Who::System, http: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use factfold_schemas::{functions, goods, orders, users};
    use strum::VariantNames;

    use super::*;

    #[test]
    fn every_command_has_a_rule_and_what_is_internal_here_is_internal_in_the_language() {
        let commands: BTreeSet<&str> = [
            functions::Command::VARIANTS,
            goods::Command::VARIANTS,
            orders::Command::VARIANTS,
            users::Command::VARIANTS,
        ]
        .concat()
        .into_iter()
        .collect();
        let internal: BTreeSet<&str> = [
            functions::Command::INTERNAL,
            goods::Command::INTERNAL,
            orders::Command::INTERNAL,
            users::Command::INTERNAL,
        ]
        .concat()
        .into_iter()
        .collect();
        for name in &commands {
            let operation = Operation::sending(name).unwrap_or_else(|| panic!("{name} needs a rule"));
            assert_eq!(operation.who() == Who::System, internal.contains(name), "{name}");
        }
        for operation in Operation::ALL.iter().filter(|operation| operation.who() == Who::System) {
            assert!(internal.contains(operation.name()), "{operation:?} is no command");
        }
    }

    #[test]
    fn no_two_have_the_same_route() {
        let mut seen = BTreeSet::new();
        for (method, path) in Operation::ALL.iter().filter_map(|operation| operation.http()) {
            assert!(seen.insert((method.to_string(), path)), "{method} {path}");
        }
    }
}
