//! Carries a registration through: the account's address is claimed, the account is confirmed or turned away, and an
//! address that its account does not need any more is given back.
//!
//! It needs no memory: all that it asks of an address for one account, it asks in the order of that account's events, and
//! into one partition. So a claim never comes after its release.

use factfold_schemas::{
    ids::{EmailId, UserId},
    record::{Outcome, Rejected},
    topics::{Service, Topic},
    users::{
        ClaimEmail, Command, ConfirmEmail, ConfirmRegistration, Event, ExpireRegistration,
        RegistrationFailure, RegistrationStarted, RejectRegistration, Rejection, ReleaseEmail,
    },
};
use jiff::{SignedDuration, Timestamp};

use super::{Fact, Reactor, Request};

/// How long a registration may take. It takes some milliseconds when everything runs.
const REGISTRATION_TIME: SignedDuration = SignedDuration::from_hours(1);

/// Connects accounts and addresses.
#[derive(Debug)]
pub struct Registrations;

impl Reactor for Registrations {
    const NAME: &'static str = "registrations";
    const INPUTS: &'static [Topic] = &[Service::Users.events(), Service::Users.outcomes()];

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let request = match fact {
            Fact::Users(event) => match (UserId::of_stream(event.stream.as_str()), &event.data) {
                (Some(user_id), Event::RegistrationStarted(started)) => {
                    return start(user_id, started, event.cause.time);
                }
                (Some(user_id), data) => of_account(user_id, data),
                (None, data) => of_address(data),
            },
            Fact::Outcome(Service::Users, outcome) => match &outcome.outcome {
                Outcome::Rejected(rejected) => refused(rejected),
                _ => None,
            },
            Fact::Functions(_) | Fact::Goods(_) | Fact::Orders(_) | Fact::Outcome(..) => None,
        };
        request.into_iter().collect()
    }
}

/// The address is claimed. Should nothing come of it, the registration is given up, and with it the address.
fn start(user_id: UserId, started: &RegistrationStarted, at: Timestamp) -> Vec<Request> {
    let claim = Request::Address(started.email_id, Command::ClaimEmail(ClaimEmail { user_id }));
    let expire = Request::Account(user_id, Command::ExpireRegistration(ExpireRegistration {}));
    vec![claim, Request::Later(at + REGISTRATION_TIME, Box::new(expire))]
}

fn of_account(user_id: UserId, event: &Event) -> Option<Request> {
    let address = |email_id: EmailId, command| Some(Request::Address(email_id, command));
    let release = |email_id| address(email_id, Command::ReleaseEmail(ReleaseEmail { user_id }));
    match event {
        Event::UserRegistered(event) => {
            address(event.email_id, Command::ConfirmEmail(ConfirmEmail { user_id }))
        }
        Event::RegistrationRejected(event) => match event.reason {
            // It never had the address.
            RegistrationFailure::EmailTaken => None,
            RegistrationFailure::Expired => release(event.email_id),
        },
        Event::UserDeactivated(event) => release(event.email_id),
        Event::PersonalDataErased(event) => release(event.email_id),
        _ => None,
    }
}

fn of_address(event: &Event) -> Option<Request> {
    match event {
        Event::EmailClaimed(event) => {
            Some(Request::Account(event.user_id, Command::ConfirmRegistration(ConfirmRegistration {})))
        }
        _ => None,
    }
}

fn refused(rejected: &Rejected) -> Option<Request> {
    match rejected.rejection.typed()? {
        Rejection::EmailTaken { user_id } => {
            Some(Request::Account(user_id, Command::RejectRegistration(RejectRegistration {})))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        personal::Personal,
        record::RecordedOutcome,
        rejection::Reject as _,
        users::{
            EmailClaimed, EmailReleased, LoginSucceeded, PersonalDataErased, RegistrationRejected,
            UserDeactivated, UserRegistered,
        },
    };

    use super::*;
    use crate::given::{cause, id, recorded};

    const ANNA: UserId = id(1);
    const ADDRESS: EmailId = id(2);

    fn check(event: Event, expected: &[Request]) {
        let stream = match &event {
            Event::EmailClaimed(_) | Event::EmailReleased(_) | Event::LoginSucceeded(_) => ADDRESS.stream(),
            _ => ANNA.stream(),
        };
        let fact = Fact::Users(recorded(Service::Users, stream, event));
        assert_eq!(Registrations.react(&fact), expected, "what follows from {fact:?}");
    }

    #[test]
    fn an_address_is_claimed_and_then_the_account_is_made() {
        let sealed = || Personal::new("sealed.v1.AAAA");
        let started = RegistrationStarted {
            email: sealed(),
            email_id: ADDRESS,
            name: sealed(),
            password_hash: String::new(),
        };
        let claim = Command::ClaimEmail(ClaimEmail { user_id: ANNA });
        let expire = Request::Account(ANNA, Command::ExpireRegistration(ExpireRegistration {}));
        let later = Request::Later(cause(Service::Users).time + REGISTRATION_TIME, Box::new(expire));
        check(Event::RegistrationStarted(started), &[Request::Address(ADDRESS, claim), later]);
        let confirm = Command::ConfirmRegistration(ConfirmRegistration {});
        check(Event::EmailClaimed(EmailClaimed { user_id: ANNA }), &[Request::Account(ANNA, confirm)]);
        let confirm = Command::ConfirmEmail(ConfirmEmail { user_id: ANNA });
        let registered = UserRegistered { email_id: ADDRESS, roles: Vec::new() };
        check(Event::UserRegistered(registered), &[Request::Address(ADDRESS, confirm)]);
    }

    #[test]
    fn who_comes_second_is_turned_away() {
        let rejected = Rejected {
            command: "ClaimEmail".to_owned(),
            rejection: Rejection::EmailTaken { user_id: ANNA }.to_rejection(),
        };
        let (stream, cause) = (Some(ADDRESS.stream()), cause(Service::Users));
        let outcome = RecordedOutcome { stream, cause, after: None, outcome: Outcome::Rejected(rejected) };
        let reject = Command::RejectRegistration(RejectRegistration {});
        let fact = Fact::Outcome(Service::Users, outcome);
        assert_eq!(Registrations.react(&fact), [Request::Account(ANNA, reject)]);
    }

    #[test]
    fn an_address_that_is_not_needed_any_more_is_given_back() {
        let release = || [Request::Address(ADDRESS, Command::ReleaseEmail(ReleaseEmail { user_id: ANNA }))];
        let rejected =
            |reason| Event::RegistrationRejected(RegistrationRejected { email_id: ADDRESS, reason });
        check(rejected(RegistrationFailure::Expired), &release());
        check(rejected(RegistrationFailure::EmailTaken), &[]);
        let deactivated = UserDeactivated { email_id: ADDRESS, reason: "gone".to_owned() };
        check(Event::UserDeactivated(deactivated), &release());
        check(Event::PersonalDataErased(PersonalDataErased { email_id: ADDRESS }), &release());
        check(Event::EmailReleased(EmailReleased { user_id: ANNA }), &[]);
        check(Event::LoginSucceeded(LoginSucceeded { user_id: ANNA }), &[]);
    }
}
