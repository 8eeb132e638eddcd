//! Files with secrets: made in one step, readable by their owner only.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// A file of secrets that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read or made.
    #[error("the key file {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Others could use what is in it.
    #[error(
        "the key file {path} can be read by others (mode {mode:o}): chmod 600 {path}, and think about a new key"
    )]
    ReadableByOthers {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// What the file says; one that is not there is made first, with what `fresh` gives.
pub fn read_or_create(
    path: &Path,
    fresh: impl FnOnce() -> Result<String, io::Error>,
) -> Result<String, SecretFileError> {
    match read(path) {
        Err(SecretFileError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            let failed = |error| SecretFileError::File { path: path.to_owned(), error };
            create(path, &fresh().map_err(failed)?).map_err(failed)?;
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> Result<String, SecretFileError> {
    let failed = |error| SecretFileError::File { path: path.to_owned(), error };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::ReadableByOthers { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Makes the file in one step: two processes that start at once agree on one secret, and nobody ever sees half a file.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    let written = write();
    // Whether or not it was written, the draft has served.
    let removed = fs::remove_file(&draft);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/secret");
        let made = read_or_create(&path, || Ok("one".to_owned())).expect("made");
        let again = read_or_create(&path, || Ok("two".to_owned())).expect("read");
        assert_eq!((made.as_str(), again.as_str()), ("one", "one"));
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(),
            1,
            "no draft stays"
        );

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let refused = read_or_create(&path, || Ok("three".to_owned()));
        assert!(matches!(refused, Err(SecretFileError::ReadableByOthers { mode: 0o640, .. })));
    }
}
