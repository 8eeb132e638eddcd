//! The disk is full, for Kafka and for PostgreSQL: whoever writes is told in clear words, `factfold up` stays, and when there
//! is room again it goes on by itself, and everything adds up.

use std::{sync::Arc, time::Instant};

use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;
use serde_json::json;

use crate::{
    disk::Disk,
    installation::{Installation, cluster},
    load::{Clients, Load},
    process::Process,
    proof::prove,
    system::Client,
    world::PATIENCE,
};

/// Room for both, and some load.
const DISK_MIB: usize = 2048;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_survived() {
    let folder = Installation::folder();
    let disk = match Disk::mount(folder.path(), DISK_MIB) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: a small disk cannot be mounted here: {why}"),
    };
    let mut installation = Installation::in_folder(folder).await;
    let addresses = installation.start().await;
    let load = Arc::new(Load::new());
    let clients = Clients::start(&load, &cluster(&addresses), |user, roles| installation.token(user, roles));
    load.set_address(addresses.http.clone());
    installation.go_on(&load, 100).await;

    let (filling, filled) = (disk.fill(), Instant::now());
    let user = UserId::generate();
    let token = installation.token(user, &[Role::Merchant]);
    let client = Client::new(addresses.http.as_deref().expect("a gateway"), user, token);
    let body = json!({ "name": "Tea", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    let refused = loop {
        let answer = client.post("/v1/goods", body.clone()).await;
        if !answer.status.is_success() {
            break answer;
        }
        assert!(filled.elapsed() < PATIENCE, "there is room without end");
    };
    eprintln!("refused after {:?}: {} {}", filled.elapsed(), refused.status, refused.body);
    assert!(matches!(refused.status.as_u16(), 503 | 504), "{refused:?}");
    for said in ["No space left on device", "kafka: trying again in 800ms"] {
        let says = |process: &Process| process.text().contains(said).then_some(());
        installation.process().wait(said, says).await;
        eprintln!("`{said}` after {:?}", filled.elapsed());
    }

    drop(filling);
    let freed = Instant::now();
    installation.go_on(&load, 100).await;
    eprintln!("went on after {:?}", freed.elapsed());
    let ended = clients.end(3 * PATIENCE).await;
    ended.unwrap_or_else(|error| panic!("{error}: {}", installation.process().tail()));
    prove(&cluster(&addresses), &addresses.database_url, &load).await;
    installation.assert_alive();
    installation.stop().await;
}
