//! Compiles WebAssembly, once: what is compiled lies in a folder of ours, named by what it was compiled from and by which engine.
//!
//! Must never load compiled code that this crate did not write: it would run outside of any sandbox. So the folder is ours alone,
//! and a file whose checksum does not fit is compiled again. Must never grow without end either: what was not used for longest goes.

use std::{
    fs::{self, DirBuilder, File},
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module, component::Component};

use crate::Error;

/// The bits of a folder's mode with which somebody else can write there.
const OTHERS_WRITE: u32 = 0o022;

/// How much lies there at most. A runner is some 40 MB, a component of Go or Java a few.
const BYTES_MAX: u64 = 2 << 30;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    engine: Engine,
}

/// What can be compiled.
pub(crate) trait Compiled: Sized {
    /// Compiles it.
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;
    /// What [`Self::open`] reads.
    fn bytes(&self) -> wasmtime::Result<Vec<u8>>;
    /// Opens what this crate compiled.
    fn open(engine: &Engine, file: OurFile<'_>) -> wasmtime::Result<Self>;
}

/// A file that this crate wrote, as its checksum says.
pub(crate) struct OurFile<'a>(&'a Path);

impl Cache {
    /// Opens the folder, or makes it.
    pub(crate) fn open(folder: PathBuf, engine: Engine) -> Result<Self, Error> {
        let failed = |error| Error::Io { path: folder.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let found = fs::metadata(&folder).map_err(failed)?;
        // Who we are, the file system says.
        let ours = tempfile::tempfile_in(&folder).and_then(|file| file.metadata()).map_err(failed)?;
        if found.mode() & OTHERS_WRITE != 0 || found.uid() != ours.uid() {
            return Err(Error::Shared(folder));
        }
        Ok(Self { folder, bytes_max: BYTES_MAX, engine })
    }

    /// Opens what is compiled, or compiles it. Blocks, for seconds.
    pub(crate) fn get<C: Compiled>(&self, wasm: &[u8]) -> wasmtime::Result<C> {
        let file = self.folder.join(format!("{}.cwasm", self.name(wasm)));
        if let Some(compiled) = self.find(&file) {
            return Ok(compiled);
        }
        let compiled = C::compile(&self.engine, wasm)?;
        // Without a file it runs as well; only the next start takes longer.
        if let Err(error) = self.keep(&file, &compiled.bytes()?) {
            tracing::warn!(path = %file.display(), %error, "a compiled function cannot be kept");
        }
        Ok(compiled)
    }

    fn find<C: Compiled>(&self, file: &Path) -> Option<C> {
        let kept = fs::read(file).ok()?;
        if fs::read_to_string(sum_of(file)).ok()? != sum(&kept) {
            tracing::warn!(path = %file.display(), "a compiled function is damaged: compiling it again");
            return None;
        }
        let opened = C::open(&self.engine, OurFile(file));
        opened
            .inspect_err(
                |error| tracing::warn!(path = %file.display(), %error, "a compiled function does not open"),
            )
            .ok()
            .inspect(|_| {
                // If nobody can tell that it was used, it may go before its time.
                let _ =
                    File::options().write(true).open(file).and_then(|it| it.set_modified(SystemTime::now()));
            })
    }

    fn keep(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(file, bytes)?;
        self.write(&sum_of(file), sum(bytes).as_bytes())?;
        self.tidy()
    }

    /// Removes what was not opened for longest, until the rest has room; also what a process that was killed left half written. What
    /// runs goes on, and its file takes its room until then.
    fn tidy(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.path();
            // Another process may remove it now.
            if let (true, Ok(found)) =
                (file.extension().is_none_or(|kind| kind != "sum"), fs::metadata(&file))
            {
                kept.push((found.modified()?, found.len(), file));
            }
        }
        kept.sort_unstable();
        let mut bytes: u64 = kept.iter().map(|(_, len, _)| len).sum();
        for (_, len, file) in kept {
            if bytes <= self.bytes_max {
                break;
            }
            let _ = fs::remove_file(sum_of(&file));
            let _ = fs::remove_file(file);
            bytes -= len;
        }
        Ok(())
    }

    /// Whole or not at all, whoever else writes the same.
    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
        temporary.write_all(bytes)?;
        temporary.persist(file)?;
        Ok(())
    }

    fn name(&self, wasm: &[u8]) -> String {
        let mut hasher = Sha256Hasher(Sha256::new());
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.update(wasm);
        hex(&hasher.0.finalize())
    }
}

impl Compiled for Component {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, wasm)
    }

    fn bytes(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(
        unsafe_code,
        reason = "the engine trusts compiled code; OurFile says that this crate compiled it"
    )]
    fn open(engine: &Engine, file: OurFile<'_>) -> wasmtime::Result<Self> {
        // SAFETY: this crate wrote the file from what `serialize` gave, into a folder that nobody else can write to, and its
        // checksum fits.
        unsafe { Self::deserialize_file(engine, file.0) }
    }
}

impl Compiled for Module {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, wasm)
    }

    fn bytes(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(
        unsafe_code,
        reason = "the engine trusts compiled code; OurFile says that this crate compiled it"
    )]
    fn open(engine: &Engine, file: OurFile<'_>) -> wasmtime::Result<Self> {
        // SAFETY: as for a component.
        unsafe { Self::deserialize_file(engine, file.0) }
    }
}

/// The engine's compatibility is only told to a hasher; the standard one's results may change with the compiler.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the whole digest is taken instead")
    }
}

fn sum_of(file: &Path) -> PathBuf {
    file.with_extension("sum")
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(folder: &Path) -> Result<Cache, Error> {
        Cache::open(folder.join("cache"), Engine::default())
    }

    #[test]
    fn what_is_compiled_is_found_again_and_what_is_damaged_is_compiled_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = open(folder.path()).expect("a cache");
        let wasm = b"\0asm\x01\0\0\0";
        cache.get::<Module>(wasm).expect("compiled");
        let file = folder.path().join(format!("cache/{}.cwasm", cache.name(wasm)));
        let kept = fs::read(&file).expect("the file");
        assert!(cache.find::<Module>(&file).is_some());

        fs::write(&file, &kept[..kept.len() / 2]).expect("damaged");
        assert!(cache.find::<Module>(&file).is_none());
        cache.get::<Module>(wasm).expect("compiled");
        assert_eq!(fs::read(&file).expect("the file"), kept);

        fs::remove_file(sum_of(&file)).expect("removed");
        assert!(cache.find::<Module>(&file).is_none());
        assert!(cache.get::<Component>(wasm).is_err());
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cache = open(folder.path()).expect("a cache");
        let wasm = |n: u8| [b"\0asm\x01\0\0\0\0\x02\x01".as_slice(), &[n]].concat();
        let file = |cache: &Cache, n| cache.folder.join(format!("{}.cwasm", cache.name(&wasm(n))));
        let long_ago = SystemTime::UNIX_EPOCH;
        for n in [b'a', b'b'] {
            cache.get::<Module>(&wasm(n)).expect("compiled");
            let file = File::options().write(true).open(file(&cache, n)).expect("the file");
            file.set_modified(long_ago).expect("aged");
        }
        cache.get::<Module>(&wasm(b'a')).expect("found, and used");
        cache.bytes_max = fs::metadata(file(&cache, b'a')).expect("a file").len() * 5 / 2;
        cache.get::<Module>(&wasm(b'c')).expect("compiled");
        let kept = [b'a', b'b', b'c'].map(|n| cache.find::<Module>(&file(&cache, n)).is_some());
        assert_eq!(kept, [true, false, true]);
        assert_eq!(fs::read_dir(&cache.folder).expect("the folder").count(), 4);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        open(folder.path()).expect("a cache");
        let cache = folder.path().join("cache");
        assert_eq!(fs::metadata(&cache).expect("the folder").mode() & 0o777, 0o700);
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o770)).expect("opened to others");
        assert!(matches!(open(folder.path()), Err(Error::Shared(_))));
    }
}
