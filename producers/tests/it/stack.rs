//! Topics of their own for each test, a decider, and gateways on free ports.

use std::{env, sync::Arc, time::Duration};

use factfold_producers::{
    Gateway, Settings,
    access::{Keys, Role},
};
use factfold_projections::ReadSide;
use factfold_schemas::{
    ids::UserId,
    kafka::Cluster,
    topics::{REPLIES, Service},
};
use factfold_vault::Vault;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use crate::decider::Decider;

/// The partitions of each commands topic here.
pub(crate) const PARTITIONS: i32 = 3;

/// A namespace on the cluster, with topics, a decider and a key.
pub(crate) struct Stack {
    pub(crate) cluster: Cluster,
    pub(crate) decider: Decider,
    pub(crate) keys: Arc<Keys>,
    vault: Arc<Vault>,
    pub(crate) user: UserId,
    _folder: tempfile::TempDir,
}

/// A gateway under test, and a caller with all roles of a shop.
pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) client: Client,
    pub(crate) token: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

pub(crate) fn cluster() -> Cluster {
    let brokers = env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS is not set: run deploy/test");
    let namespace = format!("t_{}", &Uuid::new_v4().simple().to_string()[..16]);
    Cluster { brokers, namespace: namespace.parse().expect("a namespace"), ..Cluster::default() }
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let cluster = cluster();
        let admin: AdminClient<DefaultClientContext> = cluster.client().create().expect("an admin client");
        let names: Vec<(String, i32)> = Service::ALL
            .into_iter()
            .flat_map(|service| [service.commands(), service.events()])
            .map(|topic| (cluster.topic(topic), PARTITIONS))
            .chain([(cluster.namespace.qualify(REPLIES), 2)])
            .collect();
        let topics: Vec<_> =
            names.iter().map(|(name, p)| NewTopic::new(name, *p, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        for made in admin.create_topics(&topics, &options).await.expect("topics") {
            made.expect("a topic");
        }
        settled(&admin, &names).await;
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Arc::new(Keys::load_or_create(&folder.path().join("key.pem")).expect("keys"));
        let decider = Decider::start(&cluster);
        let vault = Arc::new(Vault::in_memory().expect("a vault"));
        Self { cluster, decider, keys, vault, user: UserId::generate(), _folder: folder }
    }

    /// Takes the commands topics away under a running gateway.
    pub(crate) async fn delete_topics(&self) {
        let admin: AdminClient<DefaultClientContext> =
            self.cluster.client().create().expect("an admin client");
        let names = Service::ALL.map(|service| self.cluster.topic(service.commands()));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        for deleted in admin.delete_topics(&names, &options).await.expect("an answer") {
            deleted.expect("a topic");
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let unused = tempfile::tempdir().expect("a folder");
        let keys = Keys::load_or_create(&unused.path().join("key.pem")).expect("keys");
        Settings { keys: self.keys.clone(), ..Settings::new(keys, self.vault.clone()) }
    }

    pub(crate) fn token(&self, roles: &[Role]) -> String {
        self.keys.issue(self.user, roles, Duration::from_secs(600)).expect("a token")
    }

    pub(crate) async fn gateway(&self) -> Served {
        self.gateway_with(self.settings()).await
    }

    pub(crate) async fn gateway_with(&self, settings: Settings) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        // There is no Postgres here: reads say so, writes need none.
        let reads =
            ReadSide::connect(&self.cluster, "postgres://nobody@127.0.0.1:1/none", 1).await.expect("lazy");
        let (stop, stopped) = oneshot::channel::<()>();
        let cluster = self.cluster.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                stopped.await.ok();
            };
            Gateway::serve(settings, cluster, reads, listener, shutdown)
                .await
                .expect("a gateway that serves");
        });
        let token = self.token(&[Role::Customer, Role::Merchant]);
        let served = Served { address, client: Client::new(), token, stop: Some(stop), task };
        // The listener is there before the gateway is: the first answer comes when it serves.
        let alive = served.get("/healthz").send().await.expect("an answer");
        assert_eq!(alive.status(), 200);
        served
    }
}

/// Waits until every partition has its leader. A consumer that looks earlier may take half a minute to look again.
async fn settled(admin: &AdminClient<DefaultClientContext>, names: &[(String, i32)]) {
    let is_led = |name: &str, partitions: i32| {
        let Ok(metadata) = admin.inner().fetch_metadata(Some(name), Duration::from_secs(5)) else {
            return false;
        };
        let Some(topic) = metadata.topics().first() else { return false };
        let led = topic.partitions().iter().filter(|p| p.error().is_none() && p.leader() >= 0);
        led.count() == partitions as usize
    };
    let all = async {
        while !names.iter().all(|(name, partitions)| is_led(name, *partitions)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the topics get their leaders");
}

impl Served {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).bearer_auth(&self.token)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// An adjustment whose reason tells the decider what to answer.
    pub(crate) fn adjust(&self, instruction: &str) -> RequestBuilder {
        let path = format!("/v1/goods/{}/stock-adjustments", Uuid::now_v7());
        self.post(&path, &json!({ "delta": 1, "reason": instruction }))
    }

    /// Tells the gateway to stop.
    pub(crate) fn tell_to_stop(&mut self) {
        self.stop.take().expect("told once").send(()).ok();
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("in time").expect("no panic");
    }
}

/// The status, and the body as JSON.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// The problem in a response: its status and its name.
pub(crate) async fn problem(request: RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.expect("an answer");
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let (status, body) = read(response).await;
    assert_eq!(body["status"], status);
    let name = body["type"].as_str().expect("a type").strip_prefix("/problems/").expect("ours").to_owned();
    (status, name, body)
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(crate) fn goods() -> Value {
    json!({ "name": "Tea", "price": { "amount": 250, "currency": "EUR" }, "stock": 3 })
}
