//! The rules of functions, one by one.

use factfold_schemas::{
    functions::{
        Code, ConfigurationField, Language, Limits, RemoveFunction, RollBackFunction, UnbindFunction,
        UnscheduleFunction,
    },
    personal::Personal,
};
use serde_json::json;

use super::*;
use crate::given::{Given, time};

fn given(events: impl IntoIterator<Item = Event>) -> Given<FunctionsDecider> {
    Given::events("add".parse().expect("a name"), events)
}

fn command(code: &str) -> DeployFunction {
    DeployFunction {
        language: Language::JavaScript,
        code: Code::of(code.as_bytes()),
        path: Some("/add".to_owned()),
        public: false,
        limits: Limits::default(),
        input_schema: None,
        output_schema: None,
    }
}

fn deploy(code: &str) -> Command {
    Command::DeployFunction(command(code))
}

fn deployed(revision: u32, code: &str) -> Event {
    let DeployFunction { language, code, path, public, limits, input_schema, output_schema } = command(code);
    Event::FunctionDeployed(FunctionDeployed {
        revision,
        language,
        code,
        path,
        public,
        limits,
        input_schema,
        output_schema,
    })
}

fn roll_back(revision: u32) -> Command {
    Command::RollBackFunction(RollBackFunction { revision })
}

fn rolled_back(revision: u32) -> Event {
    Event::FunctionRolledBack(FunctionRolledBack { revision })
}

fn remove() -> Command {
    Command::RemoveFunction(RemoveFunction {})
}

fn removed() -> Event {
    Event::FunctionRemoved(FunctionRemoved {})
}

fn bind(topic: &str, from: Start) -> Command {
    Command::BindFunction(BindFunction { topic: topic.to_owned(), types: Vec::new(), from })
}

fn bound(binding: u32, from: Option<jiff::Timestamp>) -> Event {
    Event::FunctionBound(FunctionBound {
        binding,
        topic: "orders.events".to_owned(),
        types: Vec::new(),
        from,
    })
}

fn unbound() -> Event {
    Event::FunctionUnbound(FunctionUnbound {})
}

fn schedule(cron: &str, time_zone: &str) -> Command {
    let (cron, time_zone) = (cron.to_owned(), time_zone.to_owned());
    Command::ScheduleFunction(ScheduleFunction { cron, time_zone, input: json!({ "of": "tea" }) })
}

/// Every hour.
fn scheduled(schedule: u32, next: &str) -> Event {
    Event::FunctionScheduled(FunctionScheduled {
        schedule,
        cron: "0 * * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        input: json!({ "of": "tea" }),
        next: Some(at(next)),
    })
}

fn unscheduled() -> Event {
    Event::FunctionUnscheduled(FunctionUnscheduled {})
}

fn tick(schedule: u32, due: &str) -> Command {
    Command::TickFunction(TickFunction { schedule, due: at(due) })
}

fn ticked(schedule: u32, due: &str, next: &str) -> Event {
    let input = json!({ "of": "tea" });
    Event::FunctionTicked(FunctionTicked { schedule, due: at(due), input, next: Some(at(next)) })
}

/// An hour of the day on which the first functions were scheduled.
fn at(hour: &str) -> Timestamp {
    format!("2026-11-26T{hour}:00Z").parse().expect("a time")
}

#[test]
fn revisions_count_up_for_ever() {
    given([]).when(deploy("a")).then([deployed(1, "a")]);
    given([deployed(1, "a")]).when(deploy("b")).then([deployed(2, "b")]);
    given([deployed(1, "a"), deployed(2, "b"), rolled_back(1)]).when(deploy("c")).then([deployed(3, "c")]);
    given([deployed(1, "a"), removed()]).when(deploy("a")).then([deployed(2, "a")]);
}

#[test]
fn what_is_deployed_already_is_no_change() {
    given([deployed(1, "a")]).when(deploy("a")).rejected(Rejection::NoChange);
    given([deployed(1, "a"), deployed(2, "b"), rolled_back(1)])
        .when(deploy("a"))
        .rejected(Rejection::NoChange);
    // Other settings are another revision.
    let slower = Limits { time_ms: 5000, ..Limits::default() };
    let command = Command::DeployFunction(DeployFunction { limits: slower, ..command("a") });
    let Event::FunctionDeployed(event) = deployed(2, "a") else { unreachable!() };
    given([deployed(1, "a")])
        .when(command)
        .then([Event::FunctionDeployed(FunctionDeployed { limits: slower, ..event })]);
}

#[test]
fn what_cannot_be_deployed_is_refused_by_its_field() {
    let refused = |change: fn(&mut DeployFunction), rejection: Rejection| {
        let mut command = command("a");
        change(&mut command);
        given([]).when(Command::DeployFunction(command)).rejected(rejection);
    };
    refused(|c| c.code.sha256 = "A".repeat(64), Rejection::InvalidCode);
    refused(|c| c.code.bytes = 0, Rejection::InvalidCode);
    refused(|c| c.code.bytes = 23 * 1024 * 1024 + 1, Rejection::InvalidCode);
    refused(|c| c.path = Some("/v1/orders".into()), Rejection::InvalidPath);
    refused(|c| c.limits.time_ms = 0, Rejection::InvalidLimits);
    refused(|c| c.input_schema = Some(json!("text")), Rejection::InvalidSchema);
    refused(|c| c.output_schema = Some(json!({ "title": "x".repeat(16 * 1024) })), Rejection::InvalidSchema);
}

#[test]
fn a_revision_comes_back() {
    let two = || [deployed(1, "a"), deployed(2, "b")];
    given(two()).when(roll_back(1)).then([rolled_back(1)]);
    given(two()).when(roll_back(2)).rejected(Rejection::NoChange);
    given(two()).when(roll_back(3)).rejected(Rejection::RevisionNotFound { revision: 3 });
    given([]).when(roll_back(1)).rejected(Rejection::FunctionNotFound);
    given([deployed(1, "a"), removed()]).when(roll_back(1)).then([rolled_back(1)]);
}

#[test]
fn twenty_revisions_are_kept() {
    let many = || (1..=21).map(|revision| deployed(revision, &revision.to_string()));
    given(many()).when(roll_back(2)).then([rolled_back(2)]);
    given(many()).when(roll_back(1)).rejected(Rejection::RevisionNotFound { revision: 1 });
}

#[test]
fn what_is_removed_is_given_no_more_events() {
    given([deployed(1, "a")]).when(remove()).then([removed()]);
    given([deployed(1, "a"), bound(1, None)]).when(remove()).then([unbound(), removed()]);
    given([deployed(1, "a"), removed()]).when(remove()).rejected(Rejection::NoChange);
    given([]).when(remove()).rejected(Rejection::FunctionNotFound);
}

#[test]
fn a_binding_says_from_which_time_on() {
    let now = time(7);
    let given = || given([deployed(1, "a")]);
    given().when(bind("orders.events", Start::Beginning)).then([bound(1, None)]);
    given().when(bind("orders.events", Start::Now)).at(now).then([bound(1, Some(now))]);
    given().when(bind("orders.events", Start::At(time(3)))).then([bound(1, Some(time(3)))]);
    for (asked, said) in [
        ("2026-11-26T17:00:00.123999999Z", "2026-11-26T17:00:00.123Z"),
        ("9999-12-30T22:00:00.999999999Z", "9999-12-30T22:00:00.999Z"),
        ("-009000-01-01T00:00:00.5Z", "1970-01-01T00:00:00Z"),
    ] {
        let [asked, said] = [asked, said].map(|time| time.parse().expect("a time"));
        given().when(bind("orders.events", Start::At(asked))).then([bound(1, Some(said))]);
    }
}

#[test]
fn a_function_is_bound_to_one_topic_of_events() {
    let history = || [deployed(1, "a"), bound(1, None)];
    let topic = "orders.events".to_owned();
    given(history()).when(bind("goods.events", Start::Now)).rejected(Rejection::AlreadyBound { topic });
    given(history()).when(Command::UnbindFunction(UnbindFunction {})).then([unbound()]);
    given(history().into_iter().chain([unbound()]))
        .when(bind("orders.events", Start::Beginning))
        .then([bound(2, None)]);
    given([deployed(1, "a")]).when(Command::UnbindFunction(UnbindFunction {})).rejected(Rejection::NoChange);
    given([deployed(1, "a"), removed()])
        .when(bind("orders.events", Start::Now))
        .rejected(Rejection::FunctionNotFound);
    let topic = "functions.emitted".to_owned();
    let others = FunctionBound { binding: 1, topic, types: Vec::new(), from: None };
    given([deployed(1, "a")])
        .when(bind("functions.emitted", Start::Beginning))
        .then([Event::FunctionBound(others)]);
    for topic in ["orders.commands", "orders", "coffee.events", "functions.state", "orders.emitted"] {
        let rejection = Rejection::InvalidTopic { topic: topic.to_owned() };
        given([deployed(1, "a")]).when(bind(topic, Start::Now)).rejected(rejection);
    }
}

#[test]
fn a_schedule_says_when_it_ticks_first() {
    let given = || given([deployed(1, "a")]);
    let hourly = || schedule("0 * * * *", "Europe/Berlin");
    given().when(hourly()).at(at("17:59")).then([scheduled(1, "18:00")]);
    // What is due at this very moment is over.
    given().when(hourly()).at(at("18:00")).then([scheduled(1, "19:00")]);
}

#[test]
fn a_function_has_one_schedule_at_a_time() {
    let history = || [deployed(1, "a"), scheduled(1, "18:00")];
    let rejection =
        Rejection::AlreadyScheduled { cron: "0 * * * *".into(), time_zone: "Europe/Berlin".into() };
    given(history()).when(schedule("0 6 * * *", "UTC")).rejected(rejection);
    let unschedule = || Command::UnscheduleFunction(UnscheduleFunction {});
    given(history()).when(unschedule()).then([unscheduled()]);
    given([deployed(1, "a")]).when(unschedule()).rejected(Rejection::NoChange);
    given(history().into_iter().chain([unscheduled()]))
        .when(schedule("0 * * * *", "Europe/Berlin"))
        .at(at("20:30"))
        .then([scheduled(2, "21:00")]);
    for nothing in [vec![], vec![deployed(1, "a"), removed()]] {
        given(nothing).when(schedule("0 6 * * *", "UTC")).rejected(Rejection::FunctionNotFound);
    }
}

#[test]
fn what_is_no_schedule_is_refused_by_its_field() {
    let refused = |command: Command, field: ScheduleField, detail: &str| {
        let rejection = Rejection::InvalidSchedule { field, detail: detail.to_owned() };
        assert_eq!(factfold_schemas::rejection::Reject::pointer(&rejection), Some(format!("/{field}")));
        given([deployed(1, "a")]).when(command).rejected(rejection);
    };
    let cron = "it has five fields, as `0 6 * * MON-FRI`";
    refused(schedule("@daily", "UTC"), ScheduleField::Cron, cron);
    refused(schedule("0 0 30 2 *", "UTC"), ScheduleField::Cron, "it must come at least once in 366 days");
    let zone = "there is none of this name: say `Europe/Berlin`, or `UTC`";
    refused(schedule("0 6 * * *", "Berlin"), ScheduleField::TimeZone, zone);
    let (cron, time_zone) = ("0 6 * * *".to_owned(), "UTC".to_owned());
    let input = json!("x".repeat(64 * 1024));
    let long = Command::ScheduleFunction(ScheduleFunction { cron, time_zone, input });
    refused(long, ScheduleField::Input, "it has at most 65536 bytes");
}

/// What nobody could send while nothing ran comes late, each in its turn: the clock has no say in it.
#[test]
fn each_tick_comes_once_and_says_which_is_next() {
    let given = |more: Vec<Event>| given([deployed(1, "a"), scheduled(1, "18:00")].into_iter().chain(more));
    given(vec![]).when(tick(1, "18:00")).at(at("18:00")).then([ticked(1, "18:00", "19:00")]);
    given(vec![]).when(tick(1, "18:00")).at(at("23:30")).then([ticked(1, "18:00", "19:00")]);
    let once = || vec![ticked(1, "18:00", "19:00")];
    given(once()).when(tick(1, "19:00")).at(at("23:30")).then([ticked(1, "19:00", "20:00")]);
    given(once()).when(tick(1, "18:00")).rejected(Rejection::NoChange);
    given(once()).when(tick(1, "20:00")).rejected(Rejection::NoChange);
}

#[test]
fn what_an_earlier_schedule_set_comes_to_nothing() {
    let anew = [deployed(1, "a"), scheduled(1, "18:00"), unscheduled(), scheduled(2, "18:00")];
    given(anew.clone()).when(tick(1, "18:00")).rejected(Rejection::NoChange);
    given(anew).when(tick(2, "18:00")).then([ticked(2, "18:00", "19:00")]);
    let over = [deployed(1, "a"), scheduled(1, "18:00"), unscheduled()];
    given(over).when(tick(1, "18:00")).rejected(Rejection::NoChange);
}

#[test]
fn what_is_removed_ticks_no_more() {
    let history = || [deployed(1, "a"), scheduled(1, "18:00")];
    given(history()).when(remove()).then([unscheduled(), removed()]);
    given(history().into_iter().chain([bound(1, None)])).when(remove()).then([
        unscheduled(),
        unbound(),
        removed(),
    ]);
    given(history().into_iter().chain([unscheduled(), removed(), rolled_back(1)]))
        .when(tick(1, "18:00"))
        .rejected(Rejection::NoChange);
}

#[test]
fn a_function_is_shown_with_its_next_tick() {
    let function: Function =
        given([deployed(1, "a"), scheduled(1, "18:00"), ticked(1, "18:00", "19:00")]).resource();
    let Event::FunctionScheduled(expected) = scheduled(1, "19:00") else { unreachable!("made above") };
    assert_eq!(function.schedule, Some(expected));
    let function: Function = given([deployed(1, "a"), scheduled(1, "18:00"), unscheduled()]).resource();
    assert_eq!(function.schedule, None);
}

#[test]
fn a_function_is_shown_with_what_it_can_be_put_back_to() {
    let function: Function =
        given([deployed(1, "a"), deployed(2, "b"), rolled_back(1), bound(1, None)]).resource();
    assert_eq!(function.revision, Some(1));
    assert_eq!(function.revisions.len(), 2);
    assert_eq!(function.current().map(|deployed| &deployed.code), Some(&Code::of(b"a")));
    assert_eq!(function.binding.map(|bound| bound.topic).as_deref(), Some("orders.events"));
}

/// What a worker keeps on disk has no names: it must hold all that there is, and be read as it was written.
#[test]
fn a_state_is_read_as_it_is_kept() {
    let Event::FunctionDeployed(bare) = deployed(1, "a") else { unreachable!("made above") };
    let schema = Some(json!({ "maximum": 1.5, "enum": [null, { "b": 1, "a": "\u{e4}" }] }));
    let bare = FunctionDeployed { path: None, ..bare };
    let full =
        FunctionDeployed { revision: 2, input_schema: schema.clone(), output_schema: schema, ..bare.clone() };
    for events in [
        vec![Event::FunctionDeployed(bare.clone()), bound(1, None)],
        vec![
            Event::FunctionDeployed(bare),
            Event::FunctionDeployed(full),
            bound(1, Some(time(3))),
            scheduled(1, "18:00"),
        ],
    ] {
        let state = events.iter().fold(None, FunctionsDecider::evolve).expect("a state");
        let kept = postcard::to_stdvec(&state).expect("plain data");
        assert_eq!(postcard::from_bytes::<State>(&kept), Ok(state));
    }
}

fn configure(settings: Value, secrets: &[(&str, Option<&str>)]) -> Command {
    let secrets = secrets.iter().map(|(name, secret)| ((*name).to_owned(), secret.map(Personal::new)));
    let settings = serde_json::from_value(settings).expect("an object");
    Command::ConfigureFunction(ConfigureFunction { settings, secrets: secrets.collect() })
}

fn configured(settings: Value, secrets: Value) -> Event {
    let configuration = json!({ "settings": settings, "secrets": secrets });
    let configuration = serde_json::from_value(configuration).expect("a configuration");
    Event::FunctionConfigured(FunctionConfigured { configuration })
}

#[test]
fn what_is_not_named_of_a_configuration_stays() {
    let deployed = || deployed(1, "a");
    let first = || configured(json!({ "a": 1, "b": { "deep": null } }), json!({ "KEY": "sealed.v1.x" }));
    given([deployed()])
        .when(configure(json!({ "a": 1, "b": { "deep": null } }), &[("KEY", Some("sealed.v1.x"))]))
        .then([first()]);
    given([deployed(), first()])
        .when(configure(json!({ "a": null, "c": [2] }), &[("OTHER", Some("sealed.v1.y"))]))
        .then([configured(
            json!({ "b": { "deep": null }, "c": [2] }),
            json!({ "KEY": "sealed.v1.x", "OTHER": "sealed.v1.y" }),
        )]);
    given([deployed(), first()])
        .when(configure(json!({}), &[("KEY", None)]))
        .then([configured(json!({ "a": 1, "b": { "deep": null } }), json!({}))]);
    for nothing in [configure(json!({}), &[]), configure(json!({ "a": 1, "z": null }), &[("NONE", None)])] {
        given([deployed(), first()]).when(nothing).rejected(Rejection::NoChange);
    }
    // Other code is told the same.
    let redeployed = given([deployed(), first(), self::deployed(2, "b")]);
    assert_eq!(redeployed.resource::<Function>().configuration.settings.len(), 2);
    let anew = given([deployed(), first(), removed(), self::deployed(2, "b")]);
    assert!(anew.resource::<Function>().configuration.is_empty());
    for missing in [vec![], vec![deployed(), removed()]] {
        given(missing).when(configure(json!({ "a": 1 }), &[])).rejected(Rejection::FunctionNotFound);
    }
}

#[test]
fn what_is_no_configuration_is_refused_by_its_field() {
    let refused = |command: Command, field, told: &str| {
        let detail = told.to_owned();
        given([deployed(1, "a")]).when(command).rejected(Rejection::InvalidConfiguration { field, detail });
    };
    use ConfigurationField::{Secrets, Settings};
    let name = "`a-b` is no name: use up to 64 letters, digits and `_`, not beginning with a digit";
    refused(configure(json!({ "a-b": 1 }), &[]), Settings, name);
    refused(configure(json!({}), &[("a-b", None)]), Secrets, name);
    refused(configure(json!({}), &[("KEY", Some("in the clear"))]), Secrets, "`KEY` is not sealed");
    let too_much = "a function has at most 50, and 16384 bytes of them together";
    refused(configure(json!({ "a": "x".repeat(16 * 1024) }), &[]), Settings, too_much);
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("a{n}"), json!(n))).collect();
    refused(configure(many.into(), &[]), Settings, too_much);
    let long = format!("sealed.v1.{}", "x".repeat(16 * 1024));
    refused(configure(json!({}), &[("KEY", Some(&long))]), Secrets, too_much);
}
