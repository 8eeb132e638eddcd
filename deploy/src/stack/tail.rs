//! The end of a log file, for a person who wants to know why a program did not start. Only what
//! was written since the start counts: yesterday's error would mislead.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

const LINES_MAX: usize = 15;
const BYTES_MAX: u64 = 8 * 1024;

/// A place in some log files.
#[derive(Debug)]
pub(super) struct Tail {
    logs: Vec<(PathBuf, u64)>,
}

impl Tail {
    /// Remembers where `logs` end now.
    pub(super) fn from_here(logs: Vec<PathBuf>) -> Self {
        let length = |log: &PathBuf| fs::metadata(log).map_or(0, |found| found.len());
        Self {
            logs: logs
                .into_iter()
                .map(|log| {
                    let end = length(&log);
                    (log, end)
                })
                .collect(),
        }
    }

    /// The last lines that were written since, below the name of each file.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (log, from) in &self.logs {
            let Some(written) = read_end(log, *from, BYTES_MAX) else { continue };
            let lines: Vec<_> = written.lines().filter(|line| !line.trim().is_empty()).collect();
            if lines.is_empty() {
                continue;
            }
            text.push_str(&format!("\n{}:", log.display()));
            for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
                text.push_str(&format!("\n  | {line}"));
            }
        }
        text
    }

    /// Whether this was written since.
    pub(super) fn says(&self, what: &str) -> bool {
        let written = self.logs.iter().filter_map(|(log, from)| read_end(log, *from, u64::MAX));
        written.into_iter().any(|written| written.contains(what))
    }
}

fn read_end(log: &PathBuf, from: u64, bytes_max: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let end = file.metadata().ok()?.len();
    // A file that became shorter was rolled over: then all of it is new.
    let from = if from > end { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(bytes_max)))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_since_is_shown() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let log = temp.path().join("log");
        fs::write(&log, "yesterday\n").expect("log");
        let tail = Tail::from_here(vec![log.clone(), temp.path().join("none")]);
        assert_eq!(tail.text(), "");
        fs::write(&log, "yesterday\ntoday\n").expect("log");
        assert_eq!(tail.text(), format!("\n{}:\n  | today", log.display()));
        assert!(tail.says("today") && !tail.says("yesterday"));
    }
}
