//! After an erasure no byte of a name or an address is left: not in what lies in the data directory, not in what was logged,
//! not in any answer; and all that was made of it still adds up.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;
use serde_json::json;

use crate::{binary::binary, installation::Installation, system::Client, world::until};

const NAME: &str = "Ottoline Quarkenbush";
const EMAIL: &str = "ottoline.quarkenbush@example.org";

/// (Seen failing with a codec that seals nothing.)
#[tokio::test(flavor = "multi_thread")]
async fn of_who_is_forgotten_no_byte_is_left() {
    let mut installation = Installation::new().await;
    let addresses = installation.start().await;
    let http = addresses.http.clone().expect("it serves");
    let anybody = UserId::generate();
    let client = Client::new(&http, anybody, installation.token(anybody, &[Role::Auditor, Role::Admin]));
    let nobody = client.anonymous();
    let registered = nobody
        .post("/v1/users", json!({ "email": EMAIL, "name": NAME, "password": "seven odd purple teapots" }))
        .await
        .expect(201);
    let id = registered.text("id");
    let tokens = nobody
        .post("/v1/sessions", json!({ "email": EMAIL, "password": "seven odd purple teapots" }))
        .await
        .expect(201);
    let own = client.with_token(&tokens.text("access_token"));
    let other =
        json!({ "email": "ada@example.org", "name": "Ada Lovelace", "password": "seven odd purple teapots" });
    nobody.post("/v1/users", other).await.expect(201);
    own.patch("/v1/users/me", json!({ "name": format!("{NAME} the Second") })).await.expect(200);

    // Nor does the command line leave it anywhere.
    let third = json!({ "name": format!("{NAME} the Third") }).to_string();
    let sent = factfold(installation.data(), &["send", "UpdateProfile", "--stream", &id, "--data", &third]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    // Nobody reads it in the files, not even before; and whoever may sees it.
    assert_eq!(found(installation.data()), Vec::<PathBuf>::new());
    assert!(client.get("/v1/users").await.expect(200).body.to_string().contains(NAME));
    assert!(history(installation.data(), &id).contains(NAME));

    let erase = factfold(installation.data(), &["users", "erase", &id]);
    assert!(erase.status.success(), "{}", String::from_utf8_lossy(&erase.stderr));

    assert_eq!(found(installation.data()), Vec::<PathBuf>::new());
    let history = history(installation.data(), &id);
    assert!(!history.contains(NAME) && !history.contains(EMAIL), "{history}");
    assert!(history.contains("[erased]") && history.contains("PersonalDataErased"), "{history}");
    for path in ["/v1/users".to_owned(), format!("/v1/streams/user-{id}/events")] {
        let shown = client.get(&path).await.expect(200).body.to_string();
        assert!(!shown.contains(NAME) && !shown.contains(EMAIL), "{path}: {shown}");
    }
    let text = installation.process().text();
    assert!(!text.contains(NAME) && !text.contains(EMAIL), "{text}");
    let before = client.get("/v1/users").await.expect(200).body;
    installation.stop().await;

    // A lost PostgreSQL loses nothing, and finds nothing again: all of it is folded anew.
    std::fs::remove_dir_all(installation.data().join("postgres")).expect("it is lost");
    let addresses = installation.start().await;
    let client = Client::new(addresses.http.expect("it serves"), anybody, client.token().to_owned());
    let after = until("there are the same users as before", async || {
        let users = client.get("/v1/users").await.expect(200).body;
        if users == before { Ok(users.to_string()) } else { Err(users) }
    })
    .await;
    assert!(after.contains("Ada Lovelace") && !after.contains(NAME), "{after}");
    assert_eq!(found(installation.data()), Vec::<PathBuf>::new());
    installation.stop().await;
}

/// The files below this directory that have the name or the address in them, whatever is around it.
fn found(data: &Path) -> Vec<PathBuf> {
    // Kafka's indexes alone are hundreds of megabytes of nothing.
    let grep = Command::new("grep")
        .args(["--recursive", "--files-with-matches", "--text", "--ignore-case", "--fixed-strings"])
        .args(["-e", NAME, "-e", EMAIL])
        .arg(data)
        .env("LC_ALL", "C")
        .output()
        .expect("grep runs");
    // A file that is gone meanwhile is an error of no interest (2); to have found nothing is none (1).
    String::from_utf8_lossy(&grep.stdout).lines().map(PathBuf::from).collect()
}

fn history(data: &Path, id: &str) -> String {
    let history = factfold(data, &["history", "--json", &format!("user-{id}")]);
    assert!(history.status.success(), "{}", String::from_utf8_lossy(&history.stderr));
    String::from_utf8(history.stdout).expect("text")
}

/// A command on the system of this directory, and no other.
fn factfold(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("--data").arg(data).args(args).current_dir(data);
    command.env_remove("KAFKA_BROKERS").env_remove("DATABASE_URL").output().expect("factfold runs")
}
