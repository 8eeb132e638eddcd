//! Another issuer: an OpenID Connect provider that strangers wrote, and a token that its log-in gave, against the real binary.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{binary::binary, certificates::Certificates, installation::Installation, python, system::Client};

/// How long the provider may take to log somebody in.
const LOG_IN_TIME: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_elsewhere_is_let_in() {
    let Some(tools) = python::tools() else { return };
    let mut installation = Installation::new().await;
    let certificates = Certificates::new();
    let authority = certificates.path("http-ca.pem").display().to_string();
    let mut provider = tools.command("python");
    provider
        .arg(python::ours("openid.py"))
        .args([certificates.path("http.crt"), certificates.path("http.key")]);
    provider.arg(&authority).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut provider = provider.spawn().expect("a provider");
    let mut lines = BufReader::new(provider.stdout.take().expect("its output")).lines();
    let line = tokio::time::timeout(LOG_IN_TIME, lines.next_line()).await.expect("in time").expect("text");
    let said: Value = serde_json::from_str(&line.expect("a line")).expect("what it is");
    let [issuer, token] = ["issuer", "token"].map(|field| said[field].as_str().expect("a text"));

    let settings = [
        ("FACTFOLD_OIDC_ISSUER", issuer),
        ("FACTFOLD_OIDC_AUDIENCE", "shop"),
        ("FACTFOLD_OIDC_ROLES_CLAIM", "groups"),
        ("SSL_CERT_FILE", &authority),
    ];
    let addresses = installation.start_with(&settings).await;
    let http = addresses.http.clone().expect("an address");
    let anna = Client::new(&http, UserId::generate(), token.to_owned());
    let goods = json!({ "name": "Tea", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    let made = anna.post("/v1/goods", goods.clone()).await.expect(201);
    let id = made.body["id"].as_str().expect("an id").to_owned();
    anna.get("/v1/users").await.expect_problem(403, "forbidden");
    anna.get("/v1/users/me").await.expect_problem(404, "user-not-found");
    // What she did is hers, under a name that only this installation can make of hers.
    let auditor = installation.token(UserId::generate(), &[Role::Auditor]);
    let auditor = Client::new(&http, UserId::generate(), auditor);
    let history = auditor.get(&format!("/v1/streams/goods-{id}/events")).await.expect(200);
    let source = history.body["items"][0]["causationsource"].as_str().map(str::to_owned);
    assert!(!history.body.to_string().contains("anna"), "{}", history.body);
    assert!(source.is_some_and(|source| source.starts_with("/clients/")), "{}", history.body);

    // The doctor looks the same way.
    let asked = |settings: &[(&str, &str)]| {
        let mut doctor = Command::new(binary());
        doctor.arg("--data").arg(installation.data()).arg("doctor").current_dir(installation.data());
        doctor.env_remove("KAFKA_BROKERS").env_remove("DATABASE_URL").envs(settings.iter().copied());
        let doctor = doctor.output().expect("it runs");
        (doctor.status.code(), String::from_utf8(doctor.stdout).expect("text"))
    };
    let (_, content) = asked(&settings);
    assert!(!content.contains("issuer"), "{content}");
    let (code, worried) = asked(&settings[..3]);
    assert!(worried.contains("no keys of the issuer") && worried.contains("SSL_CERT_FILE"), "{worried}");
    assert_eq!(code, Some(3), "{worried}");
    installation.stop().await;
    provider.kill().await.expect("it ends");
}
