//! The whole system in this process, in a namespace of its own: every role, and clients of its HTTP API.

use std::{
    env,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::{
    roles::Roles,
    settings::{Sourced, Sources},
};
use factfold_producers::access::{Keys, Role};
use factfold_registry::Registry;
use factfold_schemas::{ids::UserId, topics::Service};
use factfold_vault::Vault;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use uuid::Uuid;

use crate::{
    proof::prove_what_was,
    world::{PATIENCE, World, of_functions},
};

/// How soon a patient client asks again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A running system.
pub(crate) struct System {
    pub(crate) world: World,
    pub(crate) http: String,
    keys: Keys,
    folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<anyhow::Result<()>>,
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Client {
    http: String,
    client: reqwest::Client,
    pub(crate) token: Option<String>,
    is_patient: bool,
    /// Whom the token names.
    pub(crate) user: UserId,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl System {
    /// Starts every role.
    pub(crate) async fn start() -> Self {
        let world = World::new().await;
        let folder = env::temp_dir().join(format!("factfold-{}", world.name()));
        let mut flags = vec![
            ("brokers", world.cluster.brokers.clone()),
            ("database_url", env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test")),
            ("namespace", world.name()),
            ("session_timeout_ms", "6000".to_owned()),
            ("transaction_timeout_ms", "5000".to_owned()),
            ("connections_max", "4".to_owned()),
            ("state_dir", folder.join("state").display().to_string()),
        ];
        flags.extend(of_functions().map(|(setting, _, value)| (setting, value)));
        let settings = Sourced::read(Sources { flags, ..Sources::default() }).expect("settings").settings;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let http = format!("http://{}", listener.local_addr().expect("an address"));
        let key_file = folder.join("token.pem");
        let mut roles = Roles::new(settings, &folder, 0).expect("roles");
        for service in Service::ALL {
            roles.add_worker(service).await.expect("a worker");
        }
        roles.add_functions().await.expect("what runs functions");
        roles.add_projector().await.expect("a projector");
        roles.wait_for_workers().await.expect("workers");
        roles.add_gateway(listener, &key_file).await.expect("a gateway");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(roles.run(async {
            // Dropped or sent, it is over.
            let _ = stopped.await;
        }));
        let keys = Keys::load_or_create(&key_file).expect("keys");
        let system = Self { world, http, keys, folder, stop: Some(stop), running };
        system.client(&[]).ready().await;
        system
    }

    /// What another process knows of the functions, and runs them with, for four calls at once.
    pub(crate) async fn another_registry(&self) -> Registry {
        let settings = factfold_registry::Settings {
            runners: env::var_os("FACTFOLD_FUNCTIONS_RUNNERS").expect("run deploy/test").into(),
            cache: self.folder.join("another"),
            calls_max: 4,
            memory_mib_max: 1024,
        };
        let (cluster, vault) = (self.world.cluster.clone(), Arc::new(Vault::in_memory().expect("a vault")));
        let opened = spawn_blocking(move || Registry::open(&cluster, &settings, vault)).await;
        opened.expect("no panic").expect("a registry")
    }

    /// Somebody new, with these roles.
    pub(crate) fn client(&self, roles: &[Role]) -> Client {
        let user = UserId::generate();
        let token = self.keys.issue(user, roles, Duration::from_secs(600)).expect("a token");
        Client::new(&self.http, user, token)
    }

    /// Somebody who shows this instead of a token.
    pub(crate) fn impostor(&self, token: Option<&str>) -> Client {
        Client { token: token.map(str::to_owned), ..self.client(&[]) }
    }

    /// Stops every role, once everything that was done here is proved to add up.
    pub(crate) async fn stop_proved(self) {
        let database_url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
        prove_what_was(&self.world.cluster, &database_url, &[]).await;
        self.stop().await;
    }

    /// Stops every role.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.running.await.expect("no panic").expect("every role stopped well");
        // What is left is a key that opens nothing.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Client {
    /// Somebody who calls here, with this token.
    pub(crate) fn new(http: impl Into<String>, user: UserId, token: String) -> Self {
        Self {
            http: http.into(),
            client: reqwest::Client::new(),
            token: Some(token),
            user,
            is_patient: false,
        }
    }

    /// The same, over TLS, with certificates of this issuer (in PEM).
    pub(crate) fn trusting(self, issuer: &str) -> Self {
        let issuer = reqwest::Certificate::from_pem(issuer.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_merge([issuer]).build().expect("a client");
        Self { client, ..self }
    }

    /// The same, with a connection for each request; and what is not answered, or not decided yet, is asked again under
    /// the same key until it is. So a gateway may go away at any moment.
    pub(crate) fn patient(self) -> Self {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        Self { client, is_patient: true, ..self }
    }

    /// What it shows to say who it is.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// A request; more headers as `name: value`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.request(method.clone(), path, headers);
        if let Some(body) = body {
            request = request.json(&body);
        }
        if !self.is_patient {
            return send(request).await.expect("an answer");
        }
        if method == Method::POST {
            request = request.header("idempotency-key", Uuid::new_v4().to_string());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let again = request.try_clone().expect("a body in memory");
            match send(again).await {
                Ok(answer) if !matches!(answer.status.as_u16(), 202 | 429 | 502..=504) => return answer,
                answer => assert!(Instant::now() < deadline, "{method} {path} is asked in vain: {answer:?}"),
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// The response to a GET, whose body may go on.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        self.request(Method::GET, path, headers).send().await.expect("an answer")
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.http));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None, &[]).await
    }

    /// A read that has seen this position.
    pub(crate) async fn get_at(&self, path: &str, position: &str) -> Answer {
        self.ask(Method::GET, path, None, &[("factfold-at-least", position)]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None, &[]).await
    }

    /// Counts a piece more, under this key; whether that was decided.
    pub(crate) async fn try_adjust(&self, goods: &str, key: &str) -> bool {
        let body = serde_json::json!({ "delta": 1, "reason": "counted" });
        let request = self.request(
            Method::POST,
            &format!("/v1/goods/{goods}/stock-adjustments"),
            &[("idempotency-key", key)],
        );
        send(request.json(&body)).await.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    /// A command as a CloudEvent.
    pub(crate) async fn send(&self, event: Value) -> Answer {
        let headers = [("content-type", "application/cloudevents+json")];
        self.ask(Method::POST, "/v1/commands", Some(event), &headers).await
    }

    /// The same, showing nothing.
    pub(crate) fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The same, showing this.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    async fn ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/readyz").await;
            if answer.status == StatusCode::OK {
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {}", answer.body);
            tokio::task::yield_now().await;
        }
    }
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, headers, body })
}

impl Answer {
    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// A problem of this name, with this status.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, name: &str) -> Self {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        assert_eq!(self.body["type"], format!("/problems/{name}"), "{}", self.body);
        self.expect(status)
    }

    /// A header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
            .to_str()
            .expect("text")
    }

    /// A field that is a text.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.body)).to_owned()
    }
}
