//! A stranger's client: made by openapi-python-client of our document alone, in another language.

use std::{fs, time::Duration};

use factfold_producers::{access::Role, documents::openapi};

use crate::{
    python::{expect_content, ours, tools},
    system::System,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Registers and logs in, adds goods, orders, pays and pays back: `tests/python/shop.py`. The generator must understand the whole document.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_goes_shopping() {
    let Some(tools) = tools() else { return };
    fs::write(tools.folder().join("openapi.json"), openapi().to_string()).expect("written");
    let mut generate = tools.command("openapi-python-client");
    generate.args(["generate", "--fail-on-warning", "--meta", "none"]);
    generate.args(["--path", "openapi.json", "--output-path", "factfold_client"]);
    generate.arg("--config").arg(ours("openapi-python-client.yml"));
    expect_content(generate, PATIENCE).await;

    let system = System::start().await;
    let mut shop = tools.command("python3");
    shop.arg(ours("shop.py"))
        .env("FACTFOLD_HTTP", &system.http)
        .env("ADMIN_TOKEN", system.client(&[Role::Admin]).token());
    expect_content(shop, PATIENCE).await;
    system.stop().await;
}
