//! PostgreSQL: its version, and whether what it acknowledged is on disk. It asks for the server's settings and knows no table.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::Finding;

const PATIENCE: Duration = Duration::from_secs(5);
const VERSION_MIN: u32 = 150_000;

/// What is wrong with the server.
pub(super) async fn examine(url: &str) -> Vec<Finding> {
    let fix = "start it, or set DATABASE_URL";
    match timeout(PATIENCE, look(url)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![Finding::out_of_reach("postgres", &error, fix)],
        Err(_) => {
            let error = anyhow!("PostgreSQL does not answer within {} s", PATIENCE.as_secs());
            vec![Finding::out_of_reach("postgres", &error, fix)]
        }
    }
}

async fn look(url: &str) -> Result<Vec<Finding>> {
    let mut connection = PgConnection::connect(url).await.context("PostgreSQL cannot be reached")?;
    let mut findings = Vec::new();
    if let Some(version) = connection.server_version_num().filter(|version| *version < VERSION_MIN) {
        let what = format!("PostgreSQL is version {}", version / 10_000);
        findings.push(Finding::new("postgres", what, "use 15 or newer"));
    }
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
    if fsync == "off" {
        let what = "fsync is off: a crash of the machine can ruin the whole cluster";
        findings.push(Finding::new("postgres", what, "set fsync=on"));
    }
    let synchronous: String =
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut connection).await?;
    if synchronous == "off" {
        let what = "synchronous_commit is off: a crash can undo what a read has shown already";
        findings.push(Finding::new("postgres", what, "set synchronous_commit=on"));
    }
    // Whatever it says at the end, the answers are there.
    let _ = connection.close().await;
    Ok(findings)
}
