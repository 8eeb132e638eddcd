//! A stack in a directory for temporary files, thrown away after use; also by the next one, when its owner was killed.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::Uid;
use tempfile::TempDir;

use super::{Stack, StackOptions};
use crate::console::Console;
use crate::data_dir::{DataDir, LockedDir};
use crate::failure::Failure;

const PREFIX: &str = "factfold-stack-";

/// A running stack whose data nobody will miss.
#[derive(Debug)]
pub struct Throwaway {
    stack: Stack,
    dir: LockedDir,
    // Dropped last: its files go when nothing uses them any more.
    _temp: TempDir,
}

impl Throwaway {
    /// Starts a stack in a new directory.
    pub async fn start(options: &StackOptions) -> Result<Self, Failure> {
        sweep(&std::env::temp_dir()).await;
        // PostgreSQL's user must be able to pass, so the directory is not 0700 as temporary ones are.
        let temp = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .context("no temporary directory")
            .map_err(Failure::OutOfReach)?;
        let dir = DataDir::locate(Some(temp.path()))?.lock()?;
        let stack = Stack::start(&dir, options).await?;
        Ok(Self { stack, dir, _temp: temp })
    }

    /// Its directory, for whatever else is to be thrown away with it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Stops it, and throws everything away.
    pub async fn stop(self) {
        self.stack.stop().await;
    }
}

impl Deref for Throwaway {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// Clears away the stacks of earlier runs that were killed. A stack whose owner lives is locked,
/// and left alone.
async fn sweep(temp: &Path) {
    for entry in fs::read_dir(temp).into_iter().flatten().flatten() {
        if !is_a_stack_of_ours(&entry) {
            continue;
        }
        let Ok(dir) = DataDir::locate(Some(&entry.path())).and_then(DataDir::lock_if_free) else { continue };
        let swept = match Stack::end_orphans(&dir, Console::Quiet).await {
            Ok(()) => dir.wipe().and_then(|()| Ok(fs::remove_dir_all(dir.path())?)),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            Console::Quiet.warn(&format!("cannot clear {} away: {error:#}", entry.path().display()));
        }
    }
}

/// Anybody can write to the directory for temporary files. What somebody else put there could
/// name any process to be ended, so only what we made ourselves is believed.
fn is_a_stack_of_ours(entry: &fs::DirEntry) -> bool {
    let me = Uid::effective().as_raw();
    entry.file_name().to_string_lossy().starts_with(PREFIX)
        && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me)
        && entry.path().join("lock").exists()
}
