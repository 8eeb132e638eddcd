//! The `factfold` binary of this build.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Where it is: tests lie in `target/<profile>/deps`.
pub(crate) fn binary() -> PathBuf {
    let me = env::current_exe().expect("the path of this test");
    let target = me.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let binary = target.join("factfold");
    assert!(binary.exists(), "{} is missing: cargo build -p factfold", binary.display());
    binary
}
