//! Where bytes go: to stdout, or into a file that is there whole or not at all.

use std::{
    ffi::OsStr,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// How much is written at once.
const CHUNK_BYTES: usize = 1 << 18;

/// Bytes on their way.
pub(super) struct Output(BufWriter<Place>);

enum Place {
    Stdout(io::Stdout),
    /// Written beside its place, and moved there when it is whole. Only its owner can read it.
    File {
        new: NamedTempFile,
        path: PathBuf,
    },
}

impl Output {
    /// Stdout, unless a file is named.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let place = match file {
            Some(path) => Place::beside(path)?,
            None => Place::Stdout(io::stdout()),
        };
        Ok(Self(BufWriter::with_capacity(CHUNK_BYTES, place)))
    }

    /// Writes these bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).with_context(|| self.0.get_ref().writing())
    }

    /// Lets the reader see all that was written, if there can be one before the end. Says whether there can.
    pub(super) fn settle(&mut self) -> Result<bool> {
        self.0.flush().with_context(|| self.0.get_ref().writing())?;
        Ok(matches!(self.0.get_ref(), Place::Stdout(_)))
    }

    /// All is written: a file takes its place.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.settle()?;
        let (place, _) = self.0.into_parts();
        let writing = place.writing();
        let Place::File { new, path } = place else { return Ok(()) };
        new.as_file().sync_all().context(writing.clone())?;
        new.persist_noclobber(&path).map_err(|refused| match refused.error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Refused(is_there(&path)),
            _ => Failure::OutOfReach(anyhow!(refused.error).context(writing)),
        })?;
        Ok(())
    }
}

impl Place {
    fn beside(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure::Refused(is_there(path)));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut prefix = path.file_name().unwrap_or(OsStr::new("replay")).to_owned();
        prefix.push(".");
        let new = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self::File { new, path: path.to_owned() })
    }

    fn writing(&self) -> String {
        match self {
            Self::Stdout(_) => "writing to stdout".to_owned(),
            Self::File { path, .. } => format!("writing {}", path.display()),
        }
    }
}

/// For whoever brings its own way of writing.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn is_there(path: &Path) -> anyhow::Error {
    anyhow!("--into {}: this file is there already: remove it, or name another", path.display())
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File { new, .. } => new.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File { new, .. } => new.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = || fs::read_dir(folder.path()).expect("a folder").count();
        let path = folder.path().join("events");
        let mut given_up = Output::open(Some(&path)).expect("opened");
        given_up.put(b"half").expect("written");
        assert!(!given_up.settle().expect("written"));
        assert!(!path.exists());
        drop(given_up);
        assert_eq!(names(), 0, "nothing is left of it");

        let mut whole = Output::open(Some(&path)).expect("opened");
        let late = Output::open(Some(&path)).expect("opened");
        whole.put(b"whole").expect("written");
        whole.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("a file"), b"whole");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert!(late.finish().expect_err("refused").to_string().contains("there already"));
        assert!(matches!(Output::open(Some(&path)), Err(Failure::Refused(_))));
        assert_eq!((names(), fs::read(&path).expect("a file").as_slice()), (1, &b"whole"[..]));
    }
}
