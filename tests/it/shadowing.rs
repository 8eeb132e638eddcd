//! Shadow replay: what was decided is decided again. By the same rules it comes to the same; by others, or over another
//! history, exactly what they are about is named.

use std::{collections::BTreeSet, env};

use factfold::shadow::Recorded;
use factfold_checker::log::Record;
use factfold_consumers::{
    decider::{Asked, Decider, Entry, Events},
    orders::OrdersDecider,
    worker::{
        Settings,
        deciding::shadow::{Difference, Replayed},
    },
};
use factfold_producers::access::Role;
use factfold_projections::log_reader::{Bound, Log, Stop};
use factfold_schemas::{
    cloudevents::Outgoing,
    command::Header,
    goods::Event,
    ids::{GoodsId, OrderId, UserId},
    orders::{self, Command, PayOrder, Rejection},
    personal::Personal,
    topics::{Service, Topic},
    users::{self, UpdateProfile},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    cli::{Cli, raw},
    goods::{add, take},
    proof::prove_what_was,
    system::System,
    walk,
    world::{Job, PARTITIONS, World, home, settings, wait_until},
};

/// The walk, and all wrong turns that a command can take.
async fn live(system: &System) {
    let world = &system.world;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    walk::walk(&merchant, &customer).await;
    let tea = walk::goods(&merchant, 3, 500).await;
    for quantity in [1, 2, 3] {
        let id = walk::order(&customer, &tea, quantity).await;
        let over = customer.get(&format!("/v1/orders/{id}?until=confirmed")).await.expect(200);
        for amount in [1, 500, 1000] {
            let pay = json!({ "amount": { "amount": amount, "currency": "EUR" }, "method": "card" });
            customer.post(&format!("/v1/orders/{id}/payment"), pay).await;
        }
        assert_eq!(over.body["status"] == "rejected", quantity == 3, "{}", over.body);
    }

    // Straight onto the topic: twice the same, another under the same id, what expired, is too late or has no effect any more,
    // what lies elsewhere, what cannot be read, what waits.
    let service = Service::Goods;
    let goods = GoodsId::generate().stream();
    let mut waiting = Header::new("waiting", "/tests");
    for (id, command) in
        [("1", add(10)), ("2", take(2)), ("2", take(2)), ("2", take(3)), ("3", take(100)), ("4", take(1))]
    {
        world.send(service, id, &goods, &command).await;
    }
    let header = |id: &str| Header::new(id, "/tests");
    let elsewhere = (home(&goods) + 1) % PARTITIONS;
    let late = Header { expires: Some(Timestamp::UNIX_EPOCH), ..header("5") };
    let stale = Header { expected_version: Some(1), ..header("6") };
    for (header, partition) in [(late, home(&goods)), (stale, home(&goods)), (header("7"), elsewhere)] {
        let record = header.record_of(service, &goods, &take(1));
        world.write(service.commands(), partition, &record).await;
    }
    for record in [raw(Some(goods.as_str()), "SellGoods", "{}"), raw(None, "AddGoods", "{}")] {
        world.write(service.commands(), home(&goods), &record).await;
    }
    waiting.not_before = Some(Timestamp::now() + SignedDuration::from_secs(3));
    let record = waiting.record_of(service, &goods, &take(1));
    world.write(service.commands(), home(&goods), &record).await;
    wait_until("what waited is decided", || {
        world.events::<Event>(service).iter().any(|event| event.cause.command_id == "waiting")
    });

    // About a person: as everybody registers, and in the clear.
    let ada = json!({ "email": "ada@example.org", "name": "Ada", "password": "seven odd purple teapots" });
    let ada = system.impostor(None).post("/v1/users", ada).await.expect(201).text("id");
    let ada: UserId = ada.parse().expect("an id");
    for name in ["Ada Lovelace", "\u{7}"] {
        let update = users::Command::UpdateProfile(UpdateProfile { name: Personal::new(name) });
        world.send(Service::Users, name, &ada.stream(), &update).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_really_happened_comes_to_the_same_again_and_other_rules_to_what_they_are_about() {
    let system = System::start().await;
    live(&system).await;
    let database_url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    prove_what_was(&system.world.cluster, &database_url, &[]).await;
    let outcomes = Service::ALL.into_iter().flat_map(|service| system.world.outcomes(service));
    let outcomes: BTreeSet<&str> = outcomes.map(|outcome| (&outcome.outcome).into()).collect();
    let all = ["DeadLettered", "Forwarded", "NoChange", "Rejected", "Repeated", "Scheduled"];
    assert_eq!(outcomes, BTreeSet::from(all), "a replay of nothing would show nothing");

    let cli = Cli(&system.world);
    for (service, sealed) in [(Service::Goods, 0), (Service::Orders, 0), (Service::Users, 1)] {
        let ran = cli.run(&["shadow", "--service", service.name(), "--json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let report: Value = serde_json::from_str(&ran.out).expect("JSON");
        let commands = system.world.read(service.commands()).len();
        assert_eq!(report["decided"], commands - sealed, "{report}");
        assert_eq!(report["left_out"]["sealed"].as_u64().unwrap_or_default(), sealed as u64, "{report}");
        assert_eq!((&report["different"], &report["kinds"]), (&json!(0), &json!([])));
    }
    let said = cli.run(&["shadow", "--service", "users"]).out;
    assert!(said.contains("commands of users.commands decided again, 0 differently"), "{said}");
    assert!(said.contains("1 left out: about a person"), "{said}");

    let payments = system.world.events::<orders::Event>(Service::Orders).into_iter().filter_map(|event| {
        match event.data {
            orders::Event::OrderPaid(paid) => Some((event.cause.decided, paid.amount.amount)),
            _ => None,
        }
    });
    let payments: Vec<_> = payments.collect();
    let expected: BTreeSet<_> =
        payments.iter().filter(|(_, amount)| *amount > MOST).map(|(at, _)| *at).collect();
    assert!(!expected.is_empty() && expected.len() < payments.len(), "{payments:?}");
    let differences = differences::<NothingDear>(&system.world);
    let found: BTreeSet<_> = differences.iter().map(|difference| difference.position).collect();
    assert_eq!(found, expected);
    let kind = ("OrderPaid".to_owned(), "rejected with invalid-amount".to_owned());
    assert!(differences.iter().all(|difference| difference.kind() == kind), "{differences:#?}");
    system.stop().await;
}

/// What this build would do otherwise with these rules instead of its own.
fn differences<D: Decider>(world: &World) -> Vec<Difference> {
    let log = Log::open(&world.cluster, |notice| eprintln!("{notice}")).expect("the log");
    let recorded = Recorded::of(&log, D::SERVICE, &Bound::Beginning, &Bound::End).expect("commands");
    let mut differences = Vec::new();
    let each = |replayed| {
        if let Replayed::Different(difference) = replayed {
            differences.push(*difference);
        }
    };
    let is_done = recorded.replay::<D>(&log, &Settings::new("shadow"), &Stop::default(), each, |_| ());
    assert!(is_done.expect("the log adds up"));
    differences
}

/// The most that anybody pays, in cents.
const MOST: i64 = 600;

/// The orders of a shop that takes no large payments.
struct NothingDear;

impl Decider for NothingDear {
    const SERVICE: Service = Service::Orders;
    const VERSION: u32 = OrdersDecider::VERSION;
    type Id = OrderId;
    type State = <OrdersDecider as Decider>::State;
    type Command = Command;
    type Event = orders::Event;
    type Rejection = Rejection;

    fn aggregate(stream: &str) -> Option<OrderId> {
        OrdersDecider::aggregate(stream)
    }

    fn decide(
        id: OrderId,
        state: Option<&Self::State>,
        command: &Command,
        asked: Asked<'_>,
    ) -> Result<Events<orders::Event>, Rejection> {
        let decision = OrdersDecider::decide(id, state, command, asked);
        match command {
            Command::PayOrder(PayOrder { amount, .. }) if amount.amount > MOST => {
                decision.and(Err(Rejection::InvalidAmount { given: amount.amount }))
            }
            _ => decision,
        }
    }

    fn evolve(state: Option<Self::State>, event: &orders::Event) -> Option<Self::State> {
        OrdersDecider::evolve(state, event)
    }

    fn resource(id: OrderId, entry: &Entry<Self::State>) -> Value {
        OrdersDecider::resource(id, entry)
    }
}

/// A copy of a log, in which one event says something else; and what is read of it from one place to another.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_in_a_copy_of_the_log_is_named_and_ends_with_1() {
    let service = Service::Goods;
    let world = World::new().await;
    let worker = world.start(Job::Goods, settings("one"));
    let goods = GoodsId::generate().stream();
    world.send(service, "add", &goods, &add(10)).await;
    for n in 0..20 {
        world.send(service, &n.to_string(), &goods, &take(if n % 5 == 4 { 100 } else { 1 })).await;
    }
    world.wait_for_traces(service, 21);
    worker.stop().expect("it stops well");
    let cli = Cli(&world);
    assert_eq!(cli.json(&["shadow", "--service", "goods", "--json"])["decided"], 21);

    let copy = World::new().await;
    let mut altered = None;
    for topic in [service.commands(), service.events(), service.outcomes()] {
        for record in world.read(topic) {
            altered = altered.or(copy_of(&copy, topic, record).await);
        }
    }
    let (position, cli) = (altered.expect("an event was altered"), Cli(&copy));
    let told = cli.run(&["shadow", "--service", "goods"]);
    assert_eq!(told.code, 1, "{}", told.err);
    let expected = [
        "AdjustStock: was StockAdjusted, would be StockAdjusted with another /reason: 1".to_owned(),
        format!("  {position}  {goods}  command 7"),
        r#"    reason "another" → "test""#.to_owned(),
        "21 commands of goods.commands decided again, 1 differently".to_owned(),
    ];
    let lines: Vec<_> = told.out.lines().take(4).collect();
    assert_eq!(lines, expected);

    let before = cli.run(&["shadow", "--service", "goods", "--json", "--to", &position]);
    let report: Value = serde_json::from_str(&before.out).expect("JSON");
    assert_eq!((before.code, &report["decided"]), (0, &json!(8)), "{report}");
    assert_eq!(report["covers"][0]["to"], json!(position));
    let after = cli.run(&["shadow", "--service", "goods", "--json", "--from", &position]);
    let report: Value = serde_json::from_str(&after.out).expect("JSON");
    assert_eq!(
        (after.code, &report["decided"], &report["different"]),
        (1, &json!(13), &json!(1)),
        "{report}"
    );
    let example = &report["kinds"][0]["examples"][0];
    assert_eq!(
        (&example["command_id"], &example["was"][0]["data"]["reason"]),
        (&json!("7"), &json!("another"))
    );
    for wrong in [["--service", "tea"], ["--from", "goods.events/0@0"]] {
        assert_eq!(cli.run(&[&["shadow", "--service", "goods"][..], &wrong].concat()).code, 2, "{wrong:?}");
    }
}

/// Writes this record into another log, at its offset: the event of the eighth command says something else there, which is
/// the position that is returned.
async fn copy_of(world: &World, topic: Topic, record: Record) -> Option<String> {
    let is_eighth = topic == Service::Goods.events() && record.header("ce_causationid") == Some("7");
    let decided = record.header("ce_decidedposition").map(str::to_owned).filter(|_| is_eighth);
    let Record { partition, offset, key, mut value, headers, .. } = record;
    if is_eighth {
        let text = String::from_utf8(value.take().expect("an event")).expect("text");
        value = Some(text.replace(r#""test""#, r#""another""#).into_bytes());
    }
    let copy = Outgoing { key, value, headers: headers.into_iter().collect() };
    let at = world.write(topic, partition, &copy).await;
    // Only what plain clients wrote has no markers between it.
    assert!(topic != Service::Goods.commands() || at.offset == offset, "{at}");
    decided
}
