//! Accounts: given, when, then.

use factfold_schemas::{
    command::Auth,
    ids::{EmailId, UserId},
    personal::Personal,
    users::{
        ChangePassword, ClaimEmail, ConfirmRegistration, DeactivateUser, EndSession, ErasePersonalData,
        ExpireRegistration, GrantRole, OpenSession, PasswordChanged, PersonalDataErased, ProfileUpdated,
        RefreshSession, RegisterUser, RegistrationFailure, RegistrationRejected, RegistrationStarted,
        RejectRegistration, RevokeRole, Role, RoleGranted, RoleRevoked, SESSIONS_MAX, SessionEnd,
        SessionEnded, SessionOpened, SessionRefreshed, ShownSession, Status, UpdateProfile, User,
        UserDeactivated, UserRegistered,
    },
};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::given::{Given, id, time};

const ANNA: UserId = id(1);
const BERT: UserId = id(2);
const ADDRESS: EmailId = id(3);
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNo";

fn given(events: impl IntoIterator<Item = Event>) -> Given<UsersDecider> {
    Given::events(Id::Account(ANNA), events)
}

fn sealed(text: &str) -> Personal {
    Personal::new(format!("sealed.v1.{text}"))
}

fn by(user: UserId) -> Auth {
    Auth::User(user.to_string())
}

fn register() -> RegisterUser {
    RegisterUser {
        email: sealed("email"),
        name: sealed("Anna"),
        password_hash: HASH.to_owned(),
        email_id: Some(ADDRESS),
    }
}

fn started() -> Event {
    Event::RegistrationStarted(RegistrationStarted {
        email: sealed("email"),
        email_id: ADDRESS,
        name: sealed("Anna"),
        password_hash: HASH.to_owned(),
    })
}

fn registered() -> [Event; 2] {
    let roles = vec![Role::Customer];
    [started(), Event::UserRegistered(UserRegistered { email_id: ADDRESS, roles })]
}

fn with(more: impl IntoIterator<Item = Event>) -> Given<UsersDecider> {
    given(registered().into_iter().chain(more))
}

fn rejected(reason: RegistrationFailure) -> Event {
    Event::RegistrationRejected(RegistrationRejected { email_id: ADDRESS, reason })
}

fn deactivated() -> Event {
    Event::UserDeactivated(UserDeactivated { email_id: ADDRESS, reason: "gone".to_owned() })
}

fn erased() -> Event {
    Event::PersonalDataErased(PersonalDataErased { email_id: ADDRESS })
}

fn changed() -> Event {
    Event::PasswordChanged(PasswordChanged { password_hash: HASH.to_owned(), password_number: 1 })
}

fn opened(session: u128, at: Timestamp) -> Event {
    Event::SessionOpened(SessionOpened { session_id: id(session), expires_at: at + days(30) })
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn refreshed(number: u32, at: Timestamp) -> Event {
    Event::SessionRefreshed(SessionRefreshed {
        session_id: id(7),
        number,
        repeatable_until: at + SignedDuration::from_secs(30),
        expires_at: at + days(30),
    })
}

fn refresh(number: u32) -> Command {
    Command::RefreshSession(RefreshSession { session_id: id(7), number })
}

fn open(session: u128, password_number: u32) -> Command {
    Command::OpenSession(OpenSession { session_id: id(session), password_number })
}

#[test]
fn a_registration_starts_once() {
    given([]).when(Command::RegisterUser(register())).then([started()]);
    given([started()]).when(Command::RegisterUser(register())).rejected(Rejection::UserExists);
}

/// Whatever lies in the log for ever must not be readable for ever.
#[test]
fn nothing_personal_gets_into_an_event_in_the_clear() {
    let plain = RegisterUser { email: Personal::new("anna@example.org"), ..register() };
    given([]).when(Command::RegisterUser(plain)).rejected(Rejection::InvalidEmail);
    let plain = RegisterUser { name: Personal::new("Anna"), ..register() };
    given([]).when(Command::RegisterUser(plain)).rejected(Rejection::InvalidName);
    let nameless = RegisterUser { email_id: None, ..register() };
    given([]).when(Command::RegisterUser(nameless)).rejected(Rejection::InvalidEmail);
    let update = UpdateProfile { name: Personal::new("Anna") };
    with([]).when(Command::UpdateProfile(update)).rejected(Rejection::InvalidName);
}

#[test]
fn a_password_comes_as_a_strong_hash_only() {
    let weak = RegisterUser { password_hash: "secret".to_owned(), ..register() };
    given([]).when(Command::RegisterUser(weak)).rejected(Rejection::InvalidPasswordHash);
    let change = ChangePassword { password_hash: "secret".to_owned(), password_number: 0 };
    with([]).when(Command::ChangePassword(change)).rejected(Rejection::InvalidPasswordHash);
}

#[test]
fn a_registration_ends_once() {
    let confirm = || Command::ConfirmRegistration(ConfirmRegistration {});
    let reject = || Command::RejectRegistration(RejectRegistration {});
    let expire = || Command::ExpireRegistration(ExpireRegistration {});
    let [_, made] = registered();
    given([started()]).when(confirm()).then([made]);
    given([started()]).when(reject()).then([rejected(RegistrationFailure::EmailTaken)]);
    given([started()]).when(expire()).then([rejected(RegistrationFailure::Expired)]);
    for late in [confirm, reject, expire] {
        with([]).when(late()).rejected(Rejection::NoChange);
        given([started(), rejected(RegistrationFailure::Expired)]).when(late()).rejected(Rejection::NoChange);
        given([]).when(late()).rejected(Rejection::UserNotFound);
    }
}

#[test]
fn a_name_changes() {
    let rename = |name| Command::UpdateProfile(UpdateProfile { name: sealed(name) });
    let renamed = Event::ProfileUpdated(ProfileUpdated { name: sealed("Anne") });
    with([]).when(rename("Anne")).by(by(ANNA)).then([renamed]);
    with([]).when(rename("Anna")).rejected(Rejection::NoChange);
    with([]).when(rename("Anne")).by(by(BERT)).rejected(Rejection::NotYou);
    let status = Status::Registering;
    given([started()]).when(rename("Anne")).rejected(Rejection::UserNotActive { status });
}

#[test]
fn a_password_changes_when_the_present_one_was_given() {
    let change = |password_number| {
        Command::ChangePassword(ChangePassword { password_hash: HASH.to_owned(), password_number })
    };
    with([]).when(change(0)).by(by(ANNA)).then([changed()]);
    with([changed()]).when(change(0)).rejected(Rejection::PasswordOutdated);
    with([]).when(change(0)).by(by(BERT)).rejected(Rejection::NotYou);
}

#[test]
fn roles_come_and_go() {
    let grant = |role| Command::GrantRole(GrantRole { role });
    let revoke = |role| Command::RevokeRole(RevokeRole { role });
    let granted = || Event::RoleGranted(RoleGranted { role: Role::Merchant });
    with([]).when(grant(Role::Merchant)).then([granted()]);
    with([]).when(grant(Role::Customer)).rejected(Rejection::NoChange);
    with([granted()])
        .when(revoke(Role::Merchant))
        .then([Event::RoleRevoked(RoleRevoked { role: Role::Merchant })]);
    with([]).when(revoke(Role::Merchant)).rejected(Rejection::NoChange);
    let status = Status::Deactivated;
    with([deactivated()]).when(grant(Role::Merchant)).rejected(Rejection::UserNotActive { status });
}

#[test]
fn what_is_closed_stays_closed() {
    let deactivate = || Command::DeactivateUser(DeactivateUser { reason: "gone".to_owned() });
    with([]).when(deactivate()).then([deactivated()]);
    with([deactivated()]).when(deactivate()).rejected(Rejection::NoChange);
    let nothing = Command::DeactivateUser(DeactivateUser { reason: String::new() });
    with([]).when(nothing).rejected(Rejection::InvalidReason);
    let status = Status::Erased;
    with([erased()]).when(deactivate()).rejected(Rejection::UserNotActive { status });
    let status = Status::Deactivated;
    with([deactivated()]).when(open(7, 0)).rejected(Rejection::UserNotActive { status });
}

#[test]
fn who_asks_to_be_forgotten_is() {
    let erase = || Command::ErasePersonalData(ErasePersonalData {});
    with([]).when(erase()).by(by(ANNA)).then([erased()]);
    with([deactivated()]).when(erase()).then([erased()]);
    with([erased()]).when(erase()).rejected(Rejection::NoChange);
    with([]).when(erase()).by(by(BERT)).rejected(Rejection::NotYou);
    let status = Status::Registering;
    given([started()]).when(erase()).rejected(Rejection::UserNotActive { status });
    let user: User = with([opened(7, time(3)), erased()]).resource();
    assert_eq!((user.status, user.email, user.name, user.sessions), (Status::Erased, None, None, Vec::new()));
}

#[test]
fn a_session_needs_the_password_of_now() {
    with([]).when(open(7, 0)).then([opened(7, time(3))]);
    with([changed()]).when(open(7, 0)).rejected(Rejection::PasswordOutdated);
    with([opened(7, time(3))]).when(open(7, 0)).rejected(Rejection::NoChange);
    let too_old = Event::SessionEnded(SessionEnded { session_id: id(100), reason: SessionEnd::TooMany });
    let many = (0..SESSIONS_MAX as u128).map(|n| opened(100 + n, time(3)));
    with(many).when(open(7, 0)).then([opened(7, time(3 + SESSIONS_MAX as u64)), too_old]);
}

#[test]
fn a_refresh_token_is_good_for_one_time() {
    let history = || with([opened(7, time(3)), refreshed(1, time(4))]);
    with([opened(7, time(3))]).when(refresh(0)).by(by(ANNA)).then([refreshed(1, time(4))]);
    history().when(refresh(1)).then([refreshed(2, time(5))]);
    // The answer to the first time may have got lost.
    history().when(refresh(0)).rejected(Rejection::NoChange);
    let stolen = || Event::SessionEnded(SessionEnded { session_id: id(7), reason: SessionEnd::TokenReused });
    history().when(refresh(0)).at(time(4) + SignedDuration::from_secs(30)).then([stolen()]);
    with([opened(7, time(3)), refreshed(1, time(4)), refreshed(2, time(5))])
        .when(refresh(0))
        .then([stolen()]);
    history().when(refresh(5)).then([stolen()]);
    history().when(refresh(1)).by(by(BERT)).rejected(Rejection::NotYou);
}

#[test]
fn a_session_is_over_when_it_is_over() {
    with([opened(7, time(3))]).when(refresh(0)).at(time(3) + days(30)).rejected(Rejection::SessionOver);
    let end = || Command::EndSession(EndSession { session_id: id(7) });
    let over = Event::SessionEnded(SessionEnded { session_id: id(7), reason: SessionEnd::LoggedOut });
    with([opened(7, time(3))]).when(end()).by(by(ANNA)).then([over.clone()]);
    for end_of_all in [over, changed(), deactivated(), erased()] {
        let user: User = with([opened(7, time(3)), end_of_all]).resource();
        assert_eq!(user.sessions, []);
    }
    with([]).when(end()).rejected(Rejection::NoChange);
    with([changed(), opened(7, time(4)), changed()]).when(refresh(0)).rejected(Rejection::SessionOver);
}

#[test]
fn a_user_is_shown_as_the_events_say() {
    let user: User = with([opened(7, time(3)), refreshed(1, time(4))]).resource();
    let expected = User {
        id: ANNA,
        version: 4,
        created_at: time(1),
        updated_at: time(4),
        status: Status::Active,
        email: Some(sealed("email")),
        name: Some(sealed("Anna")),
        roles: vec![Role::Customer],
        sessions: vec![ShownSession { id: id(7), refreshed: 1, expires_at: time(4) + days(30) }],
    };
    assert_eq!(user, expected);
}

#[test]
fn what_is_for_addresses_is_not_for_accounts() {
    let command = || Command::ClaimEmail(ClaimEmail { user_id: ANNA });
    let wrong = || Rejection::WrongStream { command: "ClaimEmail".to_owned() };
    given([]).when(command()).rejected(wrong());
    with([]).when(command()).rejected(wrong());
}
