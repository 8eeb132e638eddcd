//! Functions: what is shown of them is what was deployed, to the letter.

use factfold_projections::{FunctionFilter, PageRequest, Projection, ReadSide, verify};
use factfold_schemas::{
    functions::{
        Code, Configuration, Event, Function, FunctionBound, FunctionConfigured, FunctionDeployed,
        FunctionName, FunctionRemoved, FunctionRolledBack, FunctionScheduled, FunctionTicked,
        FunctionUnbound, FunctionUnscheduled, Language, Limits, REVISIONS_KEPT,
    },
    personal::Personal,
    position::Position,
    record::Recorded,
    topics::Service,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::sync::watch;

use crate::world::{World, cause};

/// What Postgres would write in another way: a float that is whole, fields that are not sorted, a comma in a name.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_shown_as_it_was_deployed() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let add = name("add");
    let schema = json!({ "type": "number", "maximum": 1e18, "enum": [1.0, "\u{e4}'\"\\"] });
    let mut revisions: Vec<_> = (1..).map(revision).take(REVISIONS_KEPT + 2).collect();
    revisions[3].input_schema = Some(schema.clone());
    revisions[3].path = Some("/shop/add".to_owned());
    let first = world.decide_function(add, 1, revisions.iter().cloned().map(Event::FunctionDeployed)).await;
    world.see(&reads, Projection::Functions, first).await;
    let types = vec!["OrderPaid".to_owned(), "a,\"b\"".to_owned()];
    let from = Some("2026-11-26T17:00:00.123Z".parse::<Timestamp>().expect("a time"));
    let bound = FunctionBound { binding: 1, topic: "orders.events".to_owned(), types, from };
    let to_all = FunctionBound { binding: 2, types: Vec::new(), from: None, ..bound.clone() };
    let version = revisions.len() as u64 + 1;
    let back = Event::FunctionRolledBack(FunctionRolledBack { revision: 4 });
    let configuration = Configuration {
        settings: [("schema".to_owned(), schema.clone())].into(),
        secrets: [("KEY".to_owned(), Personal::new("sealed.v1.x"))].into(),
    };
    let told = Event::FunctionConfigured(FunctionConfigured { configuration: configuration.clone() });
    world.decide_function(add, version, [told]).await;
    let last = world.decide_function(add, version + 1, [back, Event::FunctionBound(bound.clone())]).await;
    world.see(&reads, Projection::Functions, last).await;

    let mut expected = Function {
        name: add,
        version: version + 2,
        created_at: cause(first).time,
        updated_at: cause(last).time,
        revision: Some(4),
        revisions: revisions.split_off(2),
        binding: Some(bound),
        schedule: None,
        configuration,
    };
    let shown = || async { reads.function(add).await.expect("Postgres").expect("the function") };
    assert_eq!(shown().await, expected);
    let current = shown().await.current().and_then(|current| current.input_schema.clone());
    assert_eq!(current.expect("a schema").to_string(), schema.to_string(), "the order of its fields, too");
    assert_eq!(listed(&reads, None, 200).await, [expected.clone()]);

    let unbound = Event::FunctionUnbound(FunctionUnbound {});
    let anew = [unbound, Event::FunctionBound(to_all.clone())];
    let last = world.decide_function(add, version + 3, anew).await;
    world.see(&reads, Projection::Functions, last).await;
    expected =
        Function { version: version + 4, updated_at: cause(last).time, binding: Some(to_all), ..expected };
    assert_eq!(shown().await, expected);
    assert_eq!(reads.function(name("sub")).await.expect("Postgres"), None);

    // What a tick says comes back to the letter, too, and so does nothing.
    let [due, next] =
        ["2026-11-27T05:00:00Z", "2026-11-28T05:00:00Z"].map(|time| time.parse().expect("a time"));
    let scheduled = |schedule, input: &Value| FunctionScheduled {
        schedule,
        cron: "0 6 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        input: input.clone(),
        next: Some(due),
    };
    let first = scheduled(1, &schema);
    let last = world.decide_function(add, version + 5, [Event::FunctionScheduled(first.clone())]).await;
    world.see(&reads, Projection::Functions, last).await;
    expected =
        Function { version: version + 5, updated_at: cause(last).time, schedule: Some(first), ..expected };
    assert_eq!(shown().await, expected);
    let said = shown().await.schedule.map(|schedule| schedule.input.to_string());
    assert_eq!(said, Some(schema.to_string()), "the order of its fields, too");
    let ticked = FunctionTicked { schedule: 2, due, input: Value::Null, next: Some(next) };
    let anew = [
        Event::FunctionUnscheduled(FunctionUnscheduled {}),
        Event::FunctionScheduled(scheduled(2, &Value::Null)),
        Event::FunctionTicked(ticked),
    ];
    let last = world.decide_function(add, version + 6, anew).await;
    world.see(&reads, Projection::Functions, last).await;
    let schedule = Some(FunctionScheduled { next: Some(next), ..scheduled(2, &Value::Null) });
    expected = Function { version: version + 8, updated_at: cause(last).time, schedule, ..expected };
    assert_eq!(shown().await, expected);
    let over = Event::FunctionUnscheduled(FunctionUnscheduled {});
    let last = world.decide_function(add, version + 9, [over]).await;
    world.see(&reads, Projection::Functions, last).await;
    expected = Function { version: version + 9, updated_at: cause(last).time, schedule: None, ..expected };
    assert_eq!(shown().await, expected);

    // For people: what answers, and all that ever did.
    let mut database = world.database().await;
    let row = sqlx::query(
        "SELECT functions.path, (functions.time_ms, bound_types) = (40, '{}') AS fits, input_schema,
                (SELECT count(*) FROM function_revisions) AS revisions
         FROM functions JOIN function_revisions USING (name, revision)",
    );
    let row = row.fetch_one(&mut database).await.expect("a row");
    assert_eq!((row.get("path"), row.get("fits")), (Some("/shop/add"), true));
    assert_eq!(row.get::<Value, _>("input_schema"), schema);
    assert_eq!(row.get::<i64, _>("revisions"), REVISIONS_KEPT as i64 + 2);

    let (_going_on, stopped) = watch::channel(());
    let verified = verify(&world.cluster, &world.database_url, Projection::Functions, stopped, |_| {}).await;
    let found = verified.expect("it can be verified").expect("nobody stopped it").found;
    assert_eq!((found.rows, found.different), (REVISIONS_KEPT as u64 + 3, 0), "{:?}", found.differences);
    projecting.stop().await.expect("nothing went wrong");
}

/// By name, in the order of their bytes, whatever the language of the database; without those that are gone.
#[tokio::test(flavor = "multi_thread")]
async fn functions_are_listed_by_name() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    for text in ["ab", "a-c", "a1", "b", "a", "gone"] {
        let events = [revision(1), revision(2)].map(Event::FunctionDeployed).into_iter();
        let removed = (text == "gone").then_some(Event::FunctionRemoved(FunctionRemoved {}));
        let last = world.decide_function(name(text), 1, events.chain(removed)).await;
        world.see(&reads, Projection::Functions, last).await;
    }
    for (removed, limit, expected) in [
        (None, 200, ["a", "a-c", "a1", "ab", "b"].as_slice()),
        (Some(false), 2, &["a", "a-c", "a1", "ab", "b"]),
        (Some(true), 1, &["gone"]),
    ] {
        let found = listed(&reads, removed, limit).await;
        assert!(found.iter().all(|function| function.revisions == [revision(1), revision(2)]));
        assert_eq!(found.iter().map(|function| function.name.to_string()).collect::<Vec<_>>(), expected);
    }
    projecting.stop().await.expect("nothing went wrong");
}

/// All pages.
async fn listed(reads: &ReadSide, removed: Option<bool>, limit: u16) -> Vec<Function> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest::new(limit, after).expect("a limit");
        let page = reads.list_functions(&FunctionFilter { removed }, &request).await.expect("Postgres");
        seen.extend(page.items);
        // Through a text and back, as a client does.
        after = page.next.map(|cursor| cursor.to_string().parse().expect("a cursor"));
        if after.is_none() {
            return seen;
        }
    }
}

fn name(text: &str) -> FunctionName {
    text.parse().expect("a name")
}

fn revision(revision: u32) -> FunctionDeployed {
    FunctionDeployed {
        revision,
        language: Language::Python,
        code: Code::of(&revision.to_be_bytes()),
        path: None,
        public: false,
        limits: Limits { time_ms: 10 * revision, ..Limits::default() },
        input_schema: None,
        output_schema: None,
    }
}

impl World {
    /// A command and its events, in one transaction; gives where the command is.
    async fn decide_function(
        &self,
        name: FunctionName,
        version: u64,
        events: impl IntoIterator<Item = Event>,
    ) -> Position {
        let decided = self.store(Service::Functions, &name.stream()).await;
        let recorded = (version..).zip(events).map(|(version, data)| Recorded {
            stream: name.stream(),
            version,
            cause: cause(decided),
            data,
        });
        let records = recorded
            .map(|event| (Service::Functions.events(), decided.partition, event.record(Service::Functions)));
        self.commit(&records.collect::<Vec<_>>()).await;
        decided
    }
}
