//! Too many clients, and a database that stands still: what cannot be done now is refused at once and in clear words, what
//! was accepted is decided, and it recovers by itself.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold::addresses::Addresses;
use factfold_producers::access::Role;
use factfold_schemas::{ids::UserId, topics::Namespace};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::sleep;

use crate::{
    installation::{Installation, cluster},
    load::{Clients, Load},
    proof::prove,
    system::Client,
    world::PATIENCE,
};

/// How many requests may wait at once in these tests, and ten times as many clients.
const WAITING_MAX: &str = "16";
const TOO_MANY: usize = 160;
/// How much the many may add to the memory of the whole process. (What waits, and a connection for each.)
const MEMORY_ADDED_MAX: u64 = 100 << 20;
/// A refusal takes no work; but all these clients are on the same few cores. Who waited for a place would wait for longer.
const REFUSAL_MEDIAN_MAX: Duration = Duration::from_secs(1);
const REFUSAL_P99_MAX: Duration = Duration::from_secs(5);
/// How soon after the last of too many an answer comes as if nothing had been.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// As a person feels it.
const QUICK: Duration = Duration::from_secs(1);

fn size(full: u64, small: u64) -> Duration {
    Duration::from_secs(if env::var_os("FACTFOLD_FULL").is_some() { full } else { small })
}

fn somebody(installation: &Installation, addresses: &Addresses) -> Client {
    let user = UserId::generate();
    let token = installation.token(user, &[Role::Merchant, Role::Customer]);
    Client::new(addresses.http.as_deref().expect("a gateway"), user, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_many_clients_are_refused_at_once_and_what_was_accepted_is_decided() {
    let mut installation = Installation::new().await.with("FACTFOLD_WAITING_MAX", WAITING_MAX);
    let addresses = installation.start().await;
    let load = Arc::new(Load::new());
    load.set_address(addresses.http.clone());
    let (cluster, token) = (cluster(&addresses), |user, roles: &[Role]| installation.token(user, roles));
    let few = Clients::start(&load, &cluster, token);
    let waited = load.wait_for_answers(200, PATIENCE).await;
    waited.expect("the few are served");
    let many = Clients::start_many(TOO_MANY, &load, &cluster, token);
    let (before, _) = installation.process().memory();
    sleep(size(60, 10)).await;
    let (after, most) = installation.process().memory();
    load.stop();

    let (stopped, client) = (Instant::now(), somebody(&installation, &addresses));
    let body = json!({ "name": "Tea", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    loop {
        let asked = Instant::now();
        let answer = client.post("/v1/goods", body.clone()).await;
        if answer.status == 201 && asked.elapsed() < QUICK {
            break;
        }
        assert!(stopped.elapsed() < RECOVERY_MAX, "it does not recover: {answer:?}");
    }
    eprintln!("recovered after {:?}", stopped.elapsed());
    for clients in [few, many] {
        clients.end(PATIENCE).await.expect("clients end");
    }

    let mut refusals = load.refusals();
    refusals.sort_unstable();
    let nth = |percent: usize| refusals[(refusals.len() - 1) * percent / 100];
    assert!(refusals.len() > TOO_MANY, "too few were refused: {}", refusals.len());
    eprintln!("{} refusals: p50 {:?}, p99 {:?}, most {:?}", refusals.len(), nth(50), nth(99), nth(100));
    eprintln!("memory: {} MB, then {}, at most {}", before >> 20, after >> 20, most >> 20);
    assert!(nth(50) < REFUSAL_MEDIAN_MAX && nth(99) < REFUSAL_P99_MAX, "refusals are slow");
    assert!(most < before + MEMORY_ADDED_MAX, "memory grew from {before} to {most} bytes");
    prove(&cluster, &addresses.database_url, &load).await;
    installation.assert_alive();
    installation.stop().await;
}

/// The tables of the read models are locked against writing, as a careless migration does it.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_read_models_stand_still_writes_go_on_and_reads_say_so() {
    let mut installation = Installation::new().await;
    let addresses = installation.start().await;
    let client = somebody(&installation, &addresses);
    let body = json!({ "name": "Tea", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    let added = client.post("/v1/goods", body).await.expect(201);
    let path = format!("/v1/goods/{}", added.text("id"));
    client.get_at(&path, added.header("factfold-position")).await.expect(200);

    let mut database = PgConnection::connect(&addresses.database_url).await.expect("the database");
    let mut lock = database.begin().await.expect("a transaction");
    let like = format!("{}%", Namespace::default().schema());
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE $1";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).bind(like).fetch_all(&mut *lock).await.expect("tables");
    let locking = format!("LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "));
    sqlx::query(AssertSqlSafe(locking)).execute(&mut *lock).await.expect("locked");

    let (locked, mut stock) = (Instant::now(), 1);
    let last = loop {
        let adjust = json!({ "delta": 1, "reason": "delivery" });
        let asked = Instant::now();
        let written = client.post(&format!("{path}/stock-adjustments"), adjust).await.expect(200);
        assert!(asked.elapsed() < QUICK, "a write took {:?}", asked.elapsed());
        stock += 1;
        let position = written.header("factfold-position").to_owned();
        client.get_at(&path, &position).await.expect_problem(503, "read-behind");
        if locked.elapsed() > size(30, 5) {
            break position;
        }
    };
    assert_eq!(client.get(&path).await.expect(200).body["stock"], 1, "as far as it has come");

    lock.rollback().await.expect("unlocked");
    let unlocked = Instant::now();
    let read = loop {
        let read = client.get_at(&path, &last).await;
        if read.status == 200 {
            break read;
        }
        assert!(unlocked.elapsed() < RECOVERY_MAX, "it does not recover: {read:?}");
    };
    eprintln!("recovered after {:?}", unlocked.elapsed());
    assert_eq!(read.body["stock"], stock);
    installation.stop().await;
}
