//! One address, and many who want it: over HTTP through two gateways, straight on the topic, in several spellings, while the
//! workers die. One gets it.

use std::{collections::BTreeMap, env};

use factfold_schemas::{
    ids::{EmailId, UserId},
    personal::Personal,
    topics::Service,
    users::{Event, RegisterUser, RegistrationFailure},
};
use futures::{StreamExt as _, stream};
use serde_json::json;

use crate::{
    fleet::Fleet,
    system::Client,
    world::{until, wait_until},
};

const SPELLINGS: [&str; 4] =
    ["ada@example.org", "ADA@Example.Org", "ａｄａ@example.org", "Ada@ＥＸＡＭＰＬＥ.org"];
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNo";

/// (Seen failing with an address that does not mind who else has claimed it.)
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_register_one_address_one_gets_it() {
    let many = if env::var_os("FACTFOLD_FULL").is_some() { 200 } else { 60 };
    let fleet = Fleet::new().await;
    let mut workers = vec![fleet.worker(Service::Users, 1), fleet.worker(Service::Users, 2)];
    for worker in &mut workers {
        worker.works().await;
    }
    let _projector = fleet.projector(1);
    let (one, first) = fleet.gateway(1).await;
    let (two, second) = fleet.gateway(2).await;
    let gateways = [first, second].map(|address| {
        let user = UserId::generate();
        Client::new(format!("http://{address}"), user, fleet.token(user, &[])).patient()
    });

    // Half of them over HTTP, half with any Kafka client and nothing more.
    let over_http = stream::iter(0..many / 2).map(|n| {
        let gateway = &gateways[n % 2];
        let email = SPELLINGS[n % SPELLINGS.len()];
        let body =
            json!({ "email": email, "name": format!("Ada {n}"), "password": "seven odd purple teapots" });
        gateway.post("/v1/users", body)
    });
    let on_the_topic = stream::iter(0..many / 2).map(|n| {
        let register = factfold_schemas::users::Command::RegisterUser(RegisterUser {
            email: Personal::new(SPELLINGS[n % SPELLINGS.len()]),
            name: Personal::new(format!("Ada {n}")),
            password_hash: HASH.to_owned(),
            email_id: None,
        });
        let world = &fleet.world;
        async move {
            let stream = UserId::generate().stream();
            world.send(Service::Users, &n.to_string(), &stream, &register).await
        }
    });
    let over_http = over_http.buffer_unordered(20).collect::<Vec<_>>();
    let on_the_topic = on_the_topic.buffer_unordered(20).collect::<Vec<_>>();
    let deaths = async {
        // Not blocking: those who register are polled by the same task.
        until("some are decided", async || match fleet.world.events::<Event>(Service::Users).len() {
            enough if enough >= many / 4 => Ok(()),
            so_far => Err(so_far),
        })
        .await;
        workers.remove(0).process.kill();
        let mut next = fleet.worker(Service::Users, 1);
        next.works().await;
        workers.remove(0).process.kill();
        (next, fleet.worker(Service::Users, 2))
    };
    let (answers, stored, _workers) = tokio::join!(over_http, on_the_topic, deaths);
    assert_eq!(stored.len(), many / 2);

    let mut started = 0;
    wait_until("every registration has come to an end", || {
        let ends = Ends::of(&fleet);
        started = ends.started;
        started == many && ends.over() == many
    });
    let ends = Ends::of(&fleet);
    assert_eq!(ends.registered.len(), 1, "one wins");
    let winner = ends.registered[0];
    assert!(ends.failures.values().all(|failure| *failure == RegistrationFailure::EmailTaken));
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, usize::from(answers.iter().any(|answer| answer.body["id"] == json!(winner))));
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.expect_problem(409, "email-taken");
    }
    wait_until("what is claimed is confirmed", || Ends::of(&fleet).claims.values().all(|claim| claim.1));
    let claims: Vec<_> = Ends::of(&fleet).claims.into_values().collect();
    assert_eq!(claims, [(winner, true)], "the winner's address is all that is claimed");
    fleet.prove_what_was().await;
    for gateway in [one, two] {
        gateway.stop().await;
    }
}

/// How registrations have ended.
#[derive(Default)]
struct Ends {
    started: usize,
    registered: Vec<UserId>,
    failures: BTreeMap<UserId, RegistrationFailure>,
    /// Who holds which address, and whether that is confirmed.
    claims: BTreeMap<EmailId, (UserId, bool)>,
}

impl Ends {
    fn of(fleet: &Fleet) -> Self {
        let mut ends = Self::default();
        for event in fleet.world.events::<Event>(Service::Users) {
            let (user, address) =
                (UserId::of_stream(event.stream.as_str()), EmailId::of_stream(event.stream.as_str()));
            match (event.data, user, address) {
                (Event::RegistrationStarted(_), Some(_), _) => ends.started += 1,
                (Event::UserRegistered(_), Some(user), _) => ends.registered.push(user),
                (Event::RegistrationRejected(rejected), Some(user), _) => {
                    ends.failures.insert(user, rejected.reason);
                }
                (Event::EmailClaimed(claimed), _, Some(address)) => {
                    let before = ends.claims.insert(address, (claimed.user_id, false));
                    assert_eq!(before, None, "an address is claimed once");
                }
                (Event::EmailConfirmed(confirmed), _, Some(address)) => {
                    ends.claims.insert(address, (confirmed.user_id, true));
                }
                (Event::EmailReleased(_), _, Some(address)) => drop(ends.claims.remove(&address)),
                _ => {}
            }
        }
        ends
    }

    fn over(&self) -> usize {
        self.registered.len() + self.failures.len()
    }
}
