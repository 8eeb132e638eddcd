//! Destroys the keys of those who are to be forgotten: whoever asked for it, and whoever never became a user.

use factfold_schemas::{
    ids::UserId,
    topics::{Service, Topic},
    users::Event,
};

use super::{Fact, Reactor, Request};

/// Makes an erasure true.
#[derive(Debug)]
pub struct Erasures;

impl Reactor for Erasures {
    const NAME: &'static str = "erasures";
    const INPUTS: &'static [Topic] = &[Service::Users.events()];

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let Fact::Users(event) = fact else { return Vec::new() };
        let Some(user_id) = UserId::of_stream(event.stream.as_str()) else { return Vec::new() };
        match event.data {
            Event::PersonalDataErased(_) | Event::RegistrationRejected(_) => vec![Request::Forget(user_id)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        ids::EmailId,
        users::{PersonalDataErased, RegistrationFailure, RegistrationRejected, UserDeactivated},
    };

    use super::*;
    use crate::given::{id, recorded};

    const ANNA: UserId = id(1);
    const ADDRESS: EmailId = id(2);

    #[test]
    fn who_is_to_be_forgotten_is() {
        let check = |event, expected: &[Request]| {
            let fact = Fact::Users(recorded(Service::Users, ANNA.stream(), event));
            assert_eq!(Erasures.react(&fact), expected, "what follows from {fact:?}");
        };
        let forget = [Request::Forget(ANNA)];
        check(Event::PersonalDataErased(PersonalDataErased { email_id: ADDRESS }), &forget);
        let reason = RegistrationFailure::EmailTaken;
        check(Event::RegistrationRejected(RegistrationRejected { email_id: ADDRESS, reason }), &forget);
        let deactivated = UserDeactivated { email_id: ADDRESS, reason: "gone".to_owned() };
        check(Event::UserDeactivated(deactivated), &[]);
    }
}
