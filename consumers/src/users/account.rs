//! An account: it becomes real when its address is claimed, its owner comes in by sessions, and once it is closed it is
//! closed for ever.

use factfold_schemas::{
    command::Auth,
    ids::{EmailId, SessionId, UserId},
    personal::Personal,
    users::{
        ChangePassword, Command, DeactivateUser, Event, OpenSession, PasswordChanged, PersonalDataErased,
        ProfileUpdated, REASON_CHARS_MAX, RefreshSession, RegisterUser, RegistrationFailure,
        RegistrationRejected, RegistrationStarted, Rejection, Role, RoleGranted, RoleRevoked, SESSIONS_MAX,
        SessionEnd, SessionEnded, SessionOpened, SessionRefreshed, ShownSession, Status, UpdateProfile, User,
        UserDeactivated, UserRegistered,
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{State, password};
use crate::decider::{Asked, Entry, Events};

/// How long a session goes on without being refreshed.
const SESSION_TIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a refresh token may come again: the answer to the first time may have got lost.
const REPEAT_TIME: SignedDuration = SignedDuration::from_secs(30);

/// What the rules know about an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    status: Status,
    email_id: EmailId,
    email: Option<Personal>,
    name: Option<Personal>,
    roles: Vec<Role>,
    /// How often the password was changed.
    password_number: u32,
    /// From the oldest.
    sessions: Vec<Session>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    id: SessionId,
    /// How often it was refreshed.
    number: u32,
    /// Until when the refresh token before this may come again.
    #[serde(with = "jiff::fmt::serde::timestamp::nanosecond::optional")]
    repeatable_until: Option<Timestamp>,
    #[serde(with = "jiff::fmt::serde::timestamp::nanosecond::required")]
    expires_at: Timestamp,
}

pub(super) fn decide(
    id: UserId,
    state: Option<&Account>,
    command: &Command,
    asked: Asked<'_>,
) -> Result<Events<Event>, Rejection> {
    let Some(account) = state else {
        return match command {
            Command::RegisterUser(command) => register(command),
            _ => Err(Rejection::UserNotFound),
        };
    };
    match command {
        Command::RegisterUser(_) => Err(Rejection::UserExists),
        Command::ConfirmRegistration(_) => {
            let registered = UserRegistered { email_id: account.email_id, roles: vec![Role::Customer] };
            account.is_registering().map(|()| Event::UserRegistered(registered).into())
        }
        Command::RejectRegistration(_) => account.fail(RegistrationFailure::EmailTaken),
        Command::ExpireRegistration(_) => account.fail(RegistrationFailure::Expired),
        Command::UpdateProfile(command) => update(account.of(id, asked.by)?, command),
        Command::ChangePassword(command) => change_password(account.of(id, asked.by)?, command),
        Command::GrantRole(command) => account.is_active()?.grant(command.role),
        Command::RevokeRole(command) => account.is_active()?.revoke(command.role),
        Command::DeactivateUser(command) => deactivate(account, command),
        Command::ErasePersonalData(_) => erase(account.of(id, asked.by)?),
        Command::OpenSession(command) => open_session(account, command, asked.at),
        Command::RefreshSession(command) => refresh_session(account.of(id, asked.by)?, command, asked.at),
        Command::EndSession(command) => account.of(id, asked.by)?.end(command.session_id),
        Command::ClaimEmail(_)
        | Command::ConfirmEmail(_)
        | Command::ReleaseEmail(_)
        | Command::RecordLogin(_) => Err(Rejection::UserNotFound),
    }
}

pub(super) fn evolve(state: Option<Account>, event: &Event) -> Option<Account> {
    if let Event::RegistrationStarted(event) = event {
        return Some(Account {
            status: Status::Registering,
            email_id: event.email_id,
            email: Some(event.email.clone()),
            name: Some(event.name.clone()),
            roles: Vec::new(),
            password_number: 0,
            sessions: Vec::new(),
        });
    }
    let mut account = state?;
    match event {
        Event::UserRegistered(event) => {
            account.status = Status::Active;
            account.roles.clone_from(&event.roles);
        }
        Event::RegistrationRejected(_) => account.close(Status::Rejected),
        Event::ProfileUpdated(event) => account.name = Some(event.name.clone()),
        Event::PasswordChanged(event) => {
            account.password_number = event.password_number;
            account.sessions.clear();
        }
        Event::RoleGranted(event) => account.roles.push(event.role),
        Event::RoleRevoked(event) => account.roles.retain(|role| *role != event.role),
        Event::UserDeactivated(_) => {
            account.status = Status::Deactivated;
            account.sessions.clear();
        }
        Event::PersonalDataErased(_) => account.close(Status::Erased),
        Event::SessionOpened(event) => account.sessions.push(Session {
            id: event.session_id,
            number: 0,
            repeatable_until: None,
            expires_at: event.expires_at,
        }),
        Event::SessionRefreshed(event) => {
            if let Some(session) = account.sessions.iter_mut().find(|session| session.id == event.session_id)
            {
                session.number = event.number;
                session.repeatable_until = Some(event.repeatable_until);
                session.expires_at = event.expires_at;
            }
        }
        Event::SessionEnded(event) => account.sessions.retain(|session| session.id != event.session_id),
        Event::RegistrationStarted(_)
        | Event::EmailClaimed(_)
        | Event::EmailConfirmed(_)
        | Event::EmailReleased(_)
        | Event::LoginSucceeded(_)
        | Event::LoginFailed(_) => {}
    }
    Some(account)
}

impl Account {
    pub(super) fn resource(&self, id: UserId, entry: &Entry<State>) -> Value {
        let session = |session: &Session| ShownSession {
            id: session.id,
            refreshed: session.number,
            expires_at: session.expires_at,
        };
        let user = User {
            id,
            version: entry.version,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            status: self.status,
            email: self.email.clone(),
            name: self.name.clone(),
            roles: self.roles.clone(),
            sessions: self.sessions.iter().map(session).collect(),
        };
        serde_json::to_value(user).expect("a resource is plain data")
    }

    /// This account, if whoever asks may act on it.
    fn of(&self, id: UserId, by: Option<&Auth>) -> Result<&Self, Rejection> {
        match by.and_then(Auth::user) {
            Some(user) if user.parse() != Ok(id) => Err(Rejection::NotYou),
            _ => Ok(self),
        }
    }

    fn is_active(&self) -> Result<&Self, Rejection> {
        match self.status {
            Status::Active => Ok(self),
            status => Err(Rejection::UserNotActive { status }),
        }
    }

    /// What comes later than the end of a registration has nothing to do.
    fn is_registering(&self) -> Result<(), Rejection> {
        if self.status == Status::Registering { Ok(()) } else { Err(Rejection::NoChange) }
    }

    fn fail(&self, reason: RegistrationFailure) -> Result<Events<Event>, Rejection> {
        self.is_registering()?;
        Ok(Event::RegistrationRejected(RegistrationRejected { email_id: self.email_id, reason }).into())
    }

    fn grant(&self, role: Role) -> Result<Events<Event>, Rejection> {
        if self.roles.contains(&role) {
            return Err(Rejection::NoChange);
        }
        Ok(Event::RoleGranted(RoleGranted { role }).into())
    }

    fn revoke(&self, role: Role) -> Result<Events<Event>, Rejection> {
        if !self.roles.contains(&role) {
            return Err(Rejection::NoChange);
        }
        Ok(Event::RoleRevoked(RoleRevoked { role }).into())
    }

    fn end(&self, session_id: SessionId) -> Result<Events<Event>, Rejection> {
        match self.sessions.iter().find(|session| session.id == session_id) {
            Some(session) => Ok(ended(session, SessionEnd::LoggedOut).into()),
            None => Err(Rejection::NoChange),
        }
    }

    /// It is over, and of the person nothing stays.
    fn close(&mut self, status: Status) {
        self.status = status;
        self.email = None;
        self.name = None;
        self.sessions.clear();
    }
}

fn register(command: &RegisterUser) -> Result<Events<Event>, Rejection> {
    password::check(&command.password_hash)?;
    let email_id = command.email_id.filter(|_| command.email.is_sealed()).ok_or(Rejection::InvalidEmail)?;
    if !command.name.is_sealed() {
        return Err(Rejection::InvalidName);
    }
    let started = RegistrationStarted {
        email: command.email.clone(),
        email_id,
        name: command.name.clone(),
        password_hash: command.password_hash.clone(),
    };
    Ok(Event::RegistrationStarted(started).into())
}

fn update(account: &Account, command: &UpdateProfile) -> Result<Events<Event>, Rejection> {
    account.is_active()?;
    if !command.name.is_sealed() {
        return Err(Rejection::InvalidName);
    }
    // The same text is sealed the same.
    if account.name.as_ref() == Some(&command.name) {
        return Err(Rejection::NoChange);
    }
    Ok(Event::ProfileUpdated(ProfileUpdated { name: command.name.clone() }).into())
}

fn change_password(account: &Account, command: &ChangePassword) -> Result<Events<Event>, Rejection> {
    account.is_active()?;
    password::check(&command.password_hash)?;
    if command.password_number != account.password_number {
        return Err(Rejection::PasswordOutdated);
    }
    let changed = PasswordChanged {
        password_hash: command.password_hash.clone(),
        password_number: account.password_number.saturating_add(1),
    };
    Ok(Event::PasswordChanged(changed).into())
}

fn deactivate(account: &Account, command: &DeactivateUser) -> Result<Events<Event>, Rejection> {
    if !(1..=REASON_CHARS_MAX).contains(&command.reason.chars().count()) {
        return Err(Rejection::InvalidReason);
    }
    if account.status == Status::Deactivated {
        return Err(Rejection::NoChange);
    }
    account.is_active()?;
    let deactivated = UserDeactivated { email_id: account.email_id, reason: command.reason.clone() };
    Ok(Event::UserDeactivated(deactivated).into())
}

fn erase(account: &Account) -> Result<Events<Event>, Rejection> {
    match account.status {
        Status::Active | Status::Deactivated => {
            Ok(Event::PersonalDataErased(PersonalDataErased { email_id: account.email_id }).into())
        }
        Status::Erased | Status::Rejected => Err(Rejection::NoChange),
        status @ Status::Registering => Err(Rejection::UserNotActive { status }),
    }
}

fn open_session(
    account: &Account,
    command: &OpenSession,
    now: Timestamp,
) -> Result<Events<Event>, Rejection> {
    account.is_active()?;
    if command.password_number != account.password_number {
        return Err(Rejection::PasswordOutdated);
    }
    if account.sessions.iter().any(|session| session.id == command.session_id) {
        return Err(Rejection::NoChange);
    }
    let opened = Event::SessionOpened(SessionOpened {
        session_id: command.session_id,
        expires_at: after(now, SESSION_TIME),
    });
    let surplus = (account.sessions.len() + 1).saturating_sub(SESSIONS_MAX);
    let too_many = account.sessions.iter().take(surplus).map(|session| ended(session, SessionEnd::TooMany));
    Ok(Events::new(opened, too_many.collect()))
}

/// Each refresh token is good for one time: one that comes again was stolen, from whom it was stolen or by whom.
fn refresh_session(
    account: &Account,
    command: &RefreshSession,
    now: Timestamp,
) -> Result<Events<Event>, Rejection> {
    account.is_active()?;
    let session = account.sessions.iter().find(|session| session.id == command.session_id);
    let session = session.filter(|session| now < session.expires_at).ok_or(Rejection::SessionOver)?;
    if command.number == session.number {
        return Ok(Event::SessionRefreshed(SessionRefreshed {
            session_id: session.id,
            number: session.number.saturating_add(1),
            repeatable_until: after(now, REPEAT_TIME),
            expires_at: after(now, SESSION_TIME),
        })
        .into());
    }
    let is_repeat = command.number.checked_add(1) == Some(session.number);
    if is_repeat && session.repeatable_until.is_some_and(|until| now < until) {
        return Err(Rejection::NoChange);
    }
    Ok(ended(session, SessionEnd::TokenReused).into())
}

fn ended(session: &Session, reason: SessionEnd) -> Event {
    Event::SessionEnded(SessionEnded { session_id: session.id, reason })
}

fn after(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.saturating_add(time).unwrap_or(Timestamp::MAX)
}
