//! Calls that nobody waits for: taken, run whatever dies, and asked for later.

use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{Cli, Ran},
    installation::Installation,
    system::{Answer, Client, System},
    world::until,
};

const ADD: &str = include_str!("../../consumers/functions/examples/add.js");
const LATER: &[(&str, &str)] = &[("prefer", "respond-async")];

async fn deploy(developer: &Client, name: &str, source: &str, public: bool) {
    let number = json!({ "type": "number" });
    let body = json!({
        "language": "javascript", "source": source, "public": public, "path": format!("/{name}"),
        "limits": { "time_ms": 30_000 },
        "input_schema": { "type": "object", "properties": { "a": number, "b": number } },
    });
    let answer = developer.put(&format!("/v1/functions/{name}"), body).await;
    assert!(answer.status.is_success(), "{name}: {}", answer.body);
}

async fn call(client: &Client, path: &str, input: Value, headers: &[(&str, &str)]) -> Answer {
    client.ask(Method::POST, path, Some(input), headers).await
}

/// What came of it, once something has.
async fn ended(client: &Client, place: &str) -> Answer {
    until("the call ends", async || {
        let shown = client.ask(Method::GET, place, None, &[("prefer", "wait=30")]).await.expect(200);
        if shown.body["status"] == "pending" { Err(shown.body) } else { Ok(shown) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_waits_for_runs_and_can_be_asked_for() {
    let system = System::start().await;
    let (developer, customer) = (system.client(&[Role::Developer]), system.client(&[Role::Customer]));
    deploy(&developer, "add", ADD, false).await;
    deploy(&developer, "open", "export default () => 'all';", true).await;
    let input = json!({ "a": 1, "b": 2 });
    let taken = call(&customer, "/add", input.clone(), LATER).await.expect(202);
    assert_eq!(taken.header("preference-applied"), "respond-async");
    let id = taken.text("call");
    let place = format!("/v1/functions/add/calls/{id}");
    assert_eq!((taken.header("location"), &taken.body["status"]), (place.as_str(), &json!("pending")));
    let sum = ended(&customer, &place).await;
    assert_eq!((&sum.body["status"], &sum.body["output"]), (&json!("succeeded"), &json!({ "result": 3 })));
    assert!(sum.body["ended_at"].as_str() >= sum.body["taken_at"].as_str(), "{}", sum.body);

    // Who called, and developers; nobody else learns that there was a call.
    assert_eq!(developer.get(&place).await.expect(200).body, sum.body);
    for other in [system.client(&[Role::Customer, Role::Merchant]), customer.anonymous()] {
        other.get(&place).await.expect_problem(404, "call-not-found");
    }
    let elsewhere = format!("/v1/functions/open/calls/{id}");
    customer.get(&elsewhere).await.expect_problem(404, "call-not-found");
    customer.get("/v1/functions/add/calls/17").await.expect_problem(400, "invalid-parameter");
    let nobody = customer.anonymous();
    nobody.post("/add", json!({})).await.expect_problem(404, "not-found");
    call(&nobody, "/fn/add", json!({}), LATER).await.expect_problem(401, "unauthenticated");
    let taken = call(&nobody, "/fn/open", json!({}), LATER).await.expect(202);
    assert_eq!(ended(&nobody, taken.header("location")).await.body["output"], "all");

    // Whoever waits long enough is answered as if nothing else had been asked for.
    let both = [("prefer", "respond-async, wait=30")];
    let waited = call(&customer, "/fn/add", input.clone(), &both).await.expect(200);
    assert_eq!((waited.header("preference-applied"), &waited.body["result"]), (both[0].1, &json!(3)));

    // What cannot succeed is not taken; what fails says so, where in its code to developers alone.
    let misfit = call(&customer, "/fn/add", json!({ "a": "1" }), LATER).await;
    misfit.expect_problem(422, "invalid-fields");
    call(&customer, "/fn/nothing", json!({}), LATER).await.expect_problem(404, "function-not-found");
    let headers = [LATER[0], ("idempotency-key", "once")];
    call(&customer, "/fn/add", input.clone(), &headers).await.expect_problem(501, "not-implemented");
    let taken = call(&customer, "/fn/add", json!({ "a": 1 }), LATER).await.expect(202);
    let failed = ended(&customer, taken.header("location")).await.body;
    assert_eq!(
        (&failed["status"], &failed["problem"]["type"]),
        (&json!("failed"), &json!("/problems/function-failed"))
    );
    assert!(
        failed["problem"]["detail"].as_str().is_some_and(|said| said.contains("b is missing")),
        "{failed}"
    );
    assert!(failed["output"].is_null() && failed["problem"]["stack"].is_null(), "{failed}");
    let shown = developer.get(taken.header("location")).await.expect(200).body;
    assert!(shown["problem"]["stack"].is_string(), "{shown}");

    // One that computes for long holds nobody else up.
    deploy(&developer, "busy", "export default () => { for (;;); };", false).await;
    let taken = call(&customer, "/fn/busy", json!({}), LATER).await.expect(202);
    let pending = customer.get(taken.header("location")).await.expect(200);
    assert_eq!((pending.header("retry-after"), &pending.body["status"]), ("1", &json!("pending")));
    let again = call(&customer, "/fn/add", input, LATER).await.expect(202);
    assert_eq!(ended(&customer, again.header("location")).await.body["output"]["result"], 3, "others go on");
    system.stop_proved().await;
}

/// However deep an input is that the gateway reads, however much is wrong with an output, and where nothing is returned.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_taken_has_an_end() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let put = async |name: &str, source: &str| {
        let body = json!({
            "language": "javascript", "source": source, "output_schema": {}, "limits": { "time_ms": 30_000 },
        });
        let deployed = developer.put(&format!("/v1/functions/{name}"), body).await;
        assert!(deployed.status.is_success(), "{name}: {}", deployed.body);
    };
    put("nothing", "export default () => {};").await;
    // U+0000, which nothing may say: a hundred places are told.
    put("much", "export default () => Array(300).fill('\\0');").await;
    let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
    let taken = call(&developer, "/fn/nothing", deep, LATER).await.expect(202);
    let nothing = ended(&developer, taken.header("location")).await.body;
    assert_eq!(nothing["status"], "succeeded", "{nothing}");
    assert!(nothing["output"].is_null() && nothing.get("output").is_some(), "{nothing}");
    let taken = call(&developer, "/fn/much", json!({}), LATER).await.expect(202);
    let much = ended(&developer, taken.header("location")).await.body;
    assert_eq!(
        much["problem"]["errors"].as_array().map(Vec::len),
        Some(100),
        "{}",
        much["problem"]["detail"]
    );
    system.stop_proved().await;
}

/// Others come and go while more calls wait than may run: what was full when it went is taken up where it comes to.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_full_goes_on_wherever_it_comes_to() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    let source = "export default ({ a }) => { for (let i = 0; i < 3e6; i++); return a; };";
    deploy(&developer, "slow", source, false).await;
    let mut taken = Vec::new();
    for a in 0..60 {
        let answer = call(&developer, "/fn/slow", json!({ "a": a }), LATER).await.expect(202);
        taken.push((a, answer.header("location").to_owned()));
    }
    let other = system.another_registry().await;
    for (a, place) in &taken {
        if a % 20 == 0 {
            // It joins, is there while some more end, and goes: twice everything is shared anew.
            let (registry, cluster) = (other.clone(), system.world.cluster.clone());
            let (_, later) = &taken[a + 15];
            let stop = async { drop(ended(&developer, later).await) };
            factfold_registry::serve(registry, &cluster, stop).await.expect("it served");
        }
        let shown = ended(&developer, place).await.body;
        assert_eq!((&shown["status"], &shown["output"]), (&json!("succeeded"), &json!(a)), "{shown}");
    }
    system.stop_proved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_takes_a_call_and_tells_what_came_of_it() {
    let system = System::start().await;
    let developer = system.client(&[Role::Developer]);
    deploy(&developer, "add", ADD, false).await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, developer.token()).expect("written");
    let cli = Cli(&system.world);
    let (http, token) = (system.http.as_str(), token.display().to_string());
    let run = |arguments: &[&str]| {
        let gateway = ["--http", http, "--token-file", &token];
        cli.run(&[&["functions"], arguments, &gateway].concat())
    };
    for (input, code, said) in [(r#"{"a":1,"b":2}"#, 0, r#""result": 3"#), (r#"{"a":1}"#, 1, "b is missing")]
    {
        let taken = run(&["call", "add", input, "--async"]);
        assert_eq!(taken.code, 0, "{}", taken.err);
        let Ran { code: ended, out, err } = run(&["result", "add", taken.out.trim()]);
        assert_eq!(ended, code, "{err}");
        assert!(format!("{out}{err}").contains(said), "{out}{err}");
    }
    let nothing = json!({ "language": "javascript", "source": "export default () => {};" });
    developer.put("/v1/functions/nothing", nothing).await.expect(201);
    let taken = run(&["call", "nothing", "--async"]);
    assert_eq!(run(&["result", "nothing", taken.out.trim()]).out, "null\n");
    let unknown = run(&["result", "add", "019ac0de-0000-7000-8000-00000000ca11"]);
    assert!(unknown.code == 1 && unknown.err.contains("no such call"), "{}", unknown.err);
    system.stop_proved().await;
}

/// A system that is killed while it runs calls. What was taken is run, and has one end.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_taken_run_whatever_dies() {
    const CALLS: usize = 40;
    let mut installation = Installation::new().await;
    let http = installation.start().await.http.expect("a gateway");
    let user = UserId::generate();
    let token = installation.token(user, &[Role::Developer]);
    let mut client = Client::new(http, user, token.clone());
    let source = "export default ({ a }) => { for (let i = 0; i < 1e7; i++); return a; };";
    deploy(&client, "slow", source, false).await;
    let mut taken = Vec::new();
    for a in 0..CALLS {
        let answer = call(&client, "/fn/slow", json!({ "a": a }), LATER).await.expect(202);
        taken.push((a, answer.header("location").to_owned()));
    }
    let standing = async |client: &Client| {
        let mut ends = Vec::new();
        for (_, place) in &taken {
            let shown = client.get(place).await.expect(200).body;
            ends.extend((shown["status"] != "pending").then_some(shown));
        }
        ends
    };
    ended(&client, &taken[0].1).await;
    let before = standing(&client).await;
    assert!(before.len() < CALLS, "all had ended before anything was killed");
    installation.kill();
    client = Client::new(installation.start().await.http.expect("a gateway"), user, token);
    for (a, place) in &taken {
        let shown = ended(&client, place).await.body;
        assert_eq!((&shown["status"], &shown["output"]), (&json!("succeeded"), &json!(a)), "{shown}");
    }
    let after = standing(&client).await;
    assert!(before.iter().all(|end| after.contains(end)), "an end that was told stays as it is");
    installation.stop().await;
}
