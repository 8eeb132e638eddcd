//! The command line, as a person or a script meets it: the built binary, run against a world of its own.

use std::process::{Command, Output, Stdio};

use factfold_projections::migrate;
use factfold_schemas::{
    cloudevents::Outgoing,
    goods,
    ids::{GoodsId, OrderId},
    topics::Service,
};
use serde_json::{Value, json};

use crate::binary::binary;
use crate::world::{Job, World, home, settings, wait_until};

/// The binary, and the system that it finds.
pub(crate) struct Cli<'a>(pub(crate) &'a World);

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cli<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("FACTFOLD_NAMESPACE", String::from(self.0.cluster.namespace.clone()));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: status.code().expect("it ended by itself"), out: text(stdout), err: text(stderr) }
    }

    /// Its data, when it did what it was asked to do.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let Ran { code, out, err } = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).expect("JSON")
    }

    /// The events of a range, a line each.
    fn replay(&self, arguments: &[&str]) -> (Vec<String>, String) {
        let Ran { code, out, err } = self.run(&[&["replay", "--service", "goods"], arguments].concat());
        assert_eq!(code, 0, "{err}");
        let next = err.lines().find_map(|line| line.strip_prefix("next: --from ")).expect("where to go on");
        (out.lines().map(str::to_owned).collect(), next.to_owned())
    }
}

fn tea() -> String {
    json!({"name": "Tea", "price": {"amount": 250, "currency": "EUR"}, "stock": 10}).to_string()
}

/// A raw record, as any client could write it.
pub(crate) fn raw(key: Option<&str>, type_name: &str, value: &str) -> Outgoing {
    Outgoing {
        key: key.map(Into::into),
        value: Some(value.into()),
        headers: [("ce_type", type_name)].into_iter().collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_sent_confirmed_paid_and_its_history_told() {
    let world = World::new().await;
    let _workers = world.start_all();
    let cli = Cli(&world);
    let added = cli.json(&["send", "AddGoods", "--wait", "30s", "--json", "--data", &tea()]);
    assert_eq!(added["status"], "accepted");
    let goods = added["resource"]["id"].as_str().expect("an id");
    let order = json!({"user_id": goods, "lines": [{"goods_id": goods, "quantity": 2}]}).to_string();
    let create = ["send", "CreateOrder", "--id", "one", "--wait", "30s", "--data", &order];
    let created = cli.ok(&[&create[..], &["--until", "confirmed"]].concat());
    assert!(created.contains("confirmed  order-"), "{created}");
    let stream = created.split_whitespace().nth(1).expect("a stream");

    let again = cli.json(&[&create[..], &["--json"]].concat());
    assert_eq!(
        (again["stream"].as_str(), &again["repeated"]),
        (Some(stream), &json!(true)),
        "the same order"
    );

    let pay =
        |amount: i64| json!({"amount": {"amount": amount, "currency": "EUR"}, "method": "card"}).to_string();
    let refused = cli.run(&["send", "PayOrder", "--stream", stream, "--data", &pay(499)]);
    assert!(refused.code == 1 && refused.err.contains("wrong-amount"), "{}", refused.err);
    cli.ok(&["send", "PayOrder", "--stream", stream, "--data", &pay(500)]);
    let refund = ["send", "RefundOrder", "--stream", stream, "--data", r#"{"reason":"broken"}"#];
    let later = cli.ok(&[&refund[..], &["--not-before", "1h"]].concat());
    assert!(later.starts_with("scheduled  order-"), "{later}");

    let history = cli.ok(&["history", stream, "--outcomes", "--json"]);
    let types: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let types: Vec<_> = types.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    let expected =
        ["OrderCreated", "LineReserved", "OrderConfirmed", "Repeated", "Rejected", "OrderPaid", "Scheduled"];
    assert_eq!(types, expected);
    let changes = cli.ok(&["history", stream, "--outcomes", "--json", "--changes"]);
    let changes: Vec<Value> = changes.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(changes[0]["changes"][0]["path"], "", "{}", changes[0]);
    assert_eq!((&changes[4]["event"]["type"], &changes[4]["changes"]), (&json!("Rejected"), &json!([])));
    let paid = json!([
        { "path": "/status", "before": "confirmed", "after": "paid" },
        { "path": "/paid", "before": null, "after": { "amount": 500, "currency": "EUR" } },
        { "path": "/refunded", "before": null, "after": { "amount": 0, "currency": "EUR" } },
    ]);
    assert_eq!((&changes[5]["event"]["type"], &changes[5]["changes"]), (&json!("OrderPaid"), &paid));
    assert_eq!(cli.run(&["history", stream, "--changes"]).code, 2, "people are told anyhow");
    let told = cli.ok(&["history", stream]);
    let paid: Vec<_> = told.lines().skip_while(|line| !line.contains("OrderPaid")).take(3).collect();
    let changed = r#"so status "confirmed" → "paid", paid null → {"amount":500,"currency":"EUR"}"#;
    assert!(paid.len() == 3 && paid[2].contains(changed), "{told}");
    let goods_history = cli.ok(&["history", &format!("goods-{goods}")]);
    assert!(goods_history.contains("so stock 10 → 8"), "{goods_history}");
    assert_eq!(cli.run(&["history", OrderId::generate().stream().as_str()]).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_same_every_time_whole_or_in_parts() {
    let world = World::new().await;
    let _worker = world.start(Job::Goods, settings("one"));
    let cli = Cli(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("goods.ndjson");
    let line = format!("{{\"type\":\"AddGoods\",\"data\":{}}}\n", tea());
    std::fs::write(&file, line.repeat(500)).expect("a file");
    let file = file.display().to_string();
    let sent = cli.ok(&["send", "--wait", "30s", "--file", &file, "--id-prefix", "a"]);
    assert_eq!(sent.trim(), "500 commands: 500 accepted");
    let again = cli.ok(&["send", "--wait", "30s", "--file", &file, "--id-prefix", "a"]);
    assert_eq!(again.trim(), "500 commands: 500 accepted", "a second run is safe");

    let (whole, end) = cli.replay(&[]);
    assert_eq!(whole.len(), 500);
    assert_eq!(cli.replay(&[]).0, whole);
    let times: Vec<_> = whole.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect();
    assert!(times.is_sorted_by_key(|event| event["recordedtime"].as_str().map(str::to_owned)));

    let middle = times[250]["position"].as_str().expect("a position");
    let (first, next) = cli.replay(&["--to", middle]);
    let (second, _) = cli.replay(&["--from", middle]);
    let (after, _) = cli.replay(&["--from", &next, "--to", &end]);
    assert_eq!((first.len() + second.len(), &after), (500, &second));
    assert_eq!(cli.replay(&["--from", &end]).0.len(), 0);

    let resume = folder.path().join("place");
    let resume = resume.display().to_string();
    std::fs::write(&resume, &next).expect("a file");
    assert_eq!(cli.replay(&["--resume", &resume]).0, second);
    assert_eq!(cli.replay(&["--resume", &resume]).0.len(), 0);

    let stream = times[7]["subject"].as_str().expect("a stream");
    assert_eq!(cli.replay(&["--stream", stream]).0, [whole[7].clone()]);
    assert_eq!(cli.replay(&["--type", "GoodsRenamed"]).0.len(), 0);
    for wrong in [["--type", "Nothing"], ["--format", "csv"], ["--from", "goods.events/9@0"]] {
        assert_eq!(cli.run(&[&["replay", "--service", "goods"][..], &wrong].concat()).code, 2, "{wrong:?}");
    }
    // Whoever reads closes the pipe early: no message, no failure.
    let mut child = cli.command(&["replay", "--service", "goods"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_published_once_or_dropped_once() {
    let world = World::new().await;
    let _worker = world.start(Job::Goods, settings("one"));
    let cli = Cli(&world);
    let stream = GoodsId::generate().stream();
    let key = stream.as_str();
    for record in [raw(Some(key), "AddGods", &tea()), raw(None, "AddGoods", "{"), raw(Some(key), "", "{}")] {
        world.write(Service::Goods.commands(), home(&stream), &record).await;
    }
    world.wait_for_traces(Service::Goods, 3);
    let list = || -> Vec<Value> {
        let lines = cli.ok(&["dead-letters", "list", "--json"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let letters = list();
    let reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["unknown-type", "no-key", "no-type"]);
    let at = |index: usize| letters[index]["position"].as_str().expect("a position");
    assert!(cli.ok(&["dead-letters", "show", at(0)]).contains("AddGods"));

    let publish = ["dead-letters", "publish", at(0)];
    let refused = cli.run(&publish);
    assert!(refused.code == 1 && refused.err.contains("AddGods"), "{}", refused.err);
    // Many at once: one of them publishes, all others are refused.
    let mended = [&publish[..], &["--type", "AddGoods"]].concat();
    let start =
        |_| cli.command(&mended).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it runs");
    let children: Vec<_> = (0..4).map(start).collect();
    let codes = children.into_iter().map(|mut child| child.wait().expect("it ends").code());
    assert!(codes.filter(|code| *code == Some(0)).count() <= 1);
    let last = cli.run(&mended);
    assert!(last.code == 0 || last.err.contains("was published"), "{}", last.err);
    assert_eq!(cli.run(&mended).code, 1);
    wait_until("the goods are added", || world.events::<goods::Event>(Service::Goods).len() == 1);
    assert_eq!(world.events::<goods::Event>(Service::Goods)[0].stream, stream);

    cli.ok(&["dead-letters", "drop", at(1), at(2), "--reason", "a test"]);
    assert_eq!(cli.run(&["dead-letters", "drop", at(1), "--reason", "again"]).code, 1);
    assert_eq!(list().len(), 0);
    assert_eq!(cli.ok(&["dead-letters", "list", "--all"]).lines().count(), 3);
    let commands = world.read(Service::Goods.commands());
    assert_eq!(commands.len(), 4, "one was published, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_is_written() {
    let world = World::new().await;
    let cli = Cli(&world);
    let wrong =
        cli.run(&["send", "PayOrder", "--data", r#"{"amount":{"amount":-1,"currency":"EUR"},"colour":1}"#]);
    assert_eq!(wrong.code, 2);
    for named in ["/data/amount/amount", "/data/colour", "/data/method", "/stream"] {
        assert!(wrong.err.contains(named), "{named}: {}", wrong.err);
    }
    assert_eq!(cli.run(&["send", "ExpireOrder", "--data", "{}"]).code, 2, "only the system sends it");
    assert_eq!(cli.run(&["send", "AddGoods", "--data", &tea(), "--not-before", "tomorrow"]).code, 2);
    // Nobody decides here: it is stored, and that is what is said.
    let pending = cli.run(&["send", "AddGoods", "--wait", "5s", "--data", &tea()]);
    assert!(pending.code == 3 && pending.err.contains("pending"), "{}", pending.err);
    assert_eq!(world.read(Service::Goods.commands()).len(), 1);
    assert!(cli.ok(&["topics", "create"]).contains("there already"));
    cli.ok(&["topics", "check"]);
    let nowhere =
        cli.command(&["watch", "goods"]).env("KAFKA_BROKERS", "127.0.0.1:1").output().expect("it runs");
    assert_eq!(nowhere.status.code(), Some(3));
}

/// What operators do with builds, and analysts with what is shown. No projector runs, so nothing moves meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn builds_are_listed_paused_and_given_up_and_analysts_only_look() {
    let world = World::new().await;
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    migrate(&world.cluster, &url).await.expect("tables");
    let cli = Cli(&world);
    let state = |build: i64| {
        let list = cli.json(&["projections", "list", "--json"]);
        let of = |item: &&Value| item["name"] == "goods" && item["build"] == build;
        list.as_array().expect("a list").iter().find(of).map(|item| item["state"].clone())
    };
    assert_eq!(cli.ok(&["projections", "rebuild", "goods", "--hidden"]).trim(), "goods 2 is being built");
    assert_eq!((state(1), state(2)), (Some(json!("shown")), Some(json!("catching up"))));
    cli.ok(&["projections", "pause", "goods", "2"]);
    assert_eq!(state(2), Some(json!("paused")));
    cli.ok(&["projections", "resume", "goods", "2"]);
    for (arguments, said) in [
        (["projections", "cancel", "goods", "1"].as_slice(), "is what people see"),
        (&["projections", "drop", "goods", "1"], "is what people see"),
        (&["projections", "pause", "goods", "1"], "is what people see"),
        (&["projections", "switch", "goods", "2"], "has not come as far"),
        (&["projections", "switch", "goods", "9"], "there is no build goods 9"),
        (&["projections", "back", "goods"], "there is no way back"),
    ] {
        let refused = cli.run(arguments);
        assert!(refused.code == 1 && refused.err.contains(said), "{arguments:?}: {}", refused.err);
    }
    cli.ok(&["projections", "cancel", "goods", "2"]);
    assert_eq!(state(2), None);
    assert_eq!(cli.ok(&["projections", "rebuild", "goods"]).trim(), "goods 3 is being built");
    assert_eq!(
        cli.ok(&["projections", "rebuild", "goods"]).trim(),
        "goods 3 is being built",
        "it is under way"
    );

    assert_eq!(
        cli.ok(&["psql", "--", "-Atc", "SELECT current_user, count(*) FROM goods"]).trim(),
        "factfold_reader|0"
    );
    for refused in ["DELETE FROM goods", "SELECT * FROM _credentials", "CREATE TABLE mine ()"] {
        let ran = cli.run(&["psql", "--", "-Atc", refused]);
        assert!(ran.code != 0 && ran.err.contains("ERROR"), "{refused}: {}", ran.err);
    }
}
