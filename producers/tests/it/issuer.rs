//! Another issuer: a small one of our own that says whatever a test wants, also what none should.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::get};
use factfold_producers::{Settings, access::TrustedIssuer};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode, get_current_timestamp,
    jwk::{Jwk, PublicKeyUse},
};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

use crate::stack::{Served, Stack, goods, problem};

const PATIENCE: Duration = Duration::from_secs(20);

/// An issuer that is not asked anything before it listens.
struct Issuer {
    url: String,
    said: Said,
}

/// What it says at which path, and how often it was asked.
#[derive(Clone, Default)]
struct Said {
    answers: Arc<Mutex<HashMap<&'static str, Value>>>,
    asked: Arc<AtomicU32>,
}

impl Issuer {
    fn new(url: String) -> Self {
        let issuer = Self { url, said: Said::default() };
        issuer.says(
            "/description",
            json!({ "issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url) }),
        );
        issuer
    }

    /// One that listens, with this key.
    async fn start(key: &Key) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = Self::new(format!("http://{}/tenant", listener.local_addr().expect("an address")));
        issuer.has(&[key.public()]);
        issuer.listen(listener);
        issuer
    }

    fn listen(&self, listener: TcpListener) {
        let answer = |path: &'static str| {
            get(async move |State(said): State<Said>| {
                said.asked.fetch_add(1, Ordering::Relaxed);
                Json(said.answers.lock().expect("answers")[path].clone())
            })
        };
        let router = Router::new()
            .route("/tenant/.well-known/openid-configuration", answer("/description"))
            .route("/tenant/keys", answer("/keys"))
            .with_state(self.said.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    fn says(&self, path: &'static str, answer: Value) {
        self.said.answers.lock().expect("answers").insert(path, answer);
    }

    fn has(&self, keys: &[Value]) {
        self.says("/keys", json!({ "keys": keys }));
    }

    fn settings(&self, stack: &Stack) -> Settings {
        let issuer = TrustedIssuer::new(&self.url, "shop", "/realm/roles").expect("an issuer");
        Settings { issuer: Some(issuer), ..stack.settings() }
    }

    /// What a good token of a merchant says.
    fn claims(&self) -> Value {
        let now = get_current_timestamp();
        json!({ "iss": self.url, "aud": ["other", "shop"], "sub": "anna", "iat": now, "exp": now + 600,
                "realm": { "roles": ["merchant", "baker"] } })
    }

    fn token(&self, key: &Key) -> String {
        key.sign(&self.claims())
    }
}

/// An ES256 key.
struct Key {
    kid: String,
    private: EncodingKey,
}

impl Key {
    fn new(kid: &str) -> Self {
        let pair = KeyPair::generate().expect("a key");
        Self { kid: kid.to_owned(), private: EncodingKey::from_ec_der(pair.serialized_der()) }
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.private, Algorithm::ES256).expect("a key");
        jwk.common.key_id = Some(self.kid.clone());
        jwk
    }

    fn public(&self) -> Value {
        serde_json::to_value(self.jwk()).expect("JSON")
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.private).expect("a token")
    }
}

/// The claims with one of them changed, or left out.
fn with(mut claims: Value, name: &str, value: Option<Value>) -> Value {
    let fields = claims.as_object_mut().expect("claims");
    match value {
        Some(value) => drop(fields.insert(name.to_owned(), value)),
        None => drop(fields.remove(name)),
    }
    claims
}

async fn status(gateway: &Served, token: &str) -> u16 {
    let url = format!("http://{}/v1/goods", gateway.address);
    let asked = gateway.client.post(url).bearer_auth(token).json(&goods());
    asked.send().await.expect("an answer").status().as_u16()
}

/// Waits until this token gets this answer.
async fn until_status(gateway: &Served, token: &str, wanted: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = status(gateway, token).await;
        if got == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{got} instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn anothers_token_gives_the_roles_that_it_names_to_the_same_person_always() {
    let (stack, key) = (Stack::start().await, Key::new("one"));
    let issuer = Issuer::start(&key).await;
    let mut gateway = stack.gateway_with(issuer.settings(&stack)).await;
    assert_eq!(status(&gateway, &issuer.token(&key)).await, 201);
    assert_eq!(
        status(&gateway, &stack.token(&[factfold_producers::access::Role::Merchant])).await,
        201,
        "and ours"
    );
    let customer = json!({ "roles": ["customer"] });
    assert_eq!(status(&gateway, &key.sign(&with(issuer.claims(), "realm", Some(customer)))).await, 403);
    assert_eq!(status(&gateway, &key.sign(&with(issuer.claims(), "realm", None))).await, 403);

    // A key is one's own: the same request under it is the same for the same person only.
    let mut made = Vec::new();
    for (subject, expires_in) in [("anna", 600), ("anna", 700), ("bert", 600)] {
        let claims = with(issuer.claims(), "sub", Some(json!(subject)));
        gateway.token = key.sign(&with(claims, "exp", Some(json!(get_current_timestamp() + expires_in))));
        let posted = gateway.post("/v1/goods", &goods()).header("idempotency-key", "k").send().await;
        let (status, body) = crate::stack::read(posted.expect("an answer")).await;
        assert_eq!(status, 201, "{body}");
        made.push(body["id"].clone());
    }
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0], made[2]);
}

#[tokio::test]
async fn what_the_issuer_has_not_signed_for_us_and_for_now_lets_nobody_in() {
    let (stack, key, stranger) = (Stack::start().await, Key::new("one"), Key::new("one"));
    let (secret, encrypting) =
        (EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef"), Key::new("encrypting"));
    let issuer = Issuer::start(&key).await;
    // What is no signing key is none because it is published.
    let mut hmac = Jwk::from_encoding_key(&secret, Algorithm::HS256).expect("a key");
    hmac.common.key_id = Some("secret".to_owned());
    let mut for_encrypting = encrypting.jwk();
    for_encrypting.common.public_key_use = Some(PublicKeyUse::Encryption);
    let others = [json!({ "kty": "NEW", "kid": "new" }), json!(hmac), json!(for_encrypting)];
    issuer.has(&[others.as_slice(), &[key.public()]].concat());
    let gateway = stack.gateway_with(issuer.settings(&stack)).await;
    until_status(&gateway, &issuer.token(&key), 201).await;

    let (now, claims) = (get_current_timestamp(), issuer.claims());
    let changed = |name, value| key.sign(&with(claims.clone(), name, value));
    let good = issuer.token(&key);
    let (head, signature) = good.rsplit_once('.').expect("a signature");
    let (_, payload) = head.split_once('.').expect("claims");
    let hs256 = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let public = EncodingKey::from_secret(key.public().to_string().as_bytes());
    let logout = Header { typ: Some("logout+jwt".to_owned()), ..key.header() };
    let wrong = [
        ("another audience", changed("aud", Some(json!("other")))),
        ("no audience", changed("aud", None)),
        ("another issuer", changed("iss", Some(json!(format!("{}/", issuer.url))))),
        ("no issuer", changed("iss", None)),
        ("ours, not signed by us", changed("iss", Some(json!("factfold")))),
        ("expired", changed("exp", Some(json!(now - 1)))),
        ("for ever", changed("exp", None)),
        ("not yet", changed("nbf", Some(json!(now + 300)))),
        ("nobody's", changed("sub", None)),
        ("another's key of the same name", stranger.sign(&claims)),
        ("a key for encrypting", encrypting.sign(&claims)),
        ("a published secret", encode(&hs256("secret"), &claims, &secret).expect("a token")),
        ("the public key as a secret", encode(&hs256("one"), &claims, &public).expect("a token")),
        ("a logout", encode(&logout, &claims, &key.private).expect("a token")),
        // {"alg":"none"}
        ("alg none", format!("eyJhbGciOiJub25lIn0.{payload}.")),
        ("without its signature", format!("{head}.")),
        (
            "with another's claims",
            format!("{}.{signature}", stranger.sign(&json!({})).rsplit_once('.').expect("a token").0),
        ),
    ];
    for (why, token) in wrong {
        let url = format!("http://{}/v1/goods", gateway.address);
        let (status, name, _) = problem(gateway.client.post(url).bearer_auth(token).json(&goods())).await;
        assert_eq!((status, name.as_str()), (401, "unauthenticated"), "{why}");
    }
    let soon = changed("nbf", Some(json!(now + 10)));
    assert_eq!(status(&gateway, &soon).await, 201, "its clock is a little ahead");
}

#[tokio::test]
async fn a_new_key_is_taken_up_and_the_issuer_is_left_in_peace() {
    let (stack, old, new) = (Stack::start().await, Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(&old).await;
    let gateway = stack.gateway_with(issuer.settings(&stack)).await;
    assert_eq!(status(&gateway, &issuer.token(&old)).await, 201);
    issuer.has(&[new.public(), old.public()]);
    until_status(&gateway, &issuer.token(&new), 201).await;
    assert_eq!(status(&gateway, &issuer.token(&old)).await, 201, "nobody is logged out");

    let asked = issuer.said.asked.load(Ordering::Relaxed);
    for n in 0..100 {
        assert_eq!(status(&gateway, &issuer.token(&Key::new(&format!("invented {n}")))).await, 401);
    }
    // Two questions each time: at most once in five seconds, whatever tokens say.
    let asked = issuer.said.asked.load(Ordering::Relaxed) - asked;
    assert!(asked <= 8, "asked {asked} times");
}

#[tokio::test]
async fn while_the_issuer_is_away_its_tokens_wait_and_ours_do_not() {
    let (stack, key) = (Stack::start().await, Key::new("one"));
    // Held, so that nobody else gets the port; nobody listens there yet.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let issuer = Issuer::new(format!("http://{}/tenant", held.local_addr().expect("an address")));
    issuer.has(&[key.public()]);
    let gateway = stack.gateway_with(issuer.settings(&stack)).await;
    assert_eq!(gateway.post("/v1/goods", &goods()).send().await.expect("an answer").status(), 201);
    let url = format!("http://{}/v1/goods", gateway.address);
    let asked = gateway.client.post(url).bearer_auth(issuer.token(&key)).json(&goods());
    let refused = asked.try_clone().expect("a request").send().await.expect("an answer");
    assert_eq!(crate::stack::header(&refused, "retry-after"), "5");
    let (status, name, _) = problem(asked).await;
    assert_eq!((status, name.as_str()), (503, "issuer-unavailable"));

    issuer.says(
        "/description",
        json!({ "issuer": "https://evil.example", "jwks_uri": format!("{}/keys", issuer.url) }),
    );
    issuer.listen(held.listen(16).expect("it listens"));
    let deadline = Instant::now() + PATIENCE;
    while issuer.said.asked.load(Ordering::Relaxed) == 0 {
        assert_eq!(self::status(&gateway, &issuer.token(&key)).await, 503);
        assert!(Instant::now() < deadline, "the issuer is asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(self::status(&gateway, &issuer.token(&key)).await, 503, "it calls itself by another name");

    issuer.says("/description", json!({ "issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url) }));
    until_status(&gateway, &issuer.token(&key), 201).await;
}
