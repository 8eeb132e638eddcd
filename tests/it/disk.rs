//! A small disk of its own for one test, that can be full.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const MIB: usize = 1 << 20;
/// How soon what becomes free is taken.
const TOP_UP_EVERY: Duration = Duration::from_millis(20);

/// A small file system in memory. It is gone when this is dropped.
pub(crate) struct Disk {
    path: PathBuf,
}

/// What fills it, and whatever becomes free again. (PostgreSQL takes old WAL away, and Kafka what it has compacted: room for
/// thousands of writes was seen.) Dropping it makes room.
pub(crate) struct Filling {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
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
        let path = self.path.join("filling");
        let mut file = File::create(&path).expect("a file");
        top_up(&mut file);
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Acquire) {
                    top_up(&mut file);
                    thread::sleep(TOP_UP_EVERY);
                }
            }
        });
        Filling { path, stop, thread: Some(thread) }
    }
}

/// Writes to this file until there is no room.
fn top_up(file: &mut File) {
    let zeros = vec![0; MIB];
    // A `write_all` that fails has written what there was room for.
    let full = loop {
        if let Err(error) = file.write_all(&zeros) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "it could not be kept full");
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
