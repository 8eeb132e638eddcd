//! A small disk of its own for one test, that can be full.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

const MIB: usize = 1 << 20;

/// A small file system in memory. It is gone when this is dropped.
pub(crate) struct Disk {
    path: PathBuf,
}

/// What fills it. Dropping it makes room.
pub(crate) struct Filling {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of so many MiB here; says why when that is not allowed (it takes root).
    pub(crate) fn mount(path: &Path, size_mib: usize) -> Result<Self, String> {
        let size = format!("size={size_mib}m,mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        let output = mount.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(Self { path: path.to_owned() }) } else { Err(said) }
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Filling {
        let filling = Filling { path: self.path.join("filling") };
        let mut file = File::create(&filling.path).expect("a file");
        let zeros = vec![0; MIB];
        // A `write_all` that fails has written what there was room for.
        let full = loop {
            if let Err(error) = file.write_all(&zeros) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
        filling
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        fs::remove_file(&self.path).expect("a file of ours");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open must not keep it.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        let removed = fs::remove_dir(&self.path);
        if !unmounted.as_ref().is_ok_and(|status| status.success()) || removed.is_err() {
            eprintln!("{} could not be cleared away: {unmounted:?}, {removed:?}", self.path.display());
        }
    }
}
