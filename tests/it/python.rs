//! Other people's tools: the programs of `tests/python/requirements.txt`, which `deploy/test` installs.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

/// A folder that is thrown away with all that a tool leaves there.
pub(crate) struct Tools {
    folder: tempfile::TempDir,
    installed: PathBuf,
}

/// The tools; `None`, and a word about it, where there is no Python. (`deploy/test` says it too.)
pub(crate) fn tools() -> Option<Tools> {
    let Some(installed) = env::var_os("FACTFOLD_PYTHON") else {
        eprintln!("SKIPPED: there is no Python here, or the test was not started by deploy/test");
        return None;
    };
    Some(Tools { folder: tempfile::tempdir().expect("a folder"), installed: installed.into() })
}

impl Tools {
    /// One of them, run in the folder. What is checked in for it is its module path.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.installed.join("bin").join(name));
        command
            .current_dir(self.folder())
            .env("PYTHONPATH", env::join_paths([ours(""), self.folder().to_owned()]).expect("paths"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .kill_on_drop(true);
        command
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A file that is checked in for a tool.
pub(crate) fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// Runs a tool, which must be content within this time.
pub(crate) async fn expect_content(mut command: Command, patience: Duration) {
    let name = command.as_std().get_program().to_owned();
    let name = Path::new(&name).file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    let ran = tokio::time::timeout(patience, command.output()).await;
    let output = ran.unwrap_or_else(|_| panic!("{name} was not ready after {patience:?}")).expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
}
