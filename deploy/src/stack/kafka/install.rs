//! Finds Java and Kafka, or has Maven fetch Kafka into a cache that all data directories share.
//!
//! Maven is the only way to the jars: so a user's own mirrors and proxies count, and no address
//! stands in this repository.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, anyhow, bail};
use tokio::process::Command;

use super::archive;
use crate::console::Console;

const POM: &str = include_str!("../../../kafka/pom.xml");
const LOG4J: &str = include_str!("../../../kafka/log4j2.xml");
const JAVA_VERSION_MIN: u32 = 17;

/// Java, and Kafka's jars.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Installation {
    pub(super) java: PathBuf,
    /// What `java -version` says; an archive of classes fits one version only.
    pub(super) java_version: String,
    pub(super) libs: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) log4j: PathBuf,
    pub(super) archive: Option<PathBuf>,
}

impl Installation {
    /// Finds what is there, fetches what is not, and makes the class archive once.
    pub(in crate::stack) async fn find_or_make(console: Console) -> anyhow::Result<Self> {
        let java = match std::env::var_os("JAVA_HOME") {
            Some(home) => Path::new(&home).join("bin/java"),
            None => PathBuf::from("java"),
        };
        let java_version = java_version(&java).await?;
        let cache = cache_dir()?;
        let libs = match std::env::var_os("KAFKA_HOME") {
            Some(home) => kafka_home(Path::new(&home))?,
            None => fetched(&cache, console).await?,
        };
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let log4j = cache.join("log4j2.xml");
        replace(&log4j, LOG4J)?;
        let mut installation = Self { java, java_version, libs, cache, log4j, archive: None };
        installation.archive = archive::find_or_make(&installation, console).await;
        Ok(installation)
    }

    /// A short-lived Kafka tool that logs to `log`; the main class and its arguments are to follow.
    pub(super) fn java_command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.java);
        command
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"])
            .args(self.archive_option())
            .args(self.logging_options(log))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The class path, and where to log.
    pub(super) fn logging_options(&self, log: &Path) -> [OsString; 4] {
        [
            with_path("-Dlog4j2.configurationFile=", &self.log4j),
            with_path("-Dfactfold.log=", log),
            "-cp".into(),
            self.libs.join("*").into(),
        ]
    }

    /// A Java option that makes starts quicker; a JVM that it does not fit ignores it.
    pub(super) fn archive_option(&self) -> Option<OsString> {
        self.archive.as_deref().map(|archive| with_path("-XX:SharedArchiveFile=", archive))
    }
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut whole = OsString::from(option);
    whole.push(path);
    whole
}

/// What `java -version` says, when that is new enough.
async fn java_version(java: &Path) -> anyhow::Result<String> {
    let output = Command::new(java).arg("-version").stdin(Stdio::null()).output().await.map_err(|error| {
        anyhow!("Java {JAVA_VERSION_MIN} or newer is needed, and {} does not run ({error}): install it (Debian: apt-get install default-jre-headless)", java.display())
    })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match major_version(&said) {
        Some(major) if major >= JAVA_VERSION_MIN => Ok(said),
        Some(major) => {
            bail!("Java {JAVA_VERSION_MIN} or newer is needed, {} is {major}: set JAVA_HOME", java.display())
        }
        None => bail!("{} -version says nothing that looks like a version: set JAVA_HOME", java.display()),
    }
}

/// The 17 of `openjdk version "17.0.15" 2025-04-15`.
fn major_version(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("version \"")?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        (_, Some(home)) => Path::new(&home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set: no place to keep Kafka"),
    };
    Ok(base.join("factfold").join(format!("kafka-{}", kafka_version())))
}

/// The version that the pom asks for: it stands there and nowhere else.
fn kafka_version() -> &'static str {
    POM.split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once("</"))
        .map_or("unknown", |(version, _)| version)
}

fn kafka_home(home: &Path) -> anyhow::Result<PathBuf> {
    let libs = home.join("libs");
    if !libs.is_dir() {
        bail!("KAFKA_HOME is {}, but there is no libs directory in it", home.display());
    }
    Ok(libs)
}

/// The jars in the cache, fetched through Maven at first.
async fn fetched(cache: &Path, console: Console) -> anyhow::Result<PathBuf> {
    let libs = cache.join("libs");
    if libs.is_dir() {
        return Ok(libs);
    }
    console.say(&format!("  kafka: fetching Apache Kafka {} through Maven (44 MB, once)", kafka_version()));
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let unfinished = tempfile::Builder::new().prefix("fetching-").tempdir_in(cache)?;
    let pom = unfinished.path().join("pom.xml");
    fs::write(&pom, POM)?;
    let new_libs = unfinished.path().join("libs");
    let output = Command::new("mvn")
        .args(["-q", "-B", "-C", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(with_path("-DoutputDirectory=", &new_libs))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("Maven is needed to fetch Kafka (Debian: apt-get install maven); or set KAFKA_HOME")?;
    if !output.status.success() {
        bail!(
            "Maven could not fetch Apache Kafka {}; is the network there? Or set KAFKA_HOME.\n{}",
            kafka_version(),
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    match fs::rename(&new_libs, &libs) {
        // Somebody else was quicker, with the same jars.
        Err(_) if libs.is_dir() => Ok(libs),
        renamed => renamed.map(|()| libs).context("cannot keep Kafka in the cache"),
    }
}

/// Replaces a file that others may be reading right now.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let failed = || format!("cannot write {}", path.display());
    let directory = path.parent().with_context(failed)?;
    let file = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    fs::write(file.path(), text).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(major_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major_version("java version \"1.8.0_292\""), Some(1));
        assert_eq!(major_version("command not found"), None);
    }

    #[test]
    fn the_pom_names_a_version() {
        assert!(kafka_version().starts_with("4."));
    }
}
