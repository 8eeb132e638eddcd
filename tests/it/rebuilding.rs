//! Every read model is built anew beside itself, shown, and taken back, under load, while projectors die. Whoever reads sees what
//! they have written, every time.

use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use factfold_producers::access::Role;
use factfold_projections::{Build, Catalogue, Projection};
use factfold_schemas::{ids::UserId, topics::Service};
use serde_json::json;

use crate::{
    fleet::Fleet,
    load::{Clients, Load},
    system::Client,
    walk,
    world::{PATIENCE, until_within},
};

/// Writes and reads until told to stop; says how often.
async fn reads_its_own_writes(merchant: Client, is_over: Arc<AtomicBool>) -> u64 {
    let tea = walk::goods(&merchant, 0, 500).await;
    let goods = format!("/v1/goods/{tea}");
    let mut pieces = 0;
    while !is_over.load(Ordering::Relaxed) {
        pieces += 1;
        let adjust = json!({ "delta": 1, "reason": "delivery" });
        let adjusted = merchant.post(&format!("{goods}/stock-adjustments"), adjust).await.expect(200);
        let position = adjusted.header("factfold-position").to_owned();
        let shown = merchant.get_at(&goods, &position).await.expect(200);
        assert_eq!(shown.body["stock"], pieces, "a stale read");
        merchant.get_at("/v1/orders?limit=5", &position).await.expect(200);
    }
    pieces
}

fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until this build is shown.
async fn shown(catalogue: &mut Catalogue, build: Build) {
    until_within(2 * PATIENCE, "it is shown", async || {
        let entries = catalogue.builds().await.expect("builds");
        let entry = entries.into_iter().find(|entry| entry.build == build).expect("it is there");
        if entry.current { Ok(()) } else { Err(entry) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_model_is_rebuilt_under_load_and_no_reader_notices() {
    let fleet = Fleet::new().await;
    let mut workers = vec![fleet.worker(Service::Goods, 1), fleet.worker(Service::Orders, 1)];
    for worker in &mut workers {
        worker.works().await;
    }
    let mut projectors = [fleet.projector(1), fleet.projector(2)];
    let (mut gateway, address) = fleet.gateway(1).await;
    let load = Arc::new(Load::new());
    let mut dice = load.dice();
    load.set_address(Some(format!("http://{address}")));
    let clients = Clients::start(&load, &fleet.world.cluster, |user, roles| fleet.token(user, roles));
    fleet.go_on(&load, 100).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let user = UserId::generate();
    let merchant =
        Client::new(format!("http://{address}"), user, fleet.token(user, &[Role::Merchant])).patient();
    let reading = tokio::spawn(reads_its_own_writes(merchant, is_over.clone()));

    let mut catalogue = fleet.catalogue().await;
    for projection in Projection::ALL {
        let name = projection.name();
        let build = Build { projection, version: 2 };
        assert_eq!(
            said(&fleet.run(&["projections", "rebuild", name]).await),
            format!("{build} is being built")
        );
        // Anywhere in it.
        dice.any_moment(1500).await;
        let number = dice.roll(2) as u16;
        let slot = &mut projectors[usize::from(number)];
        std::mem::replace(slot, fleet.projector(number + 1)).kill();
        shown(&mut catalogue, build).await;
        fleet.go_on(&load, 20).await;
        let back = Build { projection, version: 1 };
        assert_eq!(said(&fleet.run(&["projections", "back", name]).await), format!("{back} is shown"));
        fleet.go_on(&load, 20).await;
        said(&fleet.run(&["projections", "switch", name, "2"]).await);
        said(&fleet.run(&["projections", "drop", name, "1"]).await);
        eprintln!("{name} was built anew");
    }
    let list = said(&fleet.run(&["projections", "list"]).await);
    assert_eq!(list.matches("shown").count(), Projection::ALL.len(), "{list}");
    // All of it is what happened, while more happens.
    let verified = said(&fleet.run(&["verify"]).await);
    assert_eq!(verified.matches("rows are what happened").count(), Projection::ALL.len(), "{verified}");
    eprintln!("{verified}");
    is_over.store(true, Ordering::Relaxed);
    let pieces = reading.await.unwrap_or_else(|error| {
        let text = gateway.text();
        let errors: Vec<_> = text.lines().filter(|line| line.contains("ERROR")).collect();
        panic!("a stale read, or one that failed: {error}\n{}", errors.join("\n"))
    });
    eprintln!("{pieces} writes were read meanwhile");
    clients.end(2 * PATIENCE).await.expect("clients end");
    fleet.prove(&load).await;
    projectors.iter_mut().for_each(|projector| projector.assert_alive());
    gateway.assert_alive();
}
