//! `factfold verify` and what it finds: nothing in what really happened, and in a copy every record that contradicts the others.

use std::{collections::BTreeSet, env};

use factfold_projections::migrate;
use factfold_schemas::{cloudevents::Outgoing, position::Position, topics::Service};
use serde_json::{Value, json};

use crate::{cli::Cli, replaying::some_history, world::World};

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
