//! Addresses: given, when, then.

use factfold_schemas::{
    ids::{EmailId, UserId},
    users::{
        ClaimEmail, ConfirmEmail, ConfirmRegistration, EmailClaimed, EmailConfirmed, EmailReleased,
        LoginFailed, LoginSucceeded, RecordLogin, ReleaseEmail,
    },
};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::given::{Given, id, time};

const ANNA: UserId = id(1);
const BERT: UserId = id(2);
const ADDRESS: EmailId = id(3);

fn given(events: impl IntoIterator<Item = Event>) -> Given<UsersDecider> {
    Given::events(Id::Address(ADDRESS), events)
}

fn claim(user_id: UserId) -> Command {
    Command::ClaimEmail(ClaimEmail { user_id })
}
fn confirm(user_id: UserId) -> Command {
    Command::ConfirmEmail(ConfirmEmail { user_id })
}
fn release(user_id: UserId) -> Command {
    Command::ReleaseEmail(ReleaseEmail { user_id })
}
fn claimed(user_id: UserId) -> Event {
    Event::EmailClaimed(EmailClaimed { user_id })
}
fn confirmed(user_id: UserId) -> Event {
    Event::EmailConfirmed(EmailConfirmed { user_id })
}
fn released(user_id: UserId) -> Event {
    Event::EmailReleased(EmailReleased { user_id })
}
fn login(succeeded: bool) -> Command {
    Command::RecordLogin(RecordLogin { user_id: Some(ANNA), succeeded })
}
fn failed(failures: u32, blocked_until: Option<Timestamp>) -> Event {
    Event::LoginFailed(LoginFailed { user_id: Some(ANNA), failures, blocked_until })
}
fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[test]
fn an_address_has_one_holder() {
    given([]).when(claim(ANNA)).then([claimed(ANNA)]);
    for history in [vec![claimed(ANNA)], vec![claimed(ANNA), confirmed(ANNA)]] {
        given(history.clone()).when(claim(BERT)).rejected(Rejection::EmailTaken { user_id: BERT });
        given(history.clone()).when(claim(ANNA)).rejected(Rejection::NoChange);
        given(history.clone()).when(release(BERT)).rejected(Rejection::NoChange);
        given(history).when(release(ANNA)).then([released(ANNA)]);
    }
    given([claimed(ANNA), released(ANNA)]).when(claim(BERT)).then([claimed(BERT)]);
}

#[test]
fn only_a_claim_is_confirmed() {
    given([claimed(ANNA)]).when(confirm(ANNA)).then([confirmed(ANNA)]);
    given([claimed(ANNA)]).when(confirm(BERT)).rejected(Rejection::NoChange);
    given([claimed(ANNA), confirmed(ANNA)]).when(confirm(ANNA)).rejected(Rejection::NoChange);
    given([]).when(confirm(ANNA)).rejected(Rejection::NoChange);
}

#[test]
fn every_attempt_is_a_fact() {
    given([]).when(login(true)).then([Event::LoginSucceeded(LoginSucceeded { user_id: ANNA })]);
    given([]).when(login(false)).then([failed(1, None)]);
    let nobody = Command::RecordLogin(RecordLogin { user_id: None, succeeded: false });
    let event = Event::LoginFailed(LoginFailed { user_id: None, failures: 1, blocked_until: None });
    given([]).when(nobody).then([event]);
}

#[test]
fn who_tries_again_and_again_waits_longer_and_longer() {
    given([failed(3, None)]).when(login(false)).then([failed(4, None)]);
    given([failed(4, None)]).when(login(false)).then([failed(5, Some(time(2) + seconds(1)))]);
    let long_before = Some(time(0));
    for (failures, block) in [(5, 2), (6, 4), (13, 512), (14, 900), (40, 900)] {
        let next = failed(failures + 1, Some(time(2) + seconds(block)));
        given([failed(failures, long_before)]).when(login(false)).then([next]);
    }
}

#[test]
fn while_an_address_is_blocked_the_password_does_not_matter() {
    let blocked_until = time(10);
    let blocked = || given([failed(8, Some(blocked_until))]);
    for succeeded in [true, false] {
        blocked().when(login(succeeded)).rejected(Rejection::TooManyAttempts { blocked_until });
    }
    let came_in = Event::LoginSucceeded(LoginSucceeded { user_id: ANNA });
    blocked().when(login(true)).at(blocked_until).then([came_in.clone()]);
    given([failed(8, Some(time(0))), came_in]).when(login(false)).then([failed(1, None)]);
}

#[test]
fn what_was_long_ago_is_forgotten() {
    let later = time(10) + seconds(3601);
    given([failed(8, Some(time(10)))]).when(login(false)).at(later).then([failed(1, None)]);
    let sooner = time(10) + seconds(3600);
    let next = failed(9, Some(sooner + seconds(16)));
    given([failed(8, Some(time(10)))]).when(login(false)).at(sooner).then([next]);
}

#[test]
fn what_is_for_accounts_is_not_for_addresses() {
    let command = || Command::ConfirmRegistration(ConfirmRegistration {});
    let wrong = || Rejection::WrongStream { command: "ConfirmRegistration".to_owned() };
    given([]).when(command()).rejected(wrong());
    given([claimed(ANNA)]).when(command()).rejected(wrong());
}
