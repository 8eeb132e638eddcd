//! The database cluster, made once: under another name, then renamed, so that a half-made one
//! never counts.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::USER;
use super::binaries::Binaries;
use super::home::Home;
use crate::data_dir::{LockedDir, write_private};

/// The password of last time, or a new one.
pub(super) fn password(dir: &LockedDir) -> anyhow::Result<String> {
    let file = dir.path().join("postgres.password");
    if let Ok(password) = fs::read_to_string(&file) {
        return Ok(password);
    }
    // 122 random bits, in letters that need no escaping in SQL and URLs.
    let password = uuid::Uuid::new_v4().simple().to_string();
    write_private(&file, &password)?;
    Ok(password)
}

/// Makes the cluster, its superuser and its database.
pub(super) async fn make_if_missing(binaries: &Binaries, home: &Home, password: &str) -> anyhow::Result<()> {
    let data = home.data();
    if data.exists() {
        return Ok(());
    }
    let new_data = home.path.join("data.new");
    if new_data.exists() {
        fs::remove_dir_all(&new_data).with_context(|| format!("cannot remove {}", new_data.display()))?;
    }
    let mut initdb = command(binaries, home, "initdb");
    initdb
        .args([
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=reject",
            "--auth-host=scram-sha-256",
            "--no-instructions",
            "--no-sync",
        ])
        .arg(format!("--username={USER}"))
        .arg("--pgdata")
        .arg(&new_data);
    run(initdb, "").await.context("initdb")?;
    set_up(binaries, home, &new_data, password).await.context("setting PostgreSQL up")?;
    fs::rename(&new_data, &data).with_context(|| format!("cannot make {}", data.display()))
}

/// Sets the password and makes the database in single-user mode: no server, no log-in, no file
/// that would hold the password.
async fn set_up(binaries: &Binaries, home: &Home, new_data: &Path, password: &str) -> anyhow::Result<()> {
    let mut single = command(binaries, home, "postgres");
    single.args(["--single", "-j", "-D"]).arg(new_data).arg("postgres");
    let sql = format!("ALTER ROLE {USER} PASSWORD '{password}';\n\nCREATE DATABASE {USER};\n\n");
    run(single, &sql).await
}

fn command(binaries: &Binaries, home: &Home, program: &str) -> Command {
    let mut command = Command::new(binaries.program(program));
    command
        .current_dir(&home.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(account) = &home.account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

async fn run(mut command: Command, input: &str) -> anyhow::Result<()> {
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("its input was asked for")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    // In single-user mode a failed statement is only said, not an exit code.
    if !output.status.success() || said.contains("ERROR:") {
        bail!("{}: {}", output.status, said.trim());
    }
    Ok(())
}
