//! Children that outlived a factfold that was killed. They are ended before new ones start.
//!
//! Only what is written down in this data directory is touched, and only when it is still the
//! very process that was written down.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::child::STOP_PATIENCE;
use crate::console::Console;
use crate::process::ProcessIdentity;

/// Ends every process that is written down in `processes` and still runs.
pub(super) async fn end_all(processes: &Path, console: Console) -> anyhow::Result<()> {
    let records = match fs::read_dir(processes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        records => records.context("data directory")?,
    };
    for record in records {
        let record = record.context("data directory")?.path();
        // A record that cannot be read was half written: its child never passed the gate.
        let written = fs::read_to_string(&record).unwrap_or_default();
        if let Ok(orphan) = written.parse::<ProcessIdentity>()
            && orphan.is_alive()
        {
            let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
            console.say(&format!("  {name}: ending process {}, left by an earlier run", orphan.pid()));
            // SIGINT is a fast and orderly stop for PostgreSQL and Kafka alike.
            orphan
                .end(Signal::SIGINT, STOP_PATIENCE)
                .await
                .with_context(|| format!("{name} of an earlier run"))?;
        }
        fs::remove_file(&record).context("data directory")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_very_process_is_ended() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let mut ours = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let mut other = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let record = |pid: u32| ProcessIdentity::of(pid.cast_signed()).expect("identity").to_string();
        fs::write(temp.path().join("kafka"), record(ours.id())).expect("record");
        let (id, rest) = (other.id(), "1 some-other-boot");
        fs::write(temp.path().join("postgres"), format!("{id} {rest}")).expect("record");

        // The child is ours, so it stays a zombie until it is waited for: which counts as ended.
        end_all(temp.path(), Console::Quiet).await.expect("end");
        assert!(!ours.wait().expect("status").success());
        assert!(other.try_wait().expect("status").is_none(), "a process of somebody else was ended");
        other.kill().expect("kill");
        other.wait().expect("status");
        assert_eq!(fs::read_dir(temp.path()).expect("directory").count(), 0);
    }
}
