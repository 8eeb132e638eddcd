//! Functions over HTTP: written, deployed, called, put back, removed; and what cannot run is refused, or stopped.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use factfold_producers::access::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use uuid::Uuid;

use crate::{
    cli::{Cli, Ran},
    system::{Client, System},
    world::{PATIENCE, until},
};

/// A call may take so long where its time is not what is tested: the machine may be busy.
const TIME_MS: u32 = 30_000;

/// The classic: it checks its parameters.
const ADD: &str = include_str!("../../consumers/functions/examples/add.js");

fn javascript(source: &str) -> Value {
    json!({ "language": "javascript", "source": source, "limits": { "time_ms": TIME_MS } })
}

async fn deploy(developer: &Client, name: &str, body: Value) {
    let path = format!("/v1/functions/{name}");
    let answer = developer.put(&path, body).await;
    assert!(answer.status.is_success(), "{name}: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_deployed_called_put_back_and_removed() {
    let system = System::start().await;
    let (developer, customer) = (system.client(&[Role::Developer]), system.client(&[Role::Customer]));
    let mut body = javascript(ADD);
    body["path"] = json!("/add");
    let deployed = developer.put("/v1/functions/add", body.clone()).await.expect(201);
    assert_eq!(deployed.header("location"), "/v1/functions/add");
    assert_eq!(deployed.body["revision"], 1);

    // At its name, and literally at its path; zero is a number.
    for path in ["/fn/add", "/add"] {
        let sum = customer.post(path, json!({ "a": 1, "b": 2 })).await.expect(200);
        assert_eq!(sum.body, json!({ "result": 3 }), "{path}");
        assert!(!sum.header("factfold-call").is_empty());
        let zero = customer.post(path, json!({ "a": 0, "b": 0 })).await.expect(200);
        assert_eq!(zero.body, json!({ "result": 0 }));
        for (input, said) in
            [(json!({ "a": 1 }), "b is missing"), (json!({ "a": "1", "b": 2 }), "a must be a number")]
        {
            let failed = customer.post(path, input).await.expect_problem(500, "function-failed");
            assert!(failed.text("detail").contains(said), "{}", failed.body);
        }
    }
    // What is not built is refused, not ignored.
    let once = [("idempotency-key", "once")];
    let called = customer.ask(Method::POST, "/fn/add", Some(json!({ "a": 1, "b": 2 })), &once).await;
    called.expect_problem(501, "not-implemented");
    // Who has not said who that is may not call it, and learns nothing of what there is.
    let nobody = customer.anonymous();
    nobody.post("/fn/add", json!({})).await.expect_problem(401, "unauthenticated");
    nobody.post("/fn/nothing", json!({})).await.expect_problem(401, "unauthenticated");
    customer.post("/fn/nothing", json!({})).await.expect_problem(404, "function-not-found");
    nobody.post("/add", json!({})).await.expect_problem(404, "not-found");
    customer.get("/add").await.expect_problem(405, "method-not-allowed");
    // Only what was looked at is deployed.
    let data = json!({ "language": "javascript", "code": { "sha256": "0".repeat(64), "bytes": 1 } });
    let event =
        json!({ "specversion": "1.0", "type": "DeployFunction", "subject": "function-add", "data": data });
    developer.send(event).await.expect_problem(403, "forbidden");
    customer.put("/v1/functions/add", body.clone()).await.expect_problem(403, "forbidden");

    // The same again changes nothing; another source is another revision, which answers at once.
    developer.put("/v1/functions/add", body.clone()).await.expect(200);
    let twice = "export default ({ a, b }) => ({ result: 2 * (a + b) });";
    let mut mended = javascript(twice);
    (mended["path"], mended["public"]) = (json!("/add"), json!(true));
    let second = developer.put("/v1/functions/add", mended).await.expect(200);
    assert_eq!(second.body["revision"], 2);
    assert_eq!(nobody.post("/add", json!({ "a": 1, "b": 2 })).await.expect(200).body["result"], 6);
    let position = second.header("factfold-position");
    let shown = developer.get_at("/v1/functions/add", position).await.expect(200);
    assert_eq!(shown.body["revisions"].as_array().map(Vec::len), Some(2));
    assert_eq!(developer.get("/v1/functions/add/source").await.expect(200).body, twice);
    assert_eq!(developer.get("/v1/functions/add/source?revision=1").await.expect(200).body, ADD);

    developer.post("/v1/functions/add/rollback", json!({ "revision": 1 })).await.expect(200);
    assert_eq!(customer.post("/add", json!({ "a": 1, "b": 2 })).await.expect(200).body["result"], 3);
    developer
        .post("/v1/functions/add/rollback", json!({ "revision": 7 }))
        .await
        .expect_problem(404, "revision-not-found");

    let removed = developer.delete("/v1/functions/add").await.expect(200);
    let position = removed.header("factfold-position");
    customer.post("/fn/add", json!({})).await.expect_problem(404, "function-not-found");
    customer.post("/add", json!({})).await.expect_problem(404, "not-found");
    let listed = |path: &'static str| developer.get_at(path, position);
    assert_eq!(listed("/v1/functions").await.expect(200).body["items"], json!([]));
    let gone = listed("/v1/functions?removed=true").await.expect(200);
    assert_eq!(gone.body["items"][0]["name"], "add");
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_with_its_place() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let refused = async |body: Value| developer.put("/v1/functions/wrong", body).await;
    let broken = "export default function () {\n  return 1 +;\n}\n";
    let syntax = refused(javascript(broken)).await.expect_problem(422, "invalid-fields");
    assert_eq!((&syntax.body["line"], &syntax.body["errors"][0]["pointer"]), (&json!(2), &json!("#/source")));
    let python = json!({ "language": "python", "source": "def handle(input, context):\n  return (1\n" });
    assert!(refused(python).await.expect_problem(422, "invalid-fields").body["line"].is_number());
    refused(javascript("const a = 1;")).await.expect_problem(422, "invalid-fields");
    refused(json!({ "language": "component", "wasm": "AAAA" })).await.expect_problem(422, "invalid-fields");
    refused(json!({ "language": "javascript", "wasm": "AAAA" })).await.expect_problem(422, "invalid-fields");
    let several =
        refused(json!({ "language": "cobol", "sauce": "x" })).await.expect_problem(422, "invalid-fields");
    assert_eq!(several.body["errors"].as_array().map(Vec::len), Some(2), "{}", several.body);
    let with = |field: &str, value: Value| {
        let mut body = javascript(ADD);
        body[field] = value;
        body
    };
    refused(with("path", json!("/v1/orders"))).await.expect_problem(422, "invalid-path");
    refused(with("limits", json!({ "time_ms": 5 }))).await.expect_problem(422, "invalid-fields");
    refused(with("input_schema", json!({ "type": 7 }))).await.expect_problem(422, "invalid-fields");
    let long = format!("{ADD}// {}", "x".repeat(10 << 20));
    assert!(refused(javascript(&long)).await.status.is_client_error());
    developer.put("/v1/functions/Wrong", javascript(ADD)).await.expect_problem(400, "invalid-parameter");
    developer.get("/v1/functions/wrong").await.expect_problem(404, "function-not-found");

    deploy(&developer, "first", with("path", json!("/sum"))).await;
    let taken = developer.put("/v1/functions/second", with("path", json!("/sum"))).await;
    assert!(taken.expect_problem(409, "path-taken").text("detail").contains("`first`"));
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_schema_never_reaches_the_function() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let number = json!({ "type": "number" });
    let mut body = javascript("export default ({ a, b }) => (a > 9 ? { wrong: a } : { result: a + b });");
    body["input_schema"] =
        json!({ "type": "object", "required": ["a", "b"], "properties": { "a": number, "b": number } });
    body["output_schema"] = json!({ "type": "object", "required": ["result"] });
    deploy(&developer, "add", body).await;
    developer.post("/fn/add", json!({ "a": 1, "b": 2 })).await.expect(200);
    let misfit = developer.post("/fn/add", json!({ "a": "1" })).await.expect_problem(422, "invalid-fields");
    let errors = misfit.body["errors"].as_array().expect("all of them").iter();
    let mut pointers: Vec<_> = errors.map(|error| error["pointer"].as_str().expect("a pointer")).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["#/a", "#/b"]);
    let wrong = developer.post("/fn/add", json!({ "a": 10, "b": 2 })).await;
    wrong.expect_problem(500, "function-failed");
    system.stop_proved().await;
}

/// Each is stopped with a reason, and whoever calls another function meanwhile is answered.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_functions_are_stopped_and_neighbours_are_answered() {
    let hostile = [
        ("loop", "export default () => { for (;;); }", "longer than"),
        (
            "hog",
            "export default () => { const a = []; for (;;) a.push(new Uint8Array(1 << 24).fill(1)); }",
            "memory",
        ),
        ("deep", "export default function f() { return f() + 1; }", ""),
        ("talker", "export default () => 'x'.repeat(64 << 20)", ""),
        ("regex", "export default () => /^(a+)+$/.test('a'.repeat(40) + 'b')", "longer than"),
    ];
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    deploy(&developer, "add", javascript(ADD)).await;
    for (name, source, said) in hostile {
        let mut body = javascript(source);
        if said == "longer than" {
            body["limits"]["time_ms"] = json!(500);
        }
        deploy(&developer, name, body).await;
    }
    let over = AtomicBool::new(false);
    let neighbour = async {
        let (mut slowest, mut answers) = (Duration::ZERO, 0);
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let sum = developer.post("/fn/add", json!({ "a": 1, "b": 2 })).await.expect(200);
            assert_eq!(sum.body, json!({ "result": 3 }));
            slowest = slowest.max(asked.elapsed());
            answers += 1;
        }
        eprintln!("a neighbour got {answers} answers meanwhile, the slowest in {slowest:?}");
    };
    let attack = async {
        for (name, _, said) in hostile {
            let path = format!("/fn/{name}");
            let answers = futures::future::join_all((0..4).map(|_| developer.post(&path, json!({})))).await;
            for answer in answers {
                assert_eq!(answer.status.as_u16(), 500, "{name}: {}", answer.body);
                assert!(answer.text("detail").contains(said), "{name}: {}", answer.body);
            }
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(neighbour, attack);
    // Nothing of one call reaches the next.
    let trap = "Object.prototype.seen = (Object.prototype.seen ?? 0) + 1; let n = 0; export default () => ({ seen: {}.seen, n: ++n })";
    deploy(&developer, "trap", javascript(trap)).await;
    for _ in 0..2 {
        assert_eq!(
            developer.post("/fn/trap", json!({})).await.expect(200).body,
            json!({ "seen": 1, "n": 1 })
        );
    }
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_told_to_its_function_and_to_nobody_else() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let source = "export default (input, { settings, secrets }) => \
                  ({ in: settings.currency, known: secrets.TOKEN === 'hush-hush', secrets: Object.keys(secrets) })";
    deploy(&developer, "pays", javascript(source)).await;
    let told = async || developer.post("/fn/pays", json!({})).await.expect(200).body;
    assert_eq!(told().await, json!({ "known": false, "secrets": [] }));

    let path = "/v1/functions/pays/configuration";
    let body = json!({ "settings": { "currency": "EUR" }, "secrets": { "TOKEN": "hush-hush" } });
    let changed = developer.patch(path, body.clone()).await.expect(200);
    assert!(!changed.body.to_string().contains("hush"), "{}", changed.body);
    assert_eq!(told().await, json!({ "in": "EUR", "known": true, "secrets": ["TOKEN"] }));
    // The same once more changes nothing, sealed as it is.
    let again = developer.patch(path, body).await.expect(200);
    assert_eq!(again.body["version"], changed.body["version"]);
    let shown = developer.get("/v1/functions/pays").await.expect(200).body;
    assert_eq!(shown["configuration"], changed.body["configuration"]);
    assert_eq!(shown["configuration"]["settings"], json!({ "currency": "EUR" }));

    // Sealed for one function it says nothing to another.
    let sealed = shown["configuration"]["secrets"]["TOKEN"].clone();
    deploy(&developer, "thief", javascript(source)).await;
    let stolen = json!({ "secrets": { "TOKEN": sealed } });
    let refused = developer.patch("/v1/functions/thief/configuration", stolen).await;
    refused.expect_problem(422, "invalid-configuration");

    // By the other door it is sealed as well.
    let event = json!({ "specversion": "1.0", "id": "1", "source": "/tests", "type": "ConfigureFunction",
        "subject": "function-pays", "data": { "secrets": { "SECOND": "hush-hush" } } });
    developer.send(event).await.expect(202);
    until("the second secret has come", async || {
        let told = told().await;
        if told["secrets"] == json!(["SECOND", "TOKEN"]) { Ok(()) } else { Err(told) }
    })
    .await;
    let history = developer.get("/v1/streams/function-pays/events").await.expect(200).body.to_string();
    assert!(history.contains("SECOND") && !history.contains("hush-hush"), "{history}");

    let wrong = json!({ "settings": { "a b": 1 } });
    developer.patch(path, wrong).await.expect_problem(422, "invalid-configuration");
    developer.patch(path, json!({ "secrets": { "TOKEN": null } })).await.expect(200);
    assert_eq!(told().await["secrets"], json!(["SECOND"]));
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_run_at_once_than_may() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let slow = "export default () => { const end = Date.now() + 500; while (Date.now() < end); return 1; }";
    let body =
        json!({ "language": "javascript", "source": slow, "limits": { "calls_max": 2, "time_ms": 30000 } });
    deploy(&developer, "slow", body).await;
    let answers = futures::future::join_all((0..6).map(|_| developer.post("/fn/slow", json!({})))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status.as_u16() == 429).collect();
    assert!(!refused.is_empty() && refused.len() < 6, "{answers:?}");
    assert!(refused.iter().all(|answer| answer.header("retry-after") == "1"));
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_says_is_kept_and_every_process_knows_of_it() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let source = "export default (input, context) => { console.log('got', input.a); console.warn(context.function); throw new Error('no'); }";
    deploy(&developer, "talks", javascript(source)).await;
    let call = developer.post("/fn/talks", json!({ "a": 7 })).await.expect_problem(500, "function-failed");
    let call = call.header("factfold-call").to_owned();
    let lines = until("its lines are there", async || {
        let lines = developer.get("/v1/functions/talks/logs").await.expect(200).body["items"].clone();
        if lines.as_array().is_some_and(|lines| lines.len() == 3) { Ok(lines) } else { Err(lines) }
    })
    .await;
    let said: Vec<_> =
        lines.as_array().into_iter().flatten().map(|line| (&line["level"], &line["text"])).collect();
    assert_eq!((said[0], said[1]), ((&json!("info"), &json!("got 7")), (&json!("warn"), &json!("talks"))));
    assert!(
        said[2].0 == "error" && said[2].1.as_str().is_some_and(|text| text.starts_with("no")),
        "{said:?}"
    );
    assert!(lines.as_array().into_iter().flatten().all(|line| line["call"] == call.as_str()));

    // Another process, that was not there when it was deployed, runs it too.
    deploy(&developer, "add", javascript(ADD)).await;
    let other = system.another_registry().await;
    let name = "add".parse().expect("a name");
    assert!(other.catalogue().come_to(name, 1, PATIENCE).await);
    let called = other.call(name, Uuid::now_v7(), None, &json!({ "a": 1, "b": 2 })).await.expect("an answer");
    assert_eq!(called.get(), r#"{"result":3}"#);
    system.stop_proved().await;
}

/// From nothing to a bound function, as the README has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_writes_tries_deploys_calls_and_binds_a_function() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("token"), developer.token()).expect("written");
    let cli = Cli(&system.world);
    let (http, token) = (system.http.clone(), path("token"));
    let ask = |arguments: &[&str]| {
        let gateway = ["--http", &http, "--token-file", &token];
        cli.run(&[&["functions"], arguments, &gateway].concat())
    };
    let ok = |arguments: &[&str]| {
        let Ran { code, out, err } = ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    };

    for lang in ["js", "ts", "py"] {
        let (name, to) = (format!("add-{lang}"), path(""));
        cli.ok(&["functions", "new", &name, "--lang", lang, "--to", &to]);
        let tried = cli.ok(&["functions", "test", &path(&format!("{name}.{lang}"))]);
        assert!(tried.ends_with("4 passed, 0 failed\n"), "{tried}");
        let again = cli.run(&["functions", "new", &name, "--lang", lang, "--to", &to]);
        assert_eq!(again.code, 1, "what is there is never written over: {}", again.err);
    }
    let wrong = path("add-js.test.json");
    std::fs::write(
        &wrong,
        r#"[{ "name": "wrong", "input": { "a": 1, "b": 2 }, "output": { "result": 4 } }]"#,
    )
    .expect("written");
    let failed = cli.run(&["functions", "test", &path("add-js.js")]);
    assert!(failed.code == 1 && failed.out.contains(r#"got      {"result":3}"#), "{}", failed.out);

    let said = ok(&["deploy", &path("add-js.js"), "--name", "add", "--path", "/add"]);
    assert_eq!(said, "add is deployed, revision 1\n");
    assert_eq!(ok(&["call", "add", r#"{"a":1,"b":2}"#]), "{\n  \"result\": 3\n}\n");
    let refused = ask(&["call", "add", r#"{"a":1}"#]);
    assert!(refused.code == 1 && refused.err.contains("b is missing"), "{}", refused.err);
    std::fs::write(path("broken.js"), "export default function () {\n  return 1 +;\n}\n").expect("written");
    let broken = ask(&["deploy", &path("broken.js")]);
    assert!(broken.code == 1 && broken.err.contains("line 2"), "{}", broken.err);
    assert_eq!(ask(&["deploy", &path("nothing.js")]).code, 2);

    ok(&["deploy", &path("add-ts.ts"), "--name", "add", "--public"]);
    assert!(ok(&["versions", "add"]).contains("typescript"));
    ok(&["rollback", "add", "1"]);
    assert!(ok(&["show", "add"]).contains("revision   1"));
    assert!(ok(&["source", "add"]).contains("export default function"));
    ok(&["bind", "add", "--topic", "orders.events", "--type", "OrderPaid", "--from", "beginning"]);
    assert!(ok(&["list"]).contains("orders.events"));
    ok(&["unbind", "add"]);
    ok(&["remove", "add"]);
    assert_eq!(ask(&["call", "add"]).code, 1);
    system.stop_proved().await;
}

/// A few deployments that are larger than all other bodies are in memory at once: the others wait, and small ones do not.
#[tokio::test(flavor = "multi_thread")]
async fn large_deployments_wait_for_each_other() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let address = system.http.strip_prefix("http://").expect("an address");
    let head = format!(
        "PUT /v1/functions/stalled HTTP/1.1\r\nhost: {address}\r\nauthorization: bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 20000000\r\n\r\n{{",
        developer.token()
    );
    // The runner is loaded: what comes then is quick, before those that stall are ended.
    deploy(&developer, "add", javascript(ADD)).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut connection = TcpStream::connect(address).await.expect("a connection");
        connection.write_all(head.as_bytes()).await.expect("written");
        stalled.push(connection);
    }
    deploy(&developer, "small", javascript(ADD)).await;
    // Each of these is two bytes of JSON.
    let large = javascript(&format!("{ADD}{}", "\n".repeat(600_000)));
    let mut deploying = pin!(deploy(&developer, "large", large));
    assert!(timeout(Duration::from_secs(1), &mut deploying).await.is_err(), "all places are taken");
    drop(stalled);
    deploying.await;
    developer.post("/fn/large", json!({ "a": 1, "b": 2 })).await.expect(200);
    system.stop_proved().await;
}
