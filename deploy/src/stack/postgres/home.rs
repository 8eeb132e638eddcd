//! Where PostgreSQL keeps its data: in the data directory, or below `/var/lib/factfold` when its
//! user cannot get there (root's own home is closed to it). A link in the data directory leads
//! to that place, so it is found again and thrown away with the rest.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::console::Console;
use crate::data_dir::{FAR_HOME, LockedDir};
use crate::stack::child::Account;

/// The directory that belongs to PostgreSQL's user.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) path: PathBuf,
    pub(super) account: Option<Account>,
}

impl Home {
    /// The one of last time, or a new one where `account` can reach it.
    pub(super) fn find_or_make(
        dir: &LockedDir,
        account: Option<Account>,
        console: Console,
    ) -> anyhow::Result<Self> {
        let near = dir.path().join("postgres");
        if near.is_symlink() && !near.exists() {
            // What it led to is gone: there is nothing to lose behind it.
            fs::remove_file(&near).with_context(|| format!("cannot remove {}", near.display()))?;
        }
        if !near.exists() {
            match &account {
                Some(account) if !can_reach(account, dir.path())? => {
                    let far = Path::new(FAR_HOME).join(uuid::Uuid::new_v4().simple().to_string());
                    make(&far, Some(account))?;
                    symlink(&far, &near).with_context(|| format!("cannot make {}", near.display()))?;
                    console.say(&format!(
                        "  postgres: its user ({}) cannot reach {}, so its data goes to {}",
                        account.name,
                        dir.path().display(),
                        far.display()
                    ));
                }
                _ => make(&near, account.as_ref())?,
            }
        }
        let path = near.canonicalize().with_context(|| format!("{}", near.display()))?;
        Ok(Self { path, account })
    }

    /// PostgreSQL's own data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The major version that made the data; none while there is none.
    pub(super) fn version(&self) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.data().join("PG_VERSION")) {
            Ok(version) => Ok(Some(version.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot read PG_VERSION"),
        }
    }
}

fn make(path: &Path, account: Option<&Account>) -> anyhow::Result<()> {
    let failed = || format!("cannot make {}", path.display());
    fs::create_dir_all(path).with_context(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(failed)?;
    if let Some(account) = account {
        chown(path, Some(account.uid), Some(account.gid)).with_context(failed)?;
    }
    Ok(())
}

/// Whether `account` may pass every directory on the way.
fn can_reach(account: &Account, path: &Path) -> anyhow::Result<bool> {
    for directory in path.ancestors() {
        let found = fs::metadata(directory).with_context(|| format!("{}", directory.display()))?;
        if !may_pass(account, found.mode(), found.uid(), found.gid()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The execute bit that counts for `account`: the owner's, the group's, or everybody's.
fn may_pass(account: &Account, mode: u32, owner: u32, group: u32) -> bool {
    let shift = if owner == account.uid {
        6
    } else if group == account.gid {
        3
    } else {
        0
    };
    mode & (0o1 << shift) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_that_counts_is_the_nearest() {
        let account = Account { name: "postgres".to_owned(), uid: 100, gid: 200 };
        assert!(!may_pass(&account, 0o700, 0, 0), "root's home");
        assert!(may_pass(&account, 0o701, 0, 0));
        assert!(may_pass(&account, 0o710, 0, 200));
        assert!(!may_pass(&account, 0o701, 0, 200), "the group's bit counts, not everybody's");
        assert!(may_pass(&account, 0o700, 100, 0));
    }
}
