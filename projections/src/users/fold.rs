//! Users, folded from the events of their accounts. What happens to addresses is for the decider.

use std::collections::{BTreeMap, BTreeSet};

use factfold_schemas::{
    codec::Named as _,
    ids::{EmailId, UserId},
    personal::Personal,
    position::Position,
    record::Recorded,
    users::{Event, RegistrationStarted, ShownSession, Status, User},
};
use sqlx::PgConnection;

use super::query::{self, UserRow};
use crate::{
    error::{Contradiction, Violation},
    projector::Stop,
    table::{Jsonb, Table},
};

/// The users that are being folded.
type Rows = BTreeMap<UserId, UserRow>;

/// Folds these events into the tables.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let mut ids: Vec<_> = events.clone().filter_map(|(_, e)| UserId::of_stream(e.stream.as_str())).collect();
    ids.sort_unstable();
    ids.dedup();
    let loaded = query::load(&mut *connection, &ids).await?;
    let mut rows: Rows = loaded.into_iter().map(|row| (row.user.id, row)).collect();
    let known: BTreeSet<_> = rows.keys().copied().collect();
    for (at, event) in events {
        apply(&mut rows, at, event)?;
    }
    Ok(store(connection, &rows, |row| !known.contains(&row.user.id)).await?)
}

/// One event, which lies there.
fn apply(rows: &mut Rows, at: Position, event: &Recorded<Event>) -> Result<(), Violation> {
    let violation = |contradiction| Violation { at, stream: Some(event.stream.clone()), contradiction };
    fold(rows, event).map_err(violation)
}

fn fold(rows: &mut Rows, event: &Recorded<Event>) -> Result<(), Contradiction> {
    let misfit = |why| Contradiction::Misfit { event: event.data.type_name(), why };
    let Some(id) = UserId::of_stream(event.stream.as_str()) else {
        return match EmailId::of_stream(event.stream.as_str()) {
            Some(_) => Ok(()),
            None => Err(misfit("its stream is not one of users")),
        };
    };
    Contradiction::check_version(rows.get(&id).map_or(0, |row| row.user.version), event.version)?;

    if let Event::RegistrationStarted(started) = &event.data {
        return match rows.insert(id, registering(id, event, started)) {
            None => Ok(()),
            Some(_) => Err(misfit("the user is there already")),
        };
    }

    let row = rows.get_mut(&id).ok_or_else(|| misfit("there is no such user"))?;
    let user = &mut row.user;
    match &event.data {
        Event::UserRegistered(registered) => {
            user.status = Status::Active;
            user.roles.clone_from(&registered.roles);
        }
        Event::RegistrationRejected(rejected) => {
            row.failure = Some(rejected.reason);
            close(row, Status::Rejected);
            forget(row);
        }
        Event::ProfileUpdated(updated) => user.name = Some(updated.name.clone()),
        Event::PasswordChanged(changed) => {
            user.sessions.clear();
            row.password_hash = Some(changed.password_hash.clone());
            row.password_number = changed.password_number;
        }
        Event::RoleGranted(granted) => user.roles.push(granted.role),
        Event::RoleRevoked(revoked) => user.roles.retain(|role| *role != revoked.role),
        Event::UserDeactivated(_) => close(row, Status::Deactivated),
        Event::PersonalDataErased(_) => {
            close(row, Status::Erased);
            forget(row);
        }
        Event::SessionOpened(opened) => user.sessions.push(ShownSession {
            id: opened.session_id,
            refreshed: 0,
            expires_at: opened.expires_at,
        }),
        Event::SessionRefreshed(refreshed) => {
            let of = |session: &&mut ShownSession| session.id == refreshed.session_id;
            let session =
                user.sessions.iter_mut().find(of).ok_or_else(|| misfit("there is no such session"))?;
            (session.refreshed, session.expires_at) = (refreshed.number, refreshed.expires_at);
        }
        Event::SessionEnded(ended) => user.sessions.retain(|session| session.id != ended.session_id),
        Event::RegistrationStarted(_)
        | Event::EmailClaimed(_)
        | Event::EmailConfirmed(_)
        | Event::EmailReleased(_)
        | Event::LoginSucceeded(_)
        | Event::LoginFailed(_) => return Err(misfit("its stream is one of an account")),
    }
    row.user.version = event.version;
    row.user.updated_at = event.cause.time;
    Ok(())
}

fn registering(id: UserId, event: &Recorded<Event>, started: &RegistrationStarted) -> UserRow {
    let user = User {
        id,
        version: event.version,
        created_at: event.cause.time,
        updated_at: event.cause.time,
        status: Status::Registering,
        email: Some(started.email.clone()),
        name: Some(started.name.clone()),
        roles: Vec::new(),
        sessions: Vec::new(),
    };
    UserRow {
        user,
        email_id: started.email_id,
        failure: None,
        password_hash: Some(started.password_hash.clone()),
        password_number: 0,
    }
}

/// Nobody comes in any more.
fn close(row: &mut UserRow, status: Status) {
    row.user.status = status;
    row.user.sessions.clear();
    row.password_hash = None;
}

fn forget(row: &mut UserRow) {
    (row.user.email, row.user.name) = (None, None);
}

/// Writes these rows, of which some are new.
async fn store(
    connection: &mut PgConnection,
    rows: &Rows,
    is_new: impl Fn(&UserRow) -> bool,
) -> Result<(), sqlx::Error> {
    let text = |of: &Option<Personal>| of.as_ref().map(|text| text.as_str().to_owned());
    // UNNEST would take arrays of different lengths apart: a row's roles go as one text.
    let roles = |row: &UserRow| row.user.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let sessions =
        |row: &UserRow| serde_json::to_string(&row.user.sessions).expect("sessions are plain data");
    Table::of("users", rows.values())
        .key("id", |row| row.user.id.uuid())
        .column("version", |row| row.user.version.cast_signed())
        .column("created_at", |row| row.user.created_at)
        .column("updated_at", |row| row.user.updated_at)
        .column("status", |row| row.user.status.to_string())
        .column("email_id", |row| row.email_id.uuid())
        .column("email", |row| text(&row.user.email))
        .column("name", |row| text(&row.user.name))
        .made("roles", "array_remove(string_to_array(roles, ','), '')", roles)
        .column("sessions", |row| Jsonb(sessions(row)))
        .column("failure", |row| row.failure.map(|failure| failure.to_string()))
        .upsert(connection, &is_new)
        .await?;
    Table::of("_credentials", rows.values())
        .key("user_id", |row| row.user.id.uuid())
        .column("password_hash", |row| row.password_hash.clone())
        .column("password_number", |row| row.password_number.cast_signed())
        .upsert(connection, &is_new)
        .await
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        ids::SessionId,
        topics::Service,
        users::{
            EmailClaimed, PasswordChanged, PersonalDataErased, RegistrationFailure, RegistrationRejected,
            Role, RoleGranted, SessionOpened, SessionRefreshed, UserRegistered,
        },
    };
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::projector::fixtures::cause;

    const ANNA: UserId = UserId::new(Uuid::from_u128(1));
    const ADDRESS: EmailId = EmailId::new(Uuid::from_u128(2));
    const SESSION: SessionId = SessionId::new(Uuid::from_u128(3));

    /// These events, as versions 1, 2, 3 … of one stream.
    fn folded(events: impl IntoIterator<Item = Event>) -> Result<UserRow, Contradiction> {
        let mut rows = Rows::new();
        for (version, data) in (1..).zip(events) {
            let cause = cause(Service::Users, "c", version);
            let version = version.unsigned_abs();
            fold(&mut rows, &Recorded { stream: ANNA.stream(), version, cause, data })?;
        }
        Ok(rows.remove(&ANNA).expect("the user"))
    }

    fn registered() -> Vec<Event> {
        let sealed = |text: &str| Personal::new(format!("sealed.v1.{text}"));
        let started = RegistrationStarted {
            email: sealed("email"),
            email_id: ADDRESS,
            name: sealed("Anna"),
            password_hash: "first".to_owned(),
        };
        let registered = UserRegistered { email_id: ADDRESS, roles: vec![Role::Customer] };
        vec![Event::RegistrationStarted(started), Event::UserRegistered(registered)]
    }

    fn with(more: impl IntoIterator<Item = Event>) -> UserRow {
        folded(registered().into_iter().chain(more)).expect("a sound history")
    }

    fn opened() -> Event {
        Event::SessionOpened(SessionOpened { session_id: SESSION, expires_at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn the_row_says_what_the_events_said() {
        let row = with([
            Event::RoleGranted(RoleGranted { role: Role::Merchant }),
            opened(),
            Event::SessionRefreshed(SessionRefreshed {
                session_id: SESSION,
                number: 1,
                repeatable_until: Timestamp::UNIX_EPOCH,
                expires_at: Timestamp::MAX,
            }),
        ]);
        let time = |decided| cause(Service::Users, "c", decided).time;
        assert_eq!((row.user.version, row.user.created_at, row.user.updated_at), (5, time(1), time(5)));
        assert_eq!((row.user.status, row.user.roles), (Status::Active, vec![Role::Customer, Role::Merchant]));
        let session = ShownSession { id: SESSION, refreshed: 1, expires_at: Timestamp::MAX };
        assert_eq!(row.user.sessions, [session]);
    }

    #[test]
    fn a_new_password_ends_what_the_old_one_opened() {
        let changed = PasswordChanged { password_hash: "second".to_owned(), password_number: 1 };
        let row = with([opened(), Event::PasswordChanged(changed)]);
        assert_eq!((row.password_hash.as_deref(), row.password_number), (Some("second"), 1));
        assert_eq!(row.user.sessions, []);
    }

    #[test]
    fn of_who_is_forgotten_nothing_is_left() {
        let reason = RegistrationFailure::EmailTaken;
        let rejected = Event::RegistrationRejected(RegistrationRejected { email_id: ADDRESS, reason });
        let rejected = folded([registered().remove(0), rejected]).expect("a sound history");
        assert_eq!(rejected.failure, Some(reason));
        let erased = with([opened(), Event::PersonalDataErased(PersonalDataErased { email_id: ADDRESS })]);
        for row in [rejected, erased] {
            assert_eq!((row.user.email, row.user.name, row.password_hash), (None, None, None));
            assert_eq!(row.user.sessions, []);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let twice = [registered(), registered()].concat();
        assert!(matches!(folded(twice), Err(Contradiction::Misfit { .. })));
        assert!(matches!(folded([opened()]), Err(Contradiction::Misfit { .. })));
        let claimed = Event::EmailClaimed(EmailClaimed { user_id: ANNA });
        assert!(matches!(folded([registered().remove(0), claimed]), Err(Contradiction::Misfit { .. })));
    }
}
