//! After an erasure no byte of a name or an address is left: not in what lies in the data directory, not in what was logged,
//! not in any answer; and all that was made of it still adds up.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{binary::binary, installation::Installation, system::Client, turn};
use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;

const NAME: &str = "Ottoline Quarkenbush";
const EMAIL: &str = "ottoline.quarkenbush@example.org";

/// (Seen failing with a codec that seals nothing.)
#[tokio::test(flavor = "multi_thread")]
async fn of_who_is_forgotten_no_byte_is_left() {
    let _turn = turn::take().await;
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
    own.patch("/v1/users/me", json!({ "name": format!("{NAME} the Second") })).await.expect(200);

    // Nobody reads it in the files, not even before; and whoever may sees it.
    assert_eq!(found(installation.data()), Vec::<PathBuf>::new());
    assert!(client.get("/v1/users").await.expect(200).body.to_string().contains(NAME));
    assert!(history(installation.data(), &id).contains(NAME));

    let erase = Command::new(binary())
        .arg("--data")
        .arg(installation.data())
        .args(["users", "erase", &id])
        .current_dir(installation.data())
        .output()
        .expect("factfold runs");
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
    installation.stop().await;
}

/// The files below this directory that have the name or the address in them, however it is packed around.
fn found(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && fs::read(&path).is_ok_and(|bytes| has(&bytes, NAME) || has(&bytes, EMAIL))
            {
                found.push(path);
            }
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn history(data: &Path, id: &str) -> String {
    let history = Command::new(binary())
        .arg("--data")
        .arg(data)
        .args(["history", "--json", &format!("user-{id}")])
        .current_dir(data)
        .output()
        .expect("factfold runs");
    assert!(history.status.success(), "{}", String::from_utf8_lossy(&history.stderr));
    String::from_utf8(history.stdout).expect("text")
}
