//! Finds PostgreSQL's programs. A candidate counts only when it runs: a binary whose libraries
//! are missing is no binary. The data directory belongs to the major version that made it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::bail;
use tokio::process::Command;

const VERSION_MIN: u32 = 15;
const INSTALL: &str = "install it (Debian: apt-get install postgresql), or name its programs with PG_BINDIR";

/// A directory with `postgres` and `initdb` that run.
#[derive(Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The newest that is found, or the one that fits the data when there is some.
    pub(super) async fn find(data_version: Option<&str>) -> anyhow::Result<Self> {
        let mut found: Vec<(u32, PathBuf)> = Vec::new();
        for directory in candidates() {
            if let Some(major) = version(&directory).await {
                found.push((major, directory));
            }
        }
        let versions: BTreeSet<_> = found.iter().map(|(major, _)| major.to_string()).collect();
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        let chosen = match data_version {
            Some(wanted) => found.into_iter().find(|(major, _)| major.to_string() == wanted),
            // Of two of the same age the likelier one, which comes first.
            None => found
                .into_iter()
                .filter(|(major, _)| *major >= VERSION_MIN)
                .min_by_key(|(major, _)| Reverse(*major)),
        };
        match (chosen, data_version) {
            (Some((_, directory)), _) => Ok(Self { directory }),
            (None, _) if versions.is_empty() => {
                bail!("PostgreSQL {VERSION_MIN} or newer is needed, and none is found: {INSTALL}")
            }
            (None, None) => bail!("PostgreSQL {VERSION_MIN} or newer is needed, found {versions}: {INSTALL}"),
            (None, Some(wanted)) => bail!(
                "the data was made by PostgreSQL {wanted}, found {versions}: install version {wanted}, or throw the data away with --fresh"
            ),
        }
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Where PostgreSQL may be, likeliest first.
fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("PG_BINDIR") {
        return vec![named.into()];
    }
    let mut all = Vec::new();
    for entry in list("/usr/lib/postgresql") {
        all.push(entry.join("bin"));
    }
    for entry in list("/usr") {
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgsql-")) {
            all.push(entry.join("bin"));
        }
    }
    if let Some(path) = env::var_os("PATH") {
        all.extend(env::split_paths(&path));
    }
    all.retain(|directory| directory.join("postgres").is_file() && directory.join("initdb").is_file());
    all
}

fn list(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The major version of the `postgres` in `directory`, when it runs.
async fn version(directory: &Path) -> Option<u32> {
    let mut command = Command::new(directory.join("postgres"));
    let output = command.arg("--version").stdin(Stdio::null()).output().await.ok()?;
    major_version(&String::from_utf8_lossy(&output.stdout))
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_postgres() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major_version("bash: postgres: command not found"), None);
    }
}
