//! What the routes of functions say about themselves.

use factfold_schemas::functions::{
    BindFunction, Code, Configuration, ConfigureFunction, Function, FunctionBound, FunctionDeployed,
    FunctionName, FunctionScheduled, Language, Limits, RemoveFunction, RollBackFunction, ScheduleFunction,
    UnbindFunction, UnscheduleFunction,
};
use factfold_schemas::personal::Personal;
use serde_json::{Value, json};

use super::{ListParameters, LogLine, LogParameters, SourceParameters};
use crate::{
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
        sample::time,
    },
    functions::{Deployment, LaterCall},
    reading::body::JSON,
};

/// The sample function.
const ADD: &str = "export default function ({ a, b }) {\n  return { result: a + b };\n}\n";

/// The sample call.
const CALL: &str = "019ac0de-0000-7000-8000-00000000ca11";

/// Has a function's name in its path.
fn named(description: Description) -> Description {
    let schema = json!({ "type": "string", "pattern": FunctionName::PATTERN });
    description
        .parameter(Place::Path, "name", true, "The function's name.", schema)
        .refused(&["invalid-parameter", "not-implemented"])
}

fn about(description: Description) -> Description {
    named(description).refused(&["function-not-found"])
}

fn deployed(revision: u32, source: &str) -> FunctionDeployed {
    let number = json!({ "type": "number" });
    FunctionDeployed {
        revision,
        language: Language::JavaScript,
        code: Code::of(source.as_bytes()),
        path: Some("/add".to_owned()),
        public: true,
        limits: Limits::default(),
        input_schema: Some(json!({
            "type": "object", "required": ["a", "b"], "properties": { "a": number, "b": number },
        })),
        output_schema: None,
    }
}

/// The sample function, with so many revisions.
fn add(version: u64, revisions: u32, binding: Option<FunctionBound>) -> Function {
    Function {
        name: "add".parse().expect("a name"),
        version,
        created_at: time(),
        updated_at: time(),
        revision: Some(revisions),
        revisions: (1..=revisions).map(|revision| deployed(revision, ADD)).collect(),
        binding,
        schedule: None,
        configuration: Configuration::default(),
    }
}

pub(in crate::routes) fn list(components: &mut Components) -> Description {
    Description::read("List functions")
        .query(components.query::<ListParameters>())
        .lists(&components.of::<Function>())
        .example(Example::of("All").answer(json!({ "items": [add(1, 1, None)], "next": null })))
}

pub(in crate::routes) fn show(components: &mut Components) -> Description {
    about(Description::read("Show a function"))
        .shows(components.of::<Function>())
        .example(Example::of("add").path("name", "add").answer(add(1, 1, None)))
}

pub(in crate::routes) fn source(components: &mut Components) -> Description {
    let text = || json!({ "type": "string" });
    let content =
        ["text/javascript", "application/typescript", "text/x-python"].map(|media_type| (media_type, text()));
    let wasm = ("application/wasm", json!({ "type": "string", "format": "binary" }));
    about(Description::read("Show the source of a function"))
        .query(components.query::<SourceParameters>())
        .answers(Answer {
            status: 200,
            description: "As it was deployed.",
            content: content.into_iter().chain([wasm]).collect(),
            headers: Vec::new(),
        })
        .refused(&["revision-not-found", "function-unavailable"])
        .example(Example::of("Of add").path("name", "add"))
}

pub(in crate::routes) fn deploy(components: &mut Components) -> Description {
    let FunctionDeployed { language, path, public, input_schema, .. } = deployed(1, ADD);
    let body = |source: &str| json!({ "language": language, "source": source, "path": path, "public": public, "input_schema": input_schema });
    named(Description::write("Deploy a function", components))
        .detail(
            "The code is compiled and started once before it is taken: what cannot run is refused with its line and column. \
             It answers calls at `POST /fn/{name}`, and at its `path` where it claims one; calls that are running end with \
             the revision with which they began. JavaScript: `export default function (input, context) {…}`. Python: \
             `def handle(input, context): …`.",
        )
        .body(components.of::<Deployment>())
        .creates(components.of::<Function>())
        .changes(components.of::<Function>())
        .refused(&["function-unavailable", "invalid-code", "invalid-path", "invalid-limits", "invalid-schema", "path-taken"])
        .example(Example::of("add").path("name", "add").body(body(ADD)).status(201).answer(add(1, 1, None)))
        .example(
            Example::of("add, mended")
                .path("name", "add")
                .body(body("export default ({ a, b }) => ({ result: a + b });\n"))
                .answer(add(2, 2, None)),
        )
}

pub(in crate::routes) fn roll_back(components: &mut Components) -> Description {
    about(Description::write("Put an earlier revision in its place", components))
        .body(components.of::<RollBackFunction>())
        .changes(components.of::<Function>())
        .refused(&["revision-not-found"])
        .example(
            Example::of("The first one")
                .path("name", "add")
                .body(json!({ "revision": 1 }))
                .answer(Function { revision: Some(1), ..add(3, 2, None) }),
        )
}

pub(in crate::routes) fn remove(components: &mut Components) -> Description {
    about(Description::write("Remove a function", components))
        .detail("It answers no more calls, and is given no more events. Its revisions stay: `rollback` brings it back.")
        .body_or_nothing(components.of::<RemoveFunction>())
        .changes(components.of::<Function>())
        .example(
            Example::of("add").path("name", "add").answer(Function { revision: None, ..add(6, 2, None) }),
        )
}

pub(in crate::routes) fn configure(components: &mut Components) -> Description {
    let configuration = Configuration {
        settings: [("currency".to_owned(), json!("EUR"))].into(),
        secrets: [("TOKEN".to_owned(), Personal::new("sealed.v1.…"))].into(),
    };
    about(Description::write("Change the settings and the secrets of a function", components))
        .detail(
            "Its context has them as `settings` and `secrets`, from the next call or event on. What is not named stays, and \
             `null` takes one away. Secrets are sealed before they are stored: nobody is shown them any more.",
        )
        .body(components.of::<ConfigureFunction>())
        .changes(components.of::<Function>())
        .refused(&["invalid-configuration"])
        .example(
            Example::of("A currency, and a token")
                .path("name", "add")
                .body(json!({ "settings": { "currency": "EUR" }, "secrets": { "TOKEN": "hush" } }))
                .answer(Function { configuration, ..add(4, 2, None) }),
        )
}

pub(in crate::routes) fn bind(components: &mut Components) -> Description {
    let bound = FunctionBound {
        binding: 1,
        topic: "orders.events".to_owned(),
        types: vec!["OrderPaid".to_owned()],
        from: Some(time()),
    };
    about(Description::write("Give a function the events of a topic", components))
        .detail(
            "Each event is given once in effect: what the function returns (`state`, `commands`, `events`) is stored in the \
             same transaction as its place. Of `functions.events` it is given what happens to itself: its own ticks, where it \
             has a schedule.",
        )
        .body(components.of::<BindFunction>())
        .changes(components.of::<Function>())
        .refused(&["invalid-topic", "invalid-types", "already-bound"])
        .example(
            Example::of("Paid orders, from now on")
                .path("name", "add")
                .body(json!({ "topic": "orders.events", "types": ["OrderPaid"], "from": "now" }))
                .answer(add(4, 2, Some(bound))),
        )
}

pub(in crate::routes) fn unbind(components: &mut Components) -> Description {
    about(Description::write("Give a function no more events", components))
        .body_or_nothing(components.of::<UnbindFunction>())
        .changes(components.of::<Function>())
        .example(Example::of("add").path("name", "add").answer(add(5, 2, None)))
}

pub(in crate::routes) fn schedule(components: &mut Components) -> Description {
    let scheduled = FunctionScheduled {
        schedule: 1,
        cron: "0 6 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        input: json!({ "of": "tea" }),
        next: Some(time()),
    };
    about(Description::write("Let a function tick by the clock", components))
        .detail(
            "Each tick is an event `FunctionTicked` of the function's stream, with the `input`; bound to `functions.events` it \
             is given its own. `cron` has five fields: minute, hour, day of the month, month, day of the week. Where clocks \
             change, a time that is left out comes when the clock goes on, and one that comes twice is taken the first time; \
             what comes in every hour (`*` is the second field) goes on as time does. Ticks that are missed come late, all of \
             them, each once.",
        )
        .body(components.of::<ScheduleFunction>())
        .changes(components.of::<Function>())
        .refused(&["invalid-schedule", "already-scheduled"])
        .example(
            Example::of("Every morning at six")
                .path("name", "add")
                .body(json!({ "cron": "0 6 * * *", "time_zone": "Europe/Berlin", "input": { "of": "tea" } }))
                .answer(Function { schedule: Some(scheduled), ..add(6, 2, None) }),
        )
}

pub(in crate::routes) fn unschedule(components: &mut Components) -> Description {
    about(Description::write("Let a function tick no more", components))
        .body_or_nothing(components.of::<UnscheduleFunction>())
        .changes(components.of::<Function>())
        .example(Example::of("add").path("name", "add").answer(add(7, 2, None)))
}

pub(in crate::routes) fn logs(components: &mut Components) -> Description {
    let line = json!({
        "time": time(), "revision": 1, "call": "019ac0de-0000-7000-8000-000000000000", "level": "info",
        "text": "adding 1 and 2",
    });
    about(Description::plain("Show what a function said lately"))
        .detail("What it wrote to its console, and how calls of it failed: the last 500 lines, for an hour at least.")
        .query(components.query::<LogParameters>())
        .lists(&components.of::<LogLine>())
        .example(Example::of("Of add").path("name", "add").answer(json!({ "items": [line], "next": null })))
}

pub(in crate::routes) fn call(components: &mut Components) -> Description {
    let body = || json!({ "a": 1, "b": 2 });
    named(Description::plain("Call a function"))
        .detail(
            "With an access token, or without one where the function was deployed for everybody. A function that claims a \
             path answers there, too. Its input is the body, its output the answer. With `Prefer: respond-async` the call is \
             stored and runs in its turn, whatever dies: ask at `Location` what came of it.",
        )
        .common("Prefer")
        .body_or_nothing(Value::Object(serde_json::Map::new()))
        .answers(Answer {
            status: 200,
            description: "What it returned.",
            content: vec![(JSON, json!({}))],
            headers: vec!["Factfold-Call"],
        })
        .answers(Answer {
            status: 202,
            description: "Stored. It runs in its turn.",
            content: vec![(JSON, components.of::<LaterCall>())],
            headers: vec!["Factfold-Call", "Location", "Preference-Applied"],
        })
        .refused(&[
            "unauthenticated",
            "function-not-found",
            "invalid-header",
            "invalid-json",
            "invalid-fields",
            "request-timeout",
            "body-too-large",
            "unsupported-media-type",
            "too-many-calls",
            "function-failed",
            "function-stopped",
            "function-unavailable",
            "too-many-waiting",
            "outcome-unknown",
        ])
        .example(Example::of("1 + 2").path("name", "add").body(body()).answer(json!({ "result": 3 })))
        .example(
            Example::of("1 + 2, later")
                .path("name", "add")
                .header("Prefer", "respond-async")
                .body(body())
                .status(202)
                .answer(json!({ "call": CALL, "function": "add", "status": "pending", "taken_at": time() }))
                .keeps("/call", CALL),
        )
}

pub(in crate::routes) fn later_call(components: &mut Components) -> Description {
    named(Description::plain("Show what came of a call that nobody waited for"))
        .detail(
            "For who called, and for developers; where that was nobody with an access token, for whoever knows the id. \
             `Prefer: wait=10` waits for its end so many seconds. Calls are known for a day.",
        )
        .parameter(Place::Path, "call", true, "The call's id.", json!({ "type": "string", "format": "uuid" }))
        .common("Prefer")
        .answers(Answer {
            status: 200,
            description: "How it stands.",
            content: vec![(JSON, components.of::<LaterCall>())],
            headers: vec!["Preference-Applied"],
        })
        .refused(&[
            "unauthenticated",
            "not-found",
            "call-not-found",
            "invalid-header",
            "too-many-waiting",
            "log-unavailable",
        ])
        .example(
            Example::of("1 + 2")
                .path("name", "add")
                .path("call", CALL)
                .header("Prefer", "wait=30")
                .answer(json!({
                    "call": CALL, "function": "add", "status": "succeeded",
                    "taken_at": time(), "ended_at": time(), "output": { "result": 3 },
                })),
        )
}
