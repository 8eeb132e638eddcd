//! Access: who calls, and what they may do. A token is checked once; until it expires (another issuer's: for as long as its
//! keys are) its caller is remembered under the token's hash, so that a signature costs nothing beside a command.
//!
//! It must never log a token, never trust a claim before its signature, and never decide ownership: that is the
//! decider's.

pub(crate) mod attempts;
mod issuer;
mod keys;
mod operations;
mod revocations;

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Query, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
};
pub use factfold_schemas::users::Role;
use factfold_schemas::{
    command::Auth,
    ids::{SessionId, UserId},
};
use factfold_vault::Vault;
use jiff::Timestamp;
use jsonwebtoken::get_current_timestamp;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use self::issuer::{Issuer, KEYS_TIME};
pub(crate) use self::keys::TICKET_TIME;
pub(crate) use self::revocations::Revocations;
pub use self::{
    issuer::{TrustedIssuer, UntrustedIssuer},
    keys::{InvalidToken, Keys, KeysError},
    operations::{Operation, Who},
};
use crate::{
    freshness::failed,
    gateway::Gateway,
    problems::{Answer, Problem},
};

/// How many tokens are remembered at most.
const TOKENS_MAX: usize = 10_000;

/// Somebody with a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`.
    pub user: UserId,
    roles: Vec<Role>,
    /// When the token ends, in seconds since 1970.
    expires: u64,
    /// The session that the token belongs to.
    pub(crate) session: Option<SessionId>,
    /// The version of the user when the token was made; 0 where it was made without looking.
    version: u64,
}

/// How long an access token is good.
pub(crate) const ACCESS_TIME: Duration = Duration::from_secs(15 * 60);

impl Caller {
    /// Somebody who has not said who that is, or is about to.
    pub(crate) const fn nobody() -> Self {
        let user = UserId::new(uuid::Uuid::nil());
        Self { user, roles: Vec::new(), expires: u64::MAX, session: None, version: 0 }
    }

    /// Somebody who has just shown who that is.
    pub(crate) fn proven(user: UserId) -> Self {
        Self { user, ..Self::nobody() }
    }

    /// On whose behalf the caller's commands are.
    pub(crate) fn auth(&self) -> Auth {
        if self.user.uuid().is_nil() {
            Auth::Other("unauthenticated".to_owned(), None)
        } else {
            Auth::User(self.user.to_string())
        }
    }

    /// What the token says that the caller may.
    pub(crate) fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Whether the caller has this role, or all of them.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// Whether the caller may see what belongs to others.
    pub(crate) fn sees_all_orders(&self) -> bool {
        self.is(Role::Merchant) || self.is(Role::Auditor)
    }

    /// Refuses whoever has none of these roles, and names them.
    fn require_one_of(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.iter().any(|role| self.is(*role)) {
            return Ok(());
        }
        let needed = roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(" or ");
        Err(Problem::new("forbidden", format!("this needs the role {needed}, which the token does not give"))
            .with_header(header::WWW_AUTHENTICATE, r#"Bearer realm="factfold", error="insufficient_scope""#))
    }

    /// How long the caller's token is still good.
    pub(crate) fn expires_in(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(self.expires).saturating_sub(now)
    }

    /// The source of the caller's commands.
    pub(crate) fn source(&self) -> String {
        format!("/clients/{}", self.user)
    }
}

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) keys: Arc<Keys>,
    issuer: Option<Arc<Issuer>>,
    known: Cache<[u8; 32], Known>,
    revocations: Revocations,
}

/// Whose token was checked, and until when that is remembered, in seconds since 1970.
#[derive(Debug, Clone)]
struct Known {
    caller: Caller,
    until: u64,
}

impl Access {
    pub(crate) fn new(keys: Arc<Keys>, revocations: Revocations) -> Self {
        Self { keys, issuer: None, known: Cache::new(TOKENS_MAX), revocations }
    }

    /// Takes the tokens of this issuer, too. It is asked for its keys beside, so that they are there before the first token,
    /// and a name that is wrong stands in the log.
    pub(crate) fn trusting(self, issuer: TrustedIssuer, vault: Arc<Vault>) -> io::Result<Self> {
        let issuer = Arc::new(Issuer::new(issuer, vault)?);
        let asked = issuer.clone();
        tokio::spawn(async move { asked.ask().await });
        Ok(Self { issuer: Some(issuer), ..self })
    }

    /// The public keys, as a JSON Web Key Set.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.keys.jwks()
    }

    /// The caller whose token this is.
    pub(crate) async fn check(&self, token: &str) -> Result<Caller, InvalidToken> {
        let caller = self.verify(token).await?;
        if self.revocations.include(&caller) { Err(InvalidToken::Revoked) } else { Ok(caller) }
    }

    /// Ready once this caller's token is good no more, before its time: whatever goes on in the caller's name ends then.
    pub(crate) async fn revoked(&self, caller: &Caller) {
        self.revocations.come_to(caller).await;
    }

    async fn verify(&self, token: &str) -> Result<Caller, InvalidToken> {
        let (hash, now): ([u8; 32], _) = (Sha256::digest(token).into(), get_current_timestamp());
        if let Some(known) = self.known.get(&hash).filter(|known| known.until > now) {
            return Ok(known.caller);
        }
        let known = match (self.keys.verify(token), &self.issuer) {
            (Ok(caller), _) => Known { until: caller.expires, caller },
            (Err(InvalidToken::Invalid), Some(issuer)) => {
                let caller = issuer.verify(token).await?;
                Known { until: caller.expires.min(now + KEYS_TIME.as_secs()), caller }
            }
            (Err(error), _) => return Err(error),
        };
        self.known.insert(hash, known.clone());
        Ok(known.caller)
    }

    /// A ticket in the name of this caller.
    pub(crate) fn ticket(&self, caller: &Caller) -> Result<String, KeysError> {
        self.keys.ticket(caller)
    }

    /// The caller of this request; `None` when it does not say who it is. A token that is there must be valid, also where
    /// none is needed.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            // Somebody on the way may have looked at another one than we would.
            return Err(challenge("the header Authorization must be there once"));
        }
        let token = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let Some(token) = token else {
            return Err(challenge("the header Authorization must be `Bearer <token>`"));
        };
        self.check(token).await.map(Some).map_err(|error| match error {
            InvalidToken::Unknown => Problem::new("issuer-unavailable", error.to_string()).retry_after(5),
            error => challenge(&error.to_string()),
        })
    }
}

/// Lets through only who may ask for this, before anything else of the request is looked at.
pub(crate) async fn guard(
    State((gateway, operation)): State<(Gateway, Operation)>,
    request: Request,
    next: Next,
) -> Answer {
    if operation.who() != Who::Everyone {
        let (mut parts, body) = request.into_parts();
        if operation.takes_tickets()
            && let Some(ticket) = ticket_in(&parts)
        {
            let caller = redeem(&gateway, &ticket).await?;
            parts.extensions.insert(caller);
        }
        let caller = <Caller as FromRequestParts<Gateway>>::from_request_parts(&mut parts, &gateway).await?;
        operation.allow(&caller)?;
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    Ok(next.run(request).await)
}

/// `?ticket=` of this request.
fn ticket_in(parts: &Parts) -> Option<String> {
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).ok()?;
    parameters.into_iter().find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket)
}

/// The caller in whose name a ticket was made. It is used up, whatever becomes of the request.
async fn redeem(gateway: &Gateway, ticket: &str) -> Result<Caller, Problem> {
    let ticket = gateway.access.keys.verify_ticket(ticket).map_err(|error| challenge(&error.to_string()))?;
    let expires_at =
        i64::try_from(ticket.expires).ok().and_then(|second| Timestamp::from_second(second).ok());
    let expires_at = expires_at.unwrap_or(Timestamp::MAX);
    match gateway.reads.take_ticket(ticket.id, expires_at).await {
        Ok(true) => Ok(ticket.caller),
        Ok(false) => Err(challenge("the ticket was used before: get a new one")),
        Err(error) => Err(failed(error)),
    }
}

impl OptionalFromRequestParts<Gateway> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Option<Self>, Problem> {
        match parts.extensions.get::<Self>() {
            Some(redeemed) => Ok(Some(redeemed.clone())),
            None => gateway.access.caller(&parts.headers).await,
        }
    }
}

impl FromRequestParts<Gateway> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let caller = <Self as OptionalFromRequestParts<Gateway>>::from_request_parts(parts, gateway).await?;
        caller.ok_or_else(unauthenticated)
    }
}

/// Somebody has not said who that is. RFC 6750: who sent no token at all is told no error, only how to do it.
pub(crate) fn unauthenticated() -> Problem {
    Problem::new("unauthenticated", "this needs an access token: `Authorization: Bearer <token>`")
        .with_header(header::WWW_AUTHENTICATE, r#"Bearer realm="factfold""#)
}

fn challenge(detail: &str) -> Problem {
    Problem::new("unauthenticated", detail)
        .with_header(header::WWW_AUTHENTICATE, r#"Bearer realm="factfold", error="invalid_token""#)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_remembered_token_still_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Arc::new(Keys::load_or_create(&folder.path().join("key.pem")).expect("keys"));
        let access = Access::new(keys.clone(), Revocations::none());
        let user = UserId::generate();
        let token = keys.issue(user, &[Role::Customer], Duration::from_secs(600)).expect("a token");
        let caller = access.check(&token).await.expect("a caller");
        assert_eq!(caller.user, user);
        assert!(caller.is(Role::Customer) && !caller.is(Role::Merchant));

        let hash = |token: &str| -> [u8; 32] { Sha256::digest(token).into() };
        let known = access.known.get(&hash(&token)).expect("it is remembered");
        assert_eq!((known.caller, known.until), (caller.clone(), caller.expires));

        // What no key has signed shows that nothing but the memory was asked.
        let now = get_current_timestamp();
        let remember =
            |token, until| access.known.insert(hash(token), Known { caller: caller.clone(), until });
        remember("remembered", now + 600);
        assert_eq!(access.check("remembered").await, Ok(caller.clone()));
        // What is remembered says who it is, and not that it still is.
        let over = keys.issue(user, &[Role::Customer], Duration::ZERO).expect("a token");
        remember(&over, now);
        assert_eq!(access.check(&over).await, Err(InvalidToken::Expired));
    }

    #[test]
    fn an_admin_may_do_everything() {
        let caller = Caller { roles: vec![Role::Admin], ..Caller::proven(UserId::generate()) };
        assert!(caller.is(Role::Merchant));
    }
}
