//! What is stored stays readable: JSON Schemas as checked in, and one golden record of every type ever written.
//!
//! `FACTFOLD_BLESS=1 cargo test -p factfold-schemas` writes what is new. A golden record that exists is never written again:
//! it is what lies on somebody's topic.

use std::{collections::BTreeMap, env, fs, path::Path};

use factfold_schemas::{
    cloudevents::Outgoing,
    codec::{Message, Named as _},
    command::{Auth, Digest},
    compatibility::incompatible,
    functions, goods,
    ids::{EmailId, GoodsId, OrderId, SessionId, StreamId, UserId},
    json,
    money::Money,
    orders,
    personal::Personal,
    position::Position,
    record::{
        Cause, DeadLetterReason, DeadLettered, Forwarded, NoChange, Outcome, Recorded, RecordedOutcome,
        Rejected, Repeated, Scheduled,
    },
    rejection::Reject,
    topics::Service,
    users,
};
use serde_json::{Value, json};
use strum::VariantNames;
use uuid::Uuid;

fn bless() -> bool {
    env::var_os("FACTFOLD_BLESS").is_some()
}

/// Every checked-in schema below this folder, by its path.
fn checked_in(below: &str) -> BTreeMap<String, Value> {
    let entries = fs::read_dir(folder("json").join(below)).expect("schemas");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let paths = names.map(|name| if below.is_empty() { name } else { format!("{below}/{name}") });
    paths
        .flat_map(|path| {
            let file = folder("json").join(&path);
            if file.is_dir() {
                return checked_in(&path);
            }
            let schema = serde_json::from_slice(&fs::read(file).expect("a schema")).expect("JSON");
            BTreeMap::from([(path, schema)])
        })
        .collect()
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Blessing writes no event schema that what was stored under the one before would not fit. (Seen failing with a field that
/// was renamed, and with an event that was gone.)
#[test]
fn schemas_are_checked_in_as_the_types_say() {
    let all = json::all();
    let lost: Vec<_> = incompatible(&checked_in(""), &all).map(|found| found.to_string()).collect();
    assert!(
        lost.is_empty(),
        "what is stored could not be read: {lost:#?}\nGive what changed a new name beside the old one. (What no topic ever had: \
         delete its checked-in schema.)"
    );
    for (path, schema) in all {
        let file = folder("json").join(&path);
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if bless() {
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, &text).expect("written");
        }
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            checked_in, text,
            "{path} is out of date: FACTFOLD_BLESS=1 cargo test -p factfold-schemas"
        );
    }
}

#[test]
fn every_stored_type_has_a_golden_record_that_reads_back() {
    let mut names: Vec<String> = Vec::new();
    for event in functions_events() {
        golden::<functions::Event>(Service::Functions, event, &mut names);
    }
    for event in goods_events() {
        golden::<goods::Event>(Service::Goods, event, &mut names);
    }
    for event in orders_events() {
        golden::<orders::Event>(Service::Orders, event, &mut names);
    }
    for event in users_events() {
        golden::<users::Event>(Service::Users, event, &mut names);
    }
    for outcome in outcomes() {
        let stored = RecordedOutcome {
            stream: Some(order().stream()),
            cause: cause(Service::Orders),
            after: Some(Position::new(Service::Orders.commands(), 7, 1040)),
            outcome,
        };
        let name = format!("outcomes/{}", stored.outcome.type_name());
        let record = reread(&name, &stored.record(Service::Orders));
        assert_eq!(RecordedOutcome::read(&record.incoming()).expect("readable"), stored, "{name}");
        names.push(name);
    }
    let known = |family: &str, variants: &[&str]| {
        variants.iter().map(|v| format!("{family}/{v}")).collect::<Vec<_>>()
    };
    let all = [
        known("functions", functions::Event::VARIANTS),
        known("goods", goods::Event::VARIANTS),
        known("orders", orders::Event::VARIANTS),
        known("users", users::Event::VARIANTS),
        known("outcomes", Outcome::VARIANTS),
    ]
    .concat();
    assert_eq!(names, all, "every type in the order of its enum: add a golden record for what is new");
}

/// Whatever was read once must be read for ever: also the records whose types the lists below no longer make.
#[test]
fn every_golden_record_still_reads() {
    for family in ["functions", "goods", "orders", "users", "outcomes"] {
        for file in fs::read_dir(folder("golden").join(family)).expect("golden records") {
            let path = file.expect("a file").path();
            let record = parse(&fs::read_to_string(&path).expect("a golden record"));
            let read = match family {
                "functions" => Recorded::<functions::Event>::read(&record.incoming()).map(drop),
                "goods" => Recorded::<goods::Event>::read(&record.incoming()).map(drop),
                "orders" => Recorded::<orders::Event>::read(&record.incoming()).map(drop),
                "users" => Recorded::<users::Event>::read(&record.incoming()).map(drop),
                _ => RecordedOutcome::read(&record.incoming()).map(drop),
            };
            read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

fn golden<E: Message + Clone + PartialEq + std::fmt::Debug>(
    service: Service,
    data: E,
    names: &mut Vec<String>,
) {
    let name = format!("{service}/{}", data.type_name());
    let stream = match service {
        Service::Functions => "add".parse::<functions::FunctionName>().expect("a name").stream(),
        Service::Goods => goods_id().stream(),
        Service::Orders => order().stream(),
        Service::Users => user().stream(),
    };
    let stored = Recorded { stream, version: 3, cause: cause(service), data };
    let record = reread(&name, &stored.record(service));
    assert_eq!(Recorded::<E>::read(&record.incoming()).expect("readable"), stored, "{name}");
    names.push(name);
}

/// The golden record of this name; written first when blessing and there is none.
fn reread(name: &str, today: &Outgoing) -> Outgoing {
    let file = folder("golden").join(format!("{name}.json"));
    if bless() && !file.exists() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, print(today)).expect("written");
    }
    let text = fs::read_to_string(&file).unwrap_or_else(|_| {
        panic!("no golden record {name}: FACTFOLD_BLESS=1 cargo test -p factfold-schemas")
    });
    parse(&text)
}

fn print(record: &Outgoing) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let headers: BTreeMap<&str, String> = record.headers.iter().map(|(n, v)| (n, text(v))).collect();
    let value: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    let key = record.key.as_deref().map(text);
    serde_json::to_string_pretty(&json!({ "key": key, "headers": headers, "value": value })).expect("JSON")
        + "\n"
}

fn parse(text: &str) -> Outgoing {
    let record: Value = serde_json::from_str(text).expect("JSON");
    let headers = record["headers"].as_object().expect("headers");
    Outgoing {
        key: record["key"].as_str().map(|key| key.as_bytes().to_vec()),
        value: Some(record["value"].to_string().into_bytes()),
        headers: headers.iter().map(|(name, value)| (name.clone(), value.as_str().expect("text"))).collect(),
    }
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}
fn order() -> OrderId {
    OrderId::new(uuid(1))
}
fn goods_id() -> GoodsId {
    GoodsId::new(uuid(2))
}
fn user() -> UserId {
    UserId::new(uuid(3))
}
fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

fn cause(service: Service) -> Cause {
    Cause {
        command_id: uuid(4).to_string(),
        source: format!("/clients/{}", user()),
        digest: Digest::of("Some", b"{}"),
        stored: Position::new(service.commands(), 3, 17),
        decided: Position::new(service.commands(), 7, 1042),
        time: "2026-11-23T10:00:00.123Z".parse().expect("a time"),
        correlation: Some(order().stream().to_string()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        auth: Some(Auth::User(user().to_string())),
    }
}

fn functions_events() -> Vec<functions::Event> {
    use functions::*;
    let input_schema = Some(json!({ "type": "object", "required": ["a", "b"] }));
    vec![
        Event::FunctionDeployed(FunctionDeployed {
            revision: 2,
            language: Language::JavaScript,
            code: Code::of(b"export default () => 0"),
            path: Some("/add".into()),
            public: false,
            limits: Limits::default(),
            input_schema,
            output_schema: None,
        }),
        Event::FunctionRolledBack(FunctionRolledBack { revision: 1 }),
        Event::FunctionRemoved(FunctionRemoved {}),
        Event::FunctionConfigured(FunctionConfigured {
            configuration: Configuration {
                settings: [("currency".into(), json!("EUR")), ("rates".into(), json!({ "GBP": 1.2 }))].into(),
                secrets: [("TOKEN".into(), Personal::new("sealed.v1.Z29sZGVu"))].into(),
            },
        }),
        Event::FunctionBound(FunctionBound {
            binding: 1,
            topic: "orders.events".into(),
            types: vec!["OrderPaid".into()],
            from: Some("2026-11-23T10:00:00Z".parse().expect("a time")),
        }),
        Event::FunctionUnbound(FunctionUnbound {}),
        Event::FunctionScheduled(FunctionScheduled {
            schedule: 1,
            cron: "0 6 * * *".into(),
            time_zone: "Europe/Berlin".into(),
            input: json!({ "of": "tea" }),
            next: Some("2026-11-24T05:00:00Z".parse().expect("a time")),
        }),
        Event::FunctionUnscheduled(FunctionUnscheduled {}),
        Event::FunctionTicked(FunctionTicked {
            schedule: 1,
            due: "2026-11-24T05:00:00Z".parse().expect("a time"),
            input: json!({ "of": "tea" }),
            next: Some("2026-11-25T05:00:00Z".parse().expect("a time")),
        }),
    ]
}

fn goods_events() -> Vec<goods::Event> {
    use goods::*;
    vec![
        Event::GoodsAdded(GoodsAdded { name: "Tea".into(), price: eur(499), stock: 10 }),
        Event::GoodsRenamed(GoodsRenamed { name: "Green tea".into() }),
        Event::PriceChanged(PriceChanged { price: eur(549) }),
        Event::StockAdjusted(StockAdjusted { delta: -1, reason: "broken".into(), stock: 9 }),
        Event::StockReserved(StockReserved {
            order_id: order(),
            line: 0,
            quantity: 2,
            unit_price: eur(549),
            stock: 7,
        }),
        Event::StockReleased(StockReleased { order_id: order(), line: 0, quantity: 2, stock: 9 }),
        Event::GoodsDiscontinued(GoodsDiscontinued {}),
    ]
}

fn orders_events() -> Vec<orders::Event> {
    use orders::*;
    let lines = || vec![OrderedLine { goods_id: goods_id(), quantity: 2 }];
    vec![
        Event::OrderCreated(OrderCreated { user_id: user(), lines: lines() }),
        Event::LineReserved(LineReserved { line: 0, unit_price: eur(549) }),
        Event::OrderConfirmed(OrderConfirmed { total: eur(1098) }),
        Event::OrderRejected(OrderRejected {
            reason: RejectionReason {
                name: "sold-out".into(),
                detail: "there is 1 piece left".into(),
                line: 0,
            },
            lines: lines(),
        }),
        Event::OrderPaid(OrderPaid { amount: eur(1098), method: "card".into() }),
        Event::OrderRefunded(OrderRefunded {
            amount: eur(98),
            refunded: eur(98),
            in_full: false,
            reason: "late".into(),
        }),
        Event::OrderCancelled(OrderCancelled { reason: "changed my mind".into(), lines: lines() }),
        Event::OrderExpired(OrderExpired { lines: lines() }),
    ]
}

fn users_events() -> Vec<users::Event> {
    use users::*;
    let sealed = || Personal::new("sealed.v1.AAAA");
    let password_hash = || "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA".to_owned();
    let (email_id, session_id, user_id) = (EmailId::new(uuid(5)), SessionId::new(uuid(6)), user());
    let time = |text: &str| text.parse().expect("a time");
    vec![
        Event::RegistrationStarted(RegistrationStarted {
            email: sealed(),
            email_id,
            name: sealed(),
            password_hash: password_hash(),
        }),
        Event::UserRegistered(UserRegistered { email_id, roles: vec![Role::Customer] }),
        Event::RegistrationRejected(RegistrationRejected {
            email_id,
            reason: RegistrationFailure::EmailTaken,
        }),
        Event::ProfileUpdated(ProfileUpdated { name: sealed() }),
        Event::PasswordChanged(PasswordChanged { password_hash: password_hash(), password_number: 1 }),
        Event::RoleGranted(RoleGranted { role: Role::Merchant }),
        Event::RoleRevoked(RoleRevoked { role: Role::Merchant }),
        Event::UserDeactivated(UserDeactivated { email_id, reason: "asked for it".into() }),
        Event::PersonalDataErased(PersonalDataErased { email_id }),
        Event::SessionOpened(SessionOpened { session_id, expires_at: time("2026-12-23T10:00:00Z") }),
        Event::SessionRefreshed(SessionRefreshed {
            session_id,
            number: 1,
            repeatable_until: time("2026-11-23T10:15:30Z"),
            expires_at: time("2026-12-23T10:15:00Z"),
        }),
        Event::SessionEnded(SessionEnded { session_id, reason: SessionEnd::LoggedOut }),
        Event::EmailClaimed(EmailClaimed { user_id }),
        Event::EmailConfirmed(EmailConfirmed { user_id }),
        Event::EmailReleased(EmailReleased { user_id }),
        Event::LoginSucceeded(LoginSucceeded { user_id }),
        Event::LoginFailed(LoginFailed {
            user_id: Some(user_id),
            failures: 6,
            blocked_until: Some(time("2026-11-23T10:00:02Z")),
        }),
    ]
}

fn outcomes() -> Vec<Outcome> {
    let command = || "PayOrder".to_owned();
    let wrong = orders::Rejection::WrongAmount { expected: eur(1098), given: eur(1) };
    vec![
        Outcome::Rejected(Rejected { command: command(), rejection: wrong.to_rejection() }),
        Outcome::NoChange(NoChange { command: command() }),
        Outcome::Repeated(Repeated {
            command: command(),
            first: Position::new(Service::Orders.commands(), 7, 1041),
        }),
        Outcome::Forwarded(Forwarded { from: 3, to: 7 }),
        Outcome::DeadLettered(DeadLettered {
            reason: DeadLetterReason { name: "invalid-json".into(), detail: "EOF while parsing".into() },
        }),
        Outcome::Scheduled(Scheduled {
            command: command(),
            due: "2026-11-23T10:15:00Z".parse().expect("a time"),
        }),
    ]
}

#[test]
fn a_typed_rejection_survives_storage() {
    let refused = goods::Rejection::SoldOut {
        reservation: goods::Reservation { order_id: order(), line: 4 },
        available: 1,
    };
    let stored = refused.to_rejection();
    assert_eq!(stored.name, "sold-out");
    assert_eq!(stored.typed::<goods::Rejection>(), Some(refused));
    assert_eq!(stored.typed::<orders::Rejection>(), None);
    assert_eq!(orders::Rejection::NoLines.to_rejection().pointer.as_deref(), Some("/lines"));
}

#[test]
fn a_body_is_checked_whole() {
    let validators = json::Validator::of_commands(Service::Orders);
    let body =
        json!({ "lines": [{ "goods_id": "no-uuid", "quantity": 0, "colour": "red" }, {}], "colour": 1 });
    let misfits = validators["CreateOrder"].misfits(&body);
    let pointers: Vec<&str> = misfits.iter().map(|misfit| misfit.pointer.as_str()).collect();
    for place in [
        "/user_id",
        "/colour",
        "/lines/0/goods_id",
        "/lines/0/quantity",
        "/lines/0/colour",
        "/lines/1/goods_id",
        "/lines/1/quantity",
    ] {
        assert!(pointers.contains(&place), "{place} in {misfits:?}");
    }
    let fine = json!({ "user_id": user(), "lines": [{ "goods_id": goods_id(), "quantity": 1 }] });
    assert_eq!(validators["CreateOrder"].misfits(&fine), []);
}

#[test]
fn streams_are_named_after_their_aggregates() {
    assert_eq!(order().stream(), StreamId::new("order-01900000-0000-7000-8000-000000000001"));
}
