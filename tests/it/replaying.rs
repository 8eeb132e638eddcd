//! What leaves the log as something else is still what happened: copies in other topics, tables for analysts, logs of objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::Duration,
};

use factfold_checker::log::Record;
use factfold_projections::migrate;
use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    orders::{Command, CreateOrder, Event, PayOrder, RefundOrder, RequestedLine},
    topics::Service,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{
    cli::Cli,
    fleet::Fleet,
    goods::{add, eur, take},
    process::PROCESS_PATIENCE,
    python::{expect_content, ours, tools},
    world::{Job, PATIENCE, World, home, settings, until_within, wait_until},
};

/// How long DuckDB may take for what is little.
const DUCKDB_PATIENCE: Duration = Duration::from_secs(60);
/// What the history shows to people, in Postgres.
const VIEWS: [&str; 4] = ["goods", "orders", "order_lines", "order_timeline"];

/// One order is paid and paid back, one waits to be paid, and one is rejected.
pub(crate) async fn some_history(world: &World) {
    let _workers = world.start_all();
    let (tea, user) = (GoodsId::generate(), UserId::generate());
    world.send(Service::Goods, "tea", &tea.stream(), &add(5)).await;
    let orders = [2, 3, 100].map(|quantity| (OrderId::generate(), quantity));
    for (order, quantity) in orders {
        let lines = vec![RequestedLine { goods_id: tea, quantity }];
        let create = Command::CreateOrder(CreateOrder { user_id: user, lines });
        world.send(Service::Orders, "create", &order.stream(), &create).await;
    }
    let count = |wanted: fn(&Event) -> bool| {
        world.events::<Event>(Service::Orders).iter().filter(|event| wanted(&event.data)).count()
    };
    wait_until("the orders are confirmed or rejected", || {
        count(|event| matches!(event, Event::OrderConfirmed(_) | Event::OrderRejected(_))) == 3
    });
    let paid = orders[0].0.stream();
    let pay = Command::PayOrder(PayOrder { amount: eur(500), method: "card".into() });
    world.send(Service::Orders, "pay", &paid, &pay).await;
    let refund =
        Command::RefundOrder(RefundOrder { amount: Some(eur(200)), reason: "a \"broken\" cup".into() });
    world.send(Service::Orders, "refund", &paid, &refund).await;
    wait_until("money is given back", || count(|event| matches!(event, Event::OrderRefunded(_))) == 1);
}

/// What must be the same in a copy: all but offset and time.
fn said(world: &World, service: Service) -> Vec<Record> {
    let records = world.read(service.events()).into_iter();
    records.map(|record| Record { offset: 0, timestamp_ms: 0, ..record }).collect()
}

fn into(world: &World, service: Service) -> String {
    format!("topic:{}", world.cluster.topic(service.events()))
}

/// The rows of this view, as texts.
async fn rows(postgres: &mut PgConnection, world: &World, view: &str) -> Vec<String> {
    let schema = world.cluster.namespace.schema();
    let sql = format!("SELECT to_jsonb(v)::text FROM {schema}.{view} v ORDER BY 1");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(postgres).await.expect("rows")
}

/// A history that is brought into an empty system is the same there, and so are the read models that are folded from it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_replayed_into_another_system_is_the_same_history() {
    let fleet = Fleet::new().await;
    let (here, there) = (&fleet.world, World::new().await);
    let url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    migrate(&there.cluster, &url).await.expect("tables");
    some_history(here).await;
    for service in Service::ALL {
        Cli(here).ok(&["replay", "--service", service.name(), "--into", &into(&there, service)]);
        assert_eq!(said(&there, service), said(here, service));
    }
    let mut projectors = [
        fleet.projector(1),
        fleet.start("the other projector", &["projector"], 2, &[("FACTFOLD_NAMESPACE", &there.name())]),
    ];
    let mut postgres = PgConnection::connect(&url).await.expect("Postgres");
    until_within(PROCESS_PATIENCE, "both show the same", async || {
        for (view, least) in VIEWS.into_iter().zip([1, 3, 3, 8]) {
            let (ours, theirs) =
                (rows(&mut postgres, here, view).await, rows(&mut postgres, &there, view).await);
            if ours != theirs || ours.len() < least {
                return Err((view, ours, theirs));
            }
        }
        Ok(())
    })
    .await;
    Cli(&there).ok(&["verify"]);
    projectors.iter_mut().for_each(|projector| projector.assert_alive());
}

/// In parts, after a death, and with a history that goes on meanwhile: each record is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_where_it_ended_and_is_nobody_elses() {
    let (here, there) = (World::new().await, World::new().await);
    let _worker = here.start(Job::Goods, settings("one"));
    let tea = GoodsId::generate();
    for pieces in 0..20 {
        let (id, stream) = (pieces.to_string(), GoodsId::generate().stream());
        here.send(Service::Goods, &id, &stream, &add(pieces)).await;
    }
    here.send(Service::Goods, "tea", &tea.stream(), &add(5)).await;
    here.wait_for_traces(Service::Goods, 21);
    let (cli, to) = (Cli(&here), into(&there, Service::Goods));
    let replay = |more: &[&str]| cli.run(&[&["replay", "--service", "goods", "--into", &to], more].concat());
    let copied = || said(&there, Service::Goods);

    let lines = cli.ok(&["replay", "--service", "goods"]);
    let middle: Value = serde_json::from_str(lines.lines().nth(10).expect("a line")).expect("JSON");
    assert_eq!(replay(&["--to", middle["position"].as_str().expect("a position")]).code, 0);
    assert_eq!(copied().len(), 10);

    // One that died: what it had not committed yet is there, and open.
    let name = there.cluster.topic(Service::Goods.events());
    let died: BaseProducer = there
        .cluster
        .client()
        .set("transactional.id", format!("{name}.replay"))
        .create()
        .expect("a producer");
    died.init_transactions(PATIENCE).expect("ready");
    died.begin_transaction().expect("begun");
    died.send(BaseRecord::to(&name).partition(0).key("k").payload("half")).map_err(|(e, _)| e).expect("sent");
    died.flush(PATIENCE).expect("written");
    drop(died);
    assert_eq!(replay(&[]).code, 0);
    assert_eq!(copied(), said(&here, Service::Goods));

    here.send(Service::Goods, "take", &tea.stream(), &take(1)).await;
    here.wait_for_traces(Service::Goods, 22);
    for _ in 0..2 {
        assert_eq!(replay(&[]).code, 0);
        assert_eq!((copied().len(), copied()), (22, said(&here, Service::Goods)));
    }

    let refused = |more: &[&str], code: i32, with: &str| {
        let ran = replay(more);
        assert!(ran.code == code && ran.err.contains(with), "{more:?}: {} {}", ran.code, ran.err);
    };
    refused(&["--from", "1h"], 2, "leave --from out");
    refused(&["--type", "GoodsAdded"], 1, "it is a copy of");
    refused(&["--format", "parquet"], 2, "a topic takes records as they are");
    there.send(Service::Goods, "else", &tea.stream(), &add(1)).await;
    let foreign = here.read(Service::Goods.commands()).remove(0);
    let foreign = factfold_schemas::cloudevents::Outgoing {
        key: foreign.key,
        value: foreign.value,
        ..Default::default()
    };
    there.write(Service::Goods.events(), home(&tea.stream()), &foreign).await;
    refused(&[], 1, "somebody else wrote to it, too");
    let commands = format!("topic:{}", there.cluster.topic(Service::Goods.commands()));
    let ran = cli.run(&["replay", "--service", "goods", "--into", &commands]);
    assert!(ran.code == 1 && ran.err.contains("it is not empty"), "{}", ran.err);
}

/// Files for other people's tools: DuckDB reads all of it from one, and in the other all that is named is there.
#[tokio::test(flavor = "multi_thread")]
async fn files_for_analysts_hold_every_event() {
    let world = World::new().await;
    some_history(&world).await;
    let folder = tempfile::tempdir().expect("a folder");
    let all = ["replay", "--service", "orders", "--service", "goods"];
    let file = |name: &str| folder.path().join(name).display().to_string();
    let export =
        |name: &str, more: &[&str]| Cli(&world).run(&[&all[..], &["--into", &file(name)], more].concat());
    for (name, more) in
        [("events.ndjson", &[][..]), ("events.parquet", &[]), ("log.json", &["--format", "ocel"])]
    {
        assert_eq!(export(name, more).code, 0, "{name}");
        let again = export(name, more);
        assert!(again.code == 1 && again.err.contains("there already"), "{}", again.err);
    }
    let lines = std::fs::read_to_string(file("events.ndjson")).expect("a file");
    assert_eq!(lines, Cli(&world).ok(&all), "a file has what stdout has");
    check_objects(
        &serde_json::from_str(&std::fs::read_to_string(file("log.json")).expect("a file")).expect("JSON"),
        &lines,
    );

    let Some(tools) = tools() else { return };
    let mut duckdb = tools.command("python3");
    duckdb.arg(ours("parquet.py")).args([file("events.parquet"), file("events.ndjson")]);
    expect_content(duckdb, DUCKDB_PATIENCE).await;
}

/// Each event is there, and whatever it is about is declared, with the types of its attributes.
fn check_objects(log: &Value, lines: &str) {
    let list =
        |of: &Value, name: &str| of[name].as_array().unwrap_or_else(|| panic!("no {name}: {of}")).clone();
    let text =
        |of: &Value, name: &str| of[name].as_str().unwrap_or_else(|| panic!("no {name}: {of}")).to_owned();
    let ids =
        |name: &str| -> BTreeSet<String> { list(log, name).iter().map(|one| text(one, "id")).collect() };
    let expected: BTreeSet<String> =
        lines.lines().map(|line| text(&serde_json::from_str(line).expect("JSON"), "id")).collect();
    assert_eq!(ids("events"), expected);
    let objects = ids("objects");
    for (things, types) in [("events", "eventTypes"), ("objects", "objectTypes")] {
        let types: BTreeMap<String, BTreeSet<String>> = list(log, types)
            .iter()
            .map(|one| (text(one, "name"), list(one, "attributes").iter().map(|a| text(a, "name")).collect()))
            .collect();
        for thing in list(log, things) {
            let declared = &types[&text(&thing, "type")];
            assert!(
                list(&thing, "attributes").iter().all(|a| declared.contains(&text(a, "name"))),
                "{thing}"
            );
            if things == "events" {
                let about = list(&thing, "relationships");
                assert!(
                    !about.is_empty() && about.iter().all(|r| objects.contains(&text(r, "objectId"))),
                    "{thing}"
                );
            }
        }
    }
    let tea = list(log, "objects").into_iter().find(|object| object["type"] == "goods").expect("goods");
    let stock: Vec<_> = list(&tea, "attributes").into_iter().filter(|a| a["name"] == "stock").collect();
    let stock: Vec<_> = stock.iter().map(|a| a["value"].as_i64().expect("a number")).collect();
    assert_eq!((stock.first(), stock.last()), (Some(&5), Some(&0)), "{stock:?}");
}
