//! Accounts, by whatever way they are asked for: how somebody becomes a user, comes in, goes on, and is forgotten. What is
//! checked here is what only the gateway can check (a password); all else is the decider's.
//!
//! Nothing here may tell whether an address has an account, but for whoever tries to register it.

mod forms;

use std::{net::IpAddr, sync::Arc, time::Duration};

use factfold_projections::{Credentials, Page, PageRequest, Projection, UserFilter, UserRow};
use factfold_schemas::{
    codec::{self, Named as _, encode},
    email::NormalEmail,
    ids::{self, EmailId, SessionId, StreamId, UserId},
    json::Misfit,
    personal::Personal,
    record::{Answer, Reply},
    rejection::{Reject as _, Rejection},
    topics::Service,
    users::{
        self, ChangePassword, Command, EndSession, OpenSession, RecordLogin, RefreshSession, RegisterUser,
        RegistrationFailure, Status, User,
    },
};
use factfold_vault::{Opened, Unprotected, Vault};
use schemars::JsonSchema;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use self::forms::{Forms, Login, NewPassword, Refreshing, Registration};
use crate::{
    access::{ACCESS_TIME, Caller, InvalidToken},
    freshness::failed,
    gateway::Gateway,
    passwords::weakness,
    problems::{FieldError, Problem},
    reading::{read::Read, write::Write},
    settings::OWN_WRITES_TIME,
    submitting::Submitted,
    vocabulary::Checked,
};

/// How long it may take to find out whether another gateway has made a key.
const KEY_TIME: Duration = Duration::from_secs(1);
/// How long an erasure may take to have come to every key that this gateway knows.
const ERASE_TIME: Duration = Duration::from_secs(5);

/// What somebody gets who is let in (RFC 6749).
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct Tokens {
    /// For `Authorization: Bearer`.
    pub(crate) access_token: String,
    /// `Bearer`
    pub(crate) token_type: &'static str,
    /// How long the access token is good, in seconds.
    pub(crate) expires_in: u64,
    /// For the next access token. It is good for one time.
    pub(crate) refresh_token: String,
}

impl Gateway {
    /// Makes an account, and waits until its address is claimed: then its user can log in at once.
    pub(crate) async fn register(&self, write: &Write, asked: Registration) -> Result<Submitted, Problem> {
        let email = NormalEmail::parse(&asked.email);
        let known = [asked.email.as_str(), asked.name.as_str()];
        let misfits = [
            email.as_ref().err().map(|error| Misfit::new("/email", error.to_string())),
            weakness(&asked.password, &known).map(|why| Misfit::new("/password", why)),
        ];
        refuse(misfits)?;
        let user = write.creates::<ids::User>()?;
        let password_hash = self.hashed(write, &asked.password).await?;
        let register = RegisterUser {
            email: Personal::new(asked.email),
            name: Personal::new(asked.name),
            password_hash,
            email_id: None,
        };
        let deadline = Instant::now() + write.prefer.patience().saturating_sub(write.arrived.elapsed());
        let command = match self.protected(user, Command::RegisterUser(register)).await {
            Ok(command) => command,
            // It came before under this key, came to nothing, and what it said is forgotten. The answer is the same again.
            Err(problem) if self.vault.has_erased(user) => {
                let row = self.reads.wait_for_registration(user, deadline).await.map_err(failed)?;
                return Err(row.as_ref().and_then(came_to_nothing).unwrap_or(problem));
            }
            Err(problem) => return Err(problem),
        };
        let submitted = self.submit(write, checked(&command), &user.stream()).await?;
        if submitted.settled()?.is_none() {
            return Ok(submitted);
        }
        let row = self.reads.wait_for_registration(user, deadline).await.map_err(failed)?;
        if let Some(problem) = row.as_ref().and_then(came_to_nothing) {
            return Err(problem);
        }
        match row {
            Some(row) if row.user.status != Status::Registering => {
                let resource = serde_json::to_value(self.opened(row.user)).ok();
                Ok(submitted.with_resource(resource))
            }
            _ => Ok(Submitted { reply: None, ..submitted }),
        }
    }

    /// Lets somebody in. Whatever is wrong (no such address, another password, too many before), it takes as long and says as
    /// little.
    pub(crate) async fn log_in(
        &self,
        write: &Write,
        asked: &Login,
        from: Option<IpAddr>,
    ) -> Result<Tokens, Problem> {
        self.refuse_the_persistent(from)?;
        let email = NormalEmail::parse(&asked.email)
            .map_err(|error| invalid(&[Misfit::new("/email", error.to_string())]))?;
        let email_id = self.vault.email_id(&email);
        let credentials = self.reads.credentials(email_id).await.map_err(failed)?;
        let is_right =
            self.try_password(write, email_id, credentials.as_ref(), &asked.password, from).await?;
        let Some(credentials) = credentials.filter(|_| is_right) else { return Err(wrong_credentials()) };
        let write = write.proven(credentials.user_id, 1);
        let session_id = write.identity.resource_id::<ids::Session>();
        let command =
            Command::OpenSession(OpenSession { session_id, password_number: credentials.password_number });
        match self.decide(&write, &command, &credentials.user_id.stream()).await? {
            Ok(reply) => self.tokens(&reply, session_id),
            // Closed, or with another password since it was looked up.
            Err(_) => Err(wrong_credentials()),
        }
    }

    /// The next tokens of a session.
    pub(crate) async fn refresh(&self, write: &Write, token: &str) -> Result<Tokens, Problem> {
        let over = || session_over("the session has ended: log in again");
        let refresh = self.access.keys.verify_refresh(token).map_err(|error| match error {
            InvalidToken::Expired => over(),
            _ => session_over("this is no refresh token of ours"),
        })?;
        let command =
            Command::RefreshSession(RefreshSession { session_id: refresh.session, number: refresh.number });
        let write = write.proven(refresh.user, 0);
        match self.decide(&write, &command, &refresh.user.stream()).await? {
            Ok(reply) => self.tokens(&reply, refresh.session),
            Err(_) => Err(over()),
        }
    }

    /// Ends the session that the caller's token belongs to.
    pub(crate) async fn log_out(&self, write: &Write) -> Result<(), Problem> {
        let session_id = write.caller.session.ok_or_else(|| {
            Problem::new("no-session", "this token was not made by a log-in, so there is nothing to end")
        })?;
        let command = Command::EndSession(EndSession { session_id });
        match self.decide(write, &command, &write.caller.user.stream()).await? {
            Ok(_) => Ok(()),
            Err(rejection) => Err(Problem::rejected(&rejection)),
        }
    }

    /// Gives the caller another password, against the present one.
    pub(crate) async fn change_password(
        &self,
        write: &Write,
        asked: &NewPassword,
        from: Option<IpAddr>,
    ) -> Result<Submitted, Problem> {
        self.refuse_the_persistent(from)?;
        refuse([weakness(&asked.new_password, &[]).map(|why| Misfit::new("/new_password", why))])?;
        let user = write.caller.user;
        let credentials = self.reads.credentials_of(user).await.map_err(failed)?;
        let credentials = credentials.ok_or_else(not_found)?;
        let (email_id, password) = (credentials.email_id, &asked.current_password);
        if !self.try_password(write, email_id, Some(&credentials), password, from).await? {
            return Err(invalid(&[Misfit::new("/current_password", "is not your password")]));
        }
        let password_hash = self.hashed(write, &asked.new_password).await?;
        let change = ChangePassword { password_hash, password_number: credentials.password_number };
        let submitted = self.submit(write, checked(&Command::ChangePassword(change)), &user.stream()).await?;
        if matches!(submitted.settled(), Ok(Some(_))) {
            // Whoever logs in next says nothing of this write, and a log-in looks at the read model.
            let deadline = Instant::now() + OWN_WRITES_TIME;
            self.include(Projection::Users, &[submitted.position], deadline).await?;
        }
        Ok(submitted)
    }

    /// Forgets the caller, and answers when that is true here.
    pub(crate) async fn erase(&self, write: &Write, command: Checked) -> Result<Submitted, Problem> {
        let user = write.caller.user;
        let submitted = self.submit(write, command, &user.stream()).await?;
        if submitted.settled()?.is_some() {
            let vault = Arc::clone(&self.vault);
            let waited = tokio::task::spawn_blocking(move || vault.wait_until_erased(user, ERASE_TIME));
            if !waited.await.unwrap_or(false) {
                tracing::warn!(user.id = %user, "an erasure has not come to the keys yet");
            }
        }
        Ok(submitted)
    }

    /// This user, as it may be seen.
    pub(crate) async fn user(&self, read: &Read, id: UserId) -> Result<User, Problem> {
        self.freshen(read, Projection::Users, Some(&id.stream())).await?;
        let row = self.reads.user(id).await.map_err(failed)?;
        row.map(|row| self.opened(row.user)).ok_or_else(not_found)
    }

    /// A page of users.
    pub(crate) async fn list_users(
        &self,
        read: &Read,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>, Problem> {
        self.freshen(read, Projection::Users, None).await?;
        let mut users = self.reads.list_users(filter, page).await.map_err(failed)?;
        users.items = users.items.into_iter().map(|user| self.opened(user)).collect();
        Ok(users)
    }

    /// The hash of a new password. Its salt is made of the request's own id: a repeat under its key is the same command, to the
    /// byte.
    async fn hashed(&self, write: &Write, password: &str) -> Result<String, Problem> {
        let salt = self.vault.salt(&format!("password {}", write.identity.of_entry(0).command_id()));
        self.passwords.hash(password, salt).await
    }

    /// The command, with what it says about this person sealed.
    async fn protected(&self, subject: UserId, command: Command) -> Result<Command, Problem> {
        let vault = Arc::clone(&self.vault);
        // A person's first key is written to Kafka, and read back.
        let protecting = tokio::task::spawn_blocking(move || protect(&vault, subject, command));
        protecting.await.map_err(|error| {
            tracing::error!(%error, "sealing personal data broke off");
            Problem::new("internal-error", "the command could not be sealed")
        })?
    }

    /// A checked command, with what it says about a person sealed. Whoever has no key is nobody.
    pub(crate) async fn sealed_for_a_person(
        &self,
        command: Checked,
        stream: &StreamId,
    ) -> Result<Checked, Problem> {
        let is_personal = users::Command::PERSONAL.contains(&command.type_name);
        let Some(subject) = UserId::of_stream(stream.as_str()).filter(|_| is_personal) else {
            return Ok(command);
        };
        if !self.knows(subject).await {
            return Err(not_found());
        }
        let decoded = codec::decode(command.type_name, &command.value).map_err(|error| {
            tracing::error!(%error, "a checked command cannot be read");
            Problem::new("internal-error", "the command could not be sealed")
        })?;
        protect(&self.vault, subject, decoded).map(|command| checked(&command))
    }

    /// Whether this person has, or had, a key: also who has registered a moment ago, through another gateway.
    async fn knows(&self, subject: UserId) -> bool {
        if self.vault.knows(subject) {
            return true;
        }
        let vault = Arc::clone(&self.vault);
        let asking = tokio::task::spawn_blocking(move || vault.look_up(subject, KEY_TIME));
        asking.await.unwrap_or(false)
    }

    /// What a reply of the users service says about a person, opened for whoever asked.
    pub(crate) fn revealed(&self, reply: &Reply) -> Reply {
        let opened = |value: &Value| {
            let user = User::deserialize(value).ok()?;
            serde_json::to_value(self.opened(user)).ok()
        };
        Reply { resource: reply.resource.as_ref().and_then(opened), ..reply.clone() }
    }

    fn opened(&self, user: User) -> User {
        let open = |field, text: &Option<Personal>| match self.vault.open_text(user.id, field, text.as_ref()?)
        {
            Opened::Text(text) => Some(Personal::new(text)),
            Opened::Erased | Opened::Unreadable => None,
        };
        User { email: open("email", &user.email), name: open("name", &user.name), ..user }
    }

    /// Whether this is the password. That it was tried is a fact, and too many wrong ones are refused.
    async fn try_password(
        &self,
        write: &Write,
        email_id: EmailId,
        credentials: Option<&Credentials>,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<bool, Problem> {
        let hash = credentials.map(|credentials| credentials.password_hash.as_str());
        let succeeded = self.passwords.is_right(password, hash).await?;
        let user_id = credentials.map(|credentials| credentials.user_id);
        let command = Command::RecordLogin(RecordLogin { user_id, succeeded });
        // It is nobody's yet, whoever's password it is.
        let write = Write { caller: Caller::nobody(), ..write.proven(write.caller.user, 0) };
        if let Err(rejection) = self.decide(&write, &command, &email_id.stream()).await? {
            return Err(match rejection.typed() {
                Some(users::Rejection::TooManyAttempts { blocked_until }) => {
                    let left = blocked_until.duration_since(jiff::Timestamp::now());
                    too_many_attempts(left.unsigned_abs())
                }
                _ => Problem::rejected(&rejection),
            });
        }
        if let Some(from) = from.filter(|_| !succeeded) {
            self.attempts.failed(from);
        }
        Ok(succeeded)
    }

    fn refuse_the_persistent(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        match from.and_then(|from| self.attempts.wait_of(from)) {
            Some(left) => Err(too_many_attempts(left)),
            None => Ok(()),
        }
    }

    /// Sends a command, and waits for its decision: nothing can be answered without. A rejection that is no failure is none.
    async fn decide(
        &self,
        write: &Write,
        command: &Command,
        stream: &StreamId,
    ) -> Result<Result<Arc<Reply>, Rejection>, Problem> {
        let submitted = self.submit(write, checked(command), stream).await?;
        let reply = submitted.reply.ok_or_else(|| {
            Problem::new("outcome-unknown", "it was not decided in time: try it again in a moment")
        })?;
        match &reply.answer {
            Answer::Rejected { rejection } => Ok(Err(rejection.clone())),
            Answer::DeadLettered { reason } => Err(Problem::new("dead-lettered", reason.detail.clone())),
            Answer::Accepted { .. } | Answer::NoChange | Answer::Scheduled { .. } => Ok(Ok(reply)),
        }
    }

    /// The tokens of this session, as the decision left its user.
    fn tokens(&self, reply: &Reply, session_id: SessionId) -> Result<Tokens, Problem> {
        let user = reply.resource.as_ref().and_then(|resource| User::deserialize(resource).ok());
        let session = user.as_ref().and_then(|user| user.sessions.iter().find(|open| open.id == session_id));
        let (Some(user), Some(session)) = (&user, session) else {
            return Err(session_over("the session has ended: log in again"));
        };
        let (access_token, refresh_token) = self.access.keys.open(user, session).map_err(|error| {
            tracing::error!(%error, "a token could not be made");
            Problem::new("internal-error", "the token could not be made")
        })?;
        let expires_in = ACCESS_TIME.as_secs();
        Ok(Tokens { access_token, token_type: "Bearer", expires_in, refresh_token })
    }
}

fn protect(vault: &Vault, subject: UserId, mut command: Command) -> Result<Command, Problem> {
    match vault.protect(subject, &mut command) {
        Ok(()) => Ok(command),
        Err(Unprotected::Refused(rejection)) => Err(Problem::rejected(&rejection.to_rejection())),
        Err(Unprotected::Failed(error)) => {
            tracing::warn!(%error, "personal data cannot be sealed");
            let detail = "nothing was written: repeat it in a moment";
            Err(Problem::new("storage-unavailable", detail).retry_after(1))
        }
    }
}

fn checked(command: &Command) -> Checked {
    Checked { service: Service::Users, type_name: command.type_name(), value: encode(command) }
}

fn refuse<const N: usize>(misfits: [Option<Misfit>; N]) -> Result<(), Problem> {
    let misfits: Vec<_> = misfits.into_iter().flatten().collect();
    if misfits.is_empty() { Ok(()) } else { Err(invalid(&misfits)) }
}

fn invalid(misfits: &[Misfit]) -> Problem {
    Problem::invalid(misfits.iter().map(|misfit| FieldError::within("", misfit)).collect())
}

fn not_found() -> Problem {
    Problem::rejected(&users::Rejection::UserNotFound.to_rejection())
}

/// What is said of a registration that came to nothing.
fn came_to_nothing(row: &UserRow) -> Option<Problem> {
    (row.user.status == Status::Rejected).then(|| match row.failure {
        Some(RegistrationFailure::Expired) => Problem::new(
            "registration-expired",
            "the registration took too long, and was given up: try it again",
        ),
        _ => Problem::rejected(&users::Rejection::EmailTaken { user_id: row.user.id }.to_rejection()),
    })
}

fn wrong_credentials() -> Problem {
    Problem::new("wrong-credentials", "no account has this e-mail address and this password")
}

fn session_over(detail: &str) -> Problem {
    Problem::new("session-over", detail)
}

fn too_many_attempts(left: Duration) -> Problem {
    let seconds = u32::try_from(left.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
    Problem::new("too-many-attempts", format!("too many wrong passwords: try again in {seconds} s"))
        .retry_after(seconds)
}
