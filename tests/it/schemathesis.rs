//! A stranger's tester: schemathesis reads the OpenAPI document, and tries whatever it allows and what it forbids.

use std::time::Duration;

use factfold_producers::access::Role;

use crate::{
    python::{expect_content, ours, tools},
    system::System,
};

/// It takes two minutes where nothing else runs; how long it takes is no reason to fail.
const PATIENCE: Duration = Duration::from_secs(900);

/// No 5xx, no status, header or body that the document does not know, nothing accepted that it forbids. Its seed is fixed; what is
/// not checked stands with its reason in `tests/python/schemathesis.toml`. (It has found: an empty `If-Match` that passed for
/// none.)
#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_its_document_says() {
    let Some(tools) = tools() else { return };
    let system = System::start().await;
    let mut run = tools.command("st");
    run.arg("--config-file")
        .arg(ours("schemathesis.toml"))
        .args(["run", "--no-color", "--report-dir", "reports"])
        .arg(format!("{}/openapi.json", system.http))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("TOKEN", system.client(&[Role::Admin]).token());
    expect_content(run, PATIENCE).await;
    system.stop().await;
}
