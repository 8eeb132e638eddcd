//! A node's storage, made once. It is formatted under another name and renamed, so that half-made
//! storage never counts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Installation;
use super::config::{Cluster, Member};

/// Where a node's settings are.
pub(super) fn settings(directory: &Path) -> PathBuf {
    directory.join("server.properties")
}

/// Formats the storage below `directory` where there is none, and writes the settings.
pub(super) async fn format(
    installation: &Installation,
    cluster: &Cluster,
    member: Member,
    directory: &Path,
) -> anyhow::Result<()> {
    let data = directory.join("data");
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    if !data.exists() {
        let unfinished = tempfile::Builder::new().prefix("formatting-").tempdir_in(directory)?;
        let new_data = unfinished.path().join("data");
        let new_settings = settings(unfinished.path());
        fs::write(&new_settings, cluster.server_properties(member, &new_data))?;
        let output = installation
            .java_command(&unfinished.path().join("log"))
            // An id can begin with `-`: in one word with its name it is not taken for another option.
            .args(["kafka.tools.StorageTool", "format", &format!("--cluster-id={}", cluster.id), "--config"])
            .arg(&new_settings)
            .args(cluster.credentials().iter().flat_map(|credentials| ["--add-scram", credentials]))
            .output()
            .await
            .context("cannot run java")?;
        if !output.status.success() {
            bail!("cannot format Kafka's storage: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        fs::rename(&new_data, &data).with_context(|| format!("cannot make {}", data.display()))?;
    }
    let file = settings(directory);
    fs::write(&file, cluster.server_properties(member, &data))
        .with_context(|| format!("cannot write {}", file.display()))
}
