//! grpcurl, as people use it: it knows nothing but what reflection tells. Where Go is installed, that is: elsewhere these
//! tests say that they were skipped.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use factfold_producers::access::Role;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{
    system::System,
    world::{PARTITIONS, PATIENCE},
};

const PACKAGE: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";

/// Where grpcurl is; it is built once and kept beside this build. `None` without Go.
async fn grpcurl() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let program = folder.join("grpcurl");
    if !program.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        let mut install = Command::new("go");
        install.args(["install", PACKAGE]).env("GOBIN", &folder);
        let installed = install.output().await.ok()?;
        assert!(installed.status.success(), "go install: {}", String::from_utf8_lossy(&installed.stderr));
    }
    Some(program)
}

/// A system, and grpcurl to ask it with.
struct Asked {
    program: PathBuf,
    address: String,
    token: String,
    called: BTreeSet<String>,
}

impl Asked {
    /// What it prints.
    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let bearer = format!("authorization: Bearer {}", self.token);
        let mut command = Command::new(&self.program);
        let output = command.args(["-plaintext", "-H", &bearer]).args(arguments).output().await;
        let output = output.expect("grpcurl runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Calls what goes on for ever, until this is among what it prints.
    async fn follow(&mut self, rpc: &str, message: Value, wanted: &str) {
        self.called.insert(rpc.to_owned());
        let bearer = format!("authorization: Bearer {}", self.token);
        let mut command = Command::new(&self.program);
        command.args(["-plaintext", "-H", &bearer, "-d", &message.to_string(), &self.address, rpc]);
        let mut running = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("grpcurl runs");
        let mut lines = BufReader::new(running.stdout.take().expect("a pipe")).lines();
        let read = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if line.contains(wanted) {
                    return;
                }
            }
            panic!("{rpc} ended without {wanted}");
        };
        tokio::time::timeout(PATIENCE, read).await.expect("it comes");
    }

    async fn list(&self, service: Option<&str>) -> Vec<String> {
        let arguments: Vec<&str> = [self.address.as_str(), "list"].into_iter().chain(service).collect();
        let listed = self.run(&arguments).await.expect("listed");
        listed.lines().map(str::to_owned).collect()
    }

    /// Calls it, and gives the answer.
    async fn call(&mut self, rpc: &str, message: Value) -> Result<Value, String> {
        self.called.insert(rpc.to_owned());
        let message = message.to_string();
        let answer = self.run(&["-d", &message, &self.address, rpc]).await?;
        Ok(serde_json::from_str(&answer).expect("JSON"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_and_calls_everything_through_reflection() {
    let Some(program) = grpcurl().await else {
        // Not by a macro: those are silent in a test that passes.
        writeln!(io::stderr(), "SKIPPED: grpcurl is built with Go, which is not installed here").ok();
        return;
    };
    let system = System::start().await;
    let everybody = system.client(&[Role::Admin, Role::Customer]);
    let mut asked = Asked {
        program,
        address: system.http.trim_start_matches("http://").to_owned(),
        token: everybody.token.clone().expect("a token"),
        called: BTreeSet::new(),
    };
    let services = asked.list(None).await;
    assert!(services.contains(&"grpc.reflection.v1.ServerReflection".to_owned()), "{services:?}");

    // From the beginning of all partitions.
    let beginning = ["0"; PARTITIONS as usize].join(".");
    let goods = "factfold.goods.v1.GoodsService";
    let price = json!({ "amount": 499, "currency": "EUR" });
    let add = json!({ "name": "Tea", "price": price, "stock": 10 });
    let tea = asked.call(&format!("{goods}/AddGoods"), add).await.expect("added")["goods"]["id"].clone();
    for (rpc, message) in [
        ("UpdateGoods", json!({ "id": tea, "name": "Green tea" })),
        ("AdjustStock", json!({ "id": tea, "delta": 1, "reason": "delivery" })),
        ("GetGoods", json!({ "id": tea })),
        ("ListGoods", json!({ "page_size": 1 })),
    ] {
        let answer = asked.call(&format!("{goods}/{rpc}"), message).await.expect(rpc);
        assert!(answer.to_string().contains("Green tea"), "{rpc}: {answer}");
    }

    let orders = "factfold.orders.v1.OrderService";
    let create = json!({ "lines": [{ "goods_id": tea, "quantity": 2 }] });
    let created = asked.call(&format!("{orders}/CreateOrder"), create).await.expect("created");
    let id = &created["order"]["id"];
    let mut answers = Vec::new();
    for (rpc, message) in [
        ("GetOrder", json!({ "id": id, "until": "ORDER_STATUS_CONFIRMED" })),
        ("PayOrder", json!({ "id": id, "amount": { "amount": 998, "currency": "EUR" }, "method": "card" })),
        ("RefundOrder", json!({ "id": id, "reason": "a broken cup" })),
    ] {
        let answer = asked.call(&format!("{orders}/{rpc}"), message).await.expect(rpc);
        answers.push(answer["order"]["status"].clone());
    }
    assert_eq!(answers, ["ORDER_STATUS_CONFIRMED", "ORDER_STATUS_PAID", "ORDER_STATUS_REFUNDED"]);
    let events = "factfold.events.v1.EventService";
    let stream = json!({ "stream": format!("order-{}", id.as_str().expect("an id")) });
    asked.follow(&format!("{events}/ReadStream"), stream, "OrderRefunded").await;
    let service = json!({ "service": "orders", "after": beginning });
    asked.follow(&format!("{events}/ReadService"), service, "OrderRefunded").await;
    let listed = asked.call(&format!("{orders}/ListOrders"), json!({})).await.expect("listed");
    assert_eq!(listed["orders"][0]["id"], *id);
    // Refusals, with their details in words.
    let cancel = json!({ "id": id, "reason": "late" });
    let refused = asked.call(&format!("{orders}/CancelOrder"), cancel).await.expect_err("refused");
    assert!(refused.contains("FailedPrecondition") && refused.contains("order-closed"), "{refused}");
    asked.call(&format!("{goods}/DiscontinueGoods"), json!({ "id": tea })).await.expect("discontinued");
    come_in_and_leave(&mut asked).await;
    let health = asked.call("grpc.health.v1.Health/Check", json!({})).await.expect("checked");
    assert_eq!(health["status"], "SERVING");

    // Nothing of ours is left that was not called.
    for service in services.iter().filter(|service| service.starts_with("factfold.")) {
        for rpc in asked.list(Some(service)).await {
            let (service, name) = rpc.rsplit_once('.').expect("a service and an RPC");
            assert!(asked.called.contains(&format!("{service}/{name}")), "{rpc} was not called");
        }
    }
    system.stop().await;
}

/// All that there is about users.
async fn come_in_and_leave(asked: &mut Asked) {
    let users = |rpc: &str| format!("factfold.users.v1.UserService/{rpc}");
    let (old, new) = ("seven odd purple teapots", "nine even green kettles");
    let login = |password: &str| json!({ "email": "ada@example.org", "password": password });
    let register = json!({ "email": "ada@example.org", "name": "Ada Lovelace", "password": old });
    let ada = asked.call(&users("Register"), register).await.expect("registered")["user"]["id"].clone();
    for rpc in ["GrantRole", "RevokeRole"] {
        asked.call(&users(rpc), json!({ "id": ada, "role": "ROLE_AUDITOR" })).await.expect(rpc);
    }
    let listed = asked.call(&users("ListUsers"), json!({})).await.expect("listed");
    assert!(listed.to_string().contains("ada@example.org"), "{listed}");

    let admin = asked.token.clone();
    let tokens = asked.call(&users("Login"), login(old)).await.expect("let in")["tokens"].clone();
    let refresh = json!({ "refresh_token": tokens["refreshToken"] });
    let tokens = asked.call(&users("Refresh"), refresh).await.expect("gone on")["tokens"].clone();
    asked.token = tokens["accessToken"].as_str().expect("a token").to_owned();
    let me = asked.call(&users("GetMe"), json!({})).await.expect("shown");
    assert_eq!(me["user"]["id"], ada);
    asked.call(&users("UpdateProfile"), json!({ "name": "Ada King" })).await.expect("updated");
    let change = json!({ "current_password": old, "new_password": new });
    asked.call(&users("ChangePassword"), change).await.expect("changed");
    for rpc in ["Logout", "ErasePersonalData"] {
        asked.token.clone_from(&admin);
        let tokens = asked.call(&users("Login"), login(new)).await.expect("let in")["tokens"].clone();
        asked.token = tokens["accessToken"].as_str().expect("a token").to_owned();
        asked.call(&users(rpc), json!({})).await.expect(rpc);
    }
    asked.token = admin;
    let register = json!({ "email": "bob@example.org", "name": "Bob", "password": old });
    let bob = asked.call(&users("Register"), register).await.expect("registered")["user"]["id"].clone();
    let deactivate = json!({ "id": bob, "reason": "by request" });
    asked.call(&users("Deactivate"), deactivate).await.expect("deactivated");
}
