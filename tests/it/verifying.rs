//! `factfold verify` and what it finds: nothing in what really happened, and in a copy every record that contradicts the others.

use std::{collections::BTreeSet, env};

use factfold_projections::migrate;
use factfold_schemas::{cloudevents::Outgoing, position::Position, topics::Service};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{cli::Cli, fleet::Fleet, process::Process, replaying::some_history, world::World};

/// Everything that is altered in the copy of one service, once each.
struct Altered {
    /// What it is of.
    type_name: &'static str,
    alter: fn(&mut Value),
}

const ALTERED: [(Service, &[Altered]); 2] = [
    (
        Service::Goods,
        &[
            Altered { type_name: "GoodsAdded", alter: |data| data["stock"] = json!(-1) },
            Altered { type_name: "StockReserved", alter: |data| data["quantity"] = json!(1) },
        ],
    ),
    (
        Service::Orders,
        &[
            Altered { type_name: "OrderPaid", alter: |data| data["amount"]["amount"] = json!(499) },
            Altered { type_name: "OrderRefunded", alter: |data| data["amount"]["amount"] = json!(201) },
            Altered { type_name: "OrderRejected", alter: |data| *data = json!("nothing") },
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_sound_and_every_altered_event_is_named() {
    let (here, there) = (World::new().await, World::new().await);
    let url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    for world in [&here, &there] {
        migrate(&world.cluster, &url).await.expect("tables");
    }
    some_history(&here).await;
    let said = Cli(&here).ok(&["verify"]);
    assert_eq!(said.matches("records add up").count(), Service::ALL.len(), "{said}");

    for (service, altered) in ALTERED {
        let mut expected = BTreeSet::new();
        let mut to_alter: Vec<_> = altered.iter().collect();
        for record in here.read(service.events()) {
            let header = |name: &str| record.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value);
            let type_name = header("ce_type").map(|value| String::from_utf8_lossy(value).into_owned());
            let mut value = record.value.clone();
            let found = to_alter.iter().position(|altered| Some(altered.type_name) == type_name.as_deref());
            let alter = found.map(|at| to_alter.remove(at).alter);
            if let Some(alter) = alter {
                let mut data = serde_json::from_slice(value.as_deref().expect("a value")).expect("JSON");
                alter(&mut data);
                value = Some(data.to_string().into_bytes());
            }
            let headers = record.headers.iter().cloned().collect();
            let copy = Outgoing { key: record.key.clone(), value, headers };
            let at = there.write(service.events(), record.partition, &copy).await;
            if alter.is_some() {
                expected.insert(at);
            }
        }
        assert!(to_alter.is_empty(), "the history has one of each");
        let verified = Cli(&there).run(&["verify", service.name(), "--json"]);
        assert_eq!(verified.code, 1, "{}", verified.err);
        let report: Value = serde_json::from_str(&verified.out).expect("a report");
        assert_eq!(report["sound"], false);
        let findings = report["logs"][0]["findings"].as_array().expect("findings");
        let named: BTreeSet<Position> = findings
            .iter()
            .map(|finding| finding["at"].as_str().expect("a position").parse().expect("a position"))
            .collect();
        assert!(named.is_superset(&expected), "{expected:?} {report:#}");
    }
}

/// A projector that verifies says so where operators look: what is logged here is what its metrics show.
#[tokio::test(flavor = "multi_thread")]
async fn a_projector_finds_by_itself_what_is_not_what_happened() {
    let fleet = Fleet::new().await;
    some_history(&fleet.world).await;
    let mut projector =
        fleet.start("the projector", &["projector"], 1, &[("FACTFOLD_VERIFY_EVERY_MS", "100")]);
    let rounds = |process: &Process| {
        let rounds = process.lines(0).into_iter().filter(|line| line["message"] == "verified");
        rounds.map(|line| (line["findings"].as_u64(), line["differences"].as_u64())).collect::<Vec<_>>()
    };
    projector
        .wait("a sound round", |process| rounds(process).contains(&(Some(0), Some(0))).then_some(()))
        .await;
    let url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    let mut postgres = PgConnection::connect(&url).await.expect("Postgres");
    let alter = format!("UPDATE {}_goods_1.goods SET stock = 999", fleet.world.cluster.namespace.schema());
    sqlx::query(AssertSqlSafe(alter)).execute(&mut postgres).await.expect("altered");
    projector.wait("a finding", |process| rounds(process).contains(&(Some(0), Some(1))).then_some(())).await;
    projector.assert_alive();
}
