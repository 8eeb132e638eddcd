//! Where a replay goes, as people say it.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

/// Where a replay goes, if not to stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file that is not there yet.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::File(text.into()))
    }
}
