//! Users, end to end: how somebody becomes one, comes in, goes on, may do more and less, and is forgotten.

use std::time::Instant;

use factfold_producers::access::Role;
use factfold_schemas::{ids::UserId, personal::Personal};
use factfold_vault::{Secrets, Vault};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    sse::Sse,
    system::{Answer, Client, System},
    world::{PATIENCE, World, until},
};

const PASSWORD: &str = "seven odd purple teapots";

/// Somebody who has only an address.
struct Person<'a> {
    system: &'a System,
    email: String,
}

impl<'a> Person<'a> {
    fn new(system: &'a System, name: &str) -> Self {
        Self { system, email: format!("{name}@example.org") }
    }

    async fn registers(&self) -> Answer {
        let body = json!({ "email": self.email, "name": "Ada Lovelace", "password": PASSWORD });
        self.system.impostor(None).post("/v1/users", body).await
    }

    async fn logs_in(&self, password: &str) -> Answer {
        let body = json!({ "email": self.email, "password": password });
        self.system.impostor(None).post("/v1/sessions", body).await
    }

    async fn refreshes(&self, token: &str) -> Answer {
        self.system.impostor(None).post("/v1/sessions/refresh", json!({ "refresh_token": token })).await
    }

    /// Whoever holds this access token.
    fn with(&self, tokens: &Value) -> Client {
        self.system.impostor(tokens["access_token"].as_str())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_registers_comes_in_and_leaves() {
    let system = System::start().await;
    let ada = Person::new(&system, "ada");
    let registered = ada.registers().await.expect(201);
    assert_eq!(registered.body["email"], "ada@example.org", "{}", registered.body);
    assert_eq!(
        (&registered.body["status"], &registered.body["name"]),
        (&json!("active"), &json!("Ada Lovelace"))
    );

    // At once, and in another spelling.
    let ada = Person { email: "ADA@Example.Org".to_owned(), ..ada };
    let tokens = ada.logs_in(PASSWORD).await.expect(201).body;
    let me = ada.with(&tokens).get("/v1/users/me").await.expect(200);
    assert_eq!((&me.body["id"], &me.body["roles"]), (&registered.body["id"], &json!(["customer"])));
    ada.with(&tokens).post("/v1/orders", json!({ "lines": [] })).await.expect_problem(422, "invalid-fields");

    let next = ada.refreshes(tokens["refresh_token"].as_str().expect("a token")).await.expect(200).body;
    ada.with(&next).get("/v1/users/me").await.expect(200);

    ada.with(&next).delete("/v1/sessions/current").await.expect(204);
    until_refused(&ada.with(&next)).await;
    let refresh = next["refresh_token"].as_str().expect("a token");
    ada.refreshes(refresh).await.expect_problem(401, "session-over");
    system.stop_proved().await;
}

/// Wrong in any way, it says the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_tells_nothing_and_tires() {
    let system = System::start().await;
    let (ada, nobody) = (Person::new(&system, "ada"), Person::new(&system, "nobody"));
    ada.registers().await.expect(201);
    ada.registers().await.expect_problem(409, "email-taken");
    // Who asks again under the same key is told the same, also once what was said is forgotten. (Seen failing before.)
    let body = json!({ "email": "ada@example.org", "name": "Another Ada", "password": PASSWORD });
    for _ in 0..20 {
        let key = [("idempotency-key", "again")];
        let anybody = system.impostor(None);
        let refused = anybody.ask(Method::POST, "/v1/users", Some(body.clone()), &key).await;
        refused.expect_problem(409, "email-taken");
    }
    let wrong = ada.logs_in("seven odd purple teapot").await.expect_problem(401, "wrong-credentials").body;
    let unknown = nobody.logs_in(PASSWORD).await.expect_problem(401, "wrong-credentials").body;
    assert_eq!((&wrong["detail"], &wrong["title"]), (&unknown["detail"], &unknown["title"]));

    for person in [&ada, &nobody] {
        for _ in 0..4 {
            person.logs_in("not my password").await.expect_problem(401, "wrong-credentials");
        }
        let refused = person.logs_in(PASSWORD).await.expect_problem(429, "too-many-attempts");
        assert!(refused.header("retry-after").parse::<u32>().is_ok());
    }
    system.stop_proved().await;
}

/// A token ends with what it was made for.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_with_the_password_the_role_and_the_account() {
    let system = System::start().await;
    let ada = Person::new(&system, "ada");
    let id = ada.registers().await.expect(201).text("id");
    let admin = system.client(&[Role::Admin]);
    let first = ada.logs_in(PASSWORD).await.expect(201).body;
    let accept = [("accept", "text/event-stream")];
    let live = ada.with(&first).open(&format!("/v1/streams/user-{id}/events"), &accept).await;
    let mut live = Sse::new(live);

    let password =
        json!({ "current_password": "wrong wrong wrong", "new_password": "eight odd purple teapots" });
    ada.with(&first).put("/v1/users/me/password", password).await.expect_problem(422, "invalid-fields");
    let password = json!({ "current_password": PASSWORD, "new_password": "eight odd purple teapots" });
    ada.with(&first).put("/v1/users/me/password", password).await.expect(200);
    until_refused(&ada.with(&first)).await;
    // What was begun with it ends, too.
    let mut last = Value::Null;
    while let Some(said) = live.next().await {
        last = said;
    }
    assert_eq!(last["reason"], "token-revoked", "{last}");
    ada.refreshes(first["refresh_token"].as_str().expect("a token"))
        .await
        .expect_problem(401, "session-over");
    ada.logs_in(PASSWORD).await.expect_problem(401, "wrong-credentials");
    let second = ada.logs_in("eight odd purple teapots").await.expect(201).body;

    let role = format!("/v1/users/{id}/roles/merchant");
    admin.put(&role, json!({})).await.expect(200);
    let goods = json!({ "name": "Tea", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    ada.with(&second).post("/v1/goods", goods.clone()).await.expect_problem(403, "forbidden");
    let third = ada.refreshes(second["refresh_token"].as_str().expect("a token")).await.expect(200).body;
    ada.with(&third).post("/v1/goods", goods.clone()).await.expect(201);
    admin.delete(&role).await.expect(200);
    until_refused(&ada.with(&third)).await;
    let fourth = ada.refreshes(third["refresh_token"].as_str().expect("a token")).await.expect(200).body;
    ada.with(&fourth).post("/v1/goods", goods).await.expect_problem(403, "forbidden");

    let deactivation = format!("/v1/users/{id}/deactivation");
    ada.with(&fourth).post(&deactivation, json!({ "reason": "mine" })).await.expect_problem(403, "forbidden");
    admin.post(&deactivation, json!({ "reason": "gone" })).await.expect(200);
    until_refused(&ada.with(&fourth)).await;
    ada.logs_in("eight odd purple teapots").await.expect_problem(401, "wrong-credentials");
    // The address can be used again.
    let again = until_registered(&ada).await;
    assert_ne!(again.text("id"), id);
    system.stop_proved().await;
}

/// A refresh token that comes again was stolen, from one or by the other: both have to show a password.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_thieves_get_nothing() {
    let system = System::start().await;
    let (ada, bob) = (Person::new(&system, "ada"), Person::new(&system, "bob"));
    let id = ada.registers().await.expect(201).text("id");
    bob.registers().await.expect(201);
    let tokens = bob.logs_in(PASSWORD).await.expect(201).body;
    let stranger = bob.with(&tokens);
    for (path, body) in [
        (format!("/v1/users/{id}/deactivation"), json!({ "reason": "x" })),
        (format!("/v1/users/{id}/roles/admin"), json!({})),
    ] {
        let answer = if path.ends_with("admin") {
            stranger.put(&path, body).await
        } else {
            stranger.post(&path, body).await
        };
        answer.expect_problem(403, "forbidden");
    }
    stranger.get("/v1/users").await.expect_problem(403, "forbidden");
    for (name, data, status) in [
        ("UpdateProfile", json!({ "name": "Mallory" }), 202),
        ("GrantRole", json!({ "role": "admin" }), 403),
        ("OpenSession", json!({ "session_id": id, "password_number": 0 }), 403),
        ("RegisterUser", json!({ "email": "x@example.org", "name": "x", "password_hash": "x" }), 403),
    ] {
        let event =
            json!({ "specversion": "1.0", "type": name, "subject": format!("user-{id}"), "data": data });
        stranger.send(event).await.expect(status);
    }
    let shown = system.client(&[Role::Admin]).get("/v1/users").await.expect(200);
    assert!(shown.body["items"].as_array().expect("users").iter().all(|user| user["name"] == "Ada Lovelace"));

    let refresh = tokens["refresh_token"].as_str().expect("a token");
    stranger.with_token(refresh).get("/v1/users/me").await.expect_problem(401, "unauthenticated");
    bob.refreshes(tokens["access_token"].as_str().expect("a token"))
        .await
        .expect_problem(401, "session-over");
    system.stop_proved().await;
}

/// Forgotten is forgotten, at once and everywhere that it can be asked for.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_be_forgotten_is() {
    let system = System::start().await;
    let ada = Person::new(&system, "ada");
    let id: UserId = ada.registers().await.expect(201).text("id").parse().expect("an id");
    let tokens = ada.logs_in(PASSWORD).await.expect(201).body;
    let auditor = system.client(&[Role::Auditor]);
    let history = format!("/v1/streams/{}/events", id.stream());
    let before = auditor.get(&history).await.expect(200);
    assert!(before.body.to_string().contains("Ada Lovelace"), "{}", before.body);

    let erased = ada.with(&tokens).delete("/v1/users/me/personal-data").await.expect(200);
    assert_eq!((&erased.body["status"], &erased.body["name"]), (&json!("erased"), &Value::Null));
    until_refused(&ada.with(&tokens)).await;
    let after = auditor.get(&history).await.expect(200).body.to_string();
    assert!(!after.contains("Ada Lovelace") && !after.contains("ada@example.org"), "{after}");
    assert!(after.contains("[erased]") && after.contains("PersonalDataErased"), "{after}");
    ada.logs_in(PASSWORD).await.expect_problem(401, "wrong-credentials");
    until_registered(&ada).await;
    system.stop_proved().await;
}

/// Every gateway knows who has a key, also one that was made a moment ago, and waits for nobody who has none.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_is_not_waited_for() {
    let world = World::new().await;
    let cluster = world.cluster.clone();
    let looked_up = spawn_blocking(move || {
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = Secrets::load_or_create(&folder.path().join("secrets")).expect("secrets");
        let [one, other] = [(); 2].map(|()| Vault::open(&cluster, secrets.clone()).expect("a vault"));
        for _ in 0..10 {
            let user = UserId::generate();
            one.seal(user, "name", &Personal::new("Ada Lovelace".to_owned())).expect("sealed");
            assert!(other.look_up(user, PATIENCE), "one that was just made");
        }
        let began = Instant::now();
        assert!(!other.look_up(UserId::generate(), 10 * PATIENCE));
        began.elapsed()
    });
    let took = looked_up.await.expect("no panic");
    assert!(took < PATIENCE, "{took:?}");
}

/// A gateway hears of what makes a token void a moment later.
async fn until_refused(client: &Client) {
    until("the token is refused", async || match client.get("/v1/users/me").await.status {
        StatusCode::UNAUTHORIZED => Ok(()),
        status => Err(status),
    })
    .await;
}

/// An address is given back a moment after its account is closed.
async fn until_registered(person: &Person<'_>) -> Answer {
    until("the address can be had again", async || {
        let answer = person.registers().await;
        if answer.status == StatusCode::CREATED {
            return Ok(answer);
        }
        assert_eq!(answer.body["type"], "/problems/email-taken", "{}", answer.body);
        Err(answer.body)
    })
    .await
}
