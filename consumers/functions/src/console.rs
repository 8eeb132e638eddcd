//! What a function writes to its console. Must never hold more than [`LINES_MAX`] lines and [`BYTES_MAX`] bytes of one call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many lines of one call are kept, with the one that says that more were cut off.
const LINES_MAX: usize = 100;
/// How many bytes of one call's lines are kept.
const BYTES_MAX: usize = 16 << 10;
/// The last line, when there were more.
const CUT_OFF: &str = "... more was cut off: a call keeps 100 lines and 16 KiB";

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    /// Wrong.
    Error,
}

impl Level {
    /// As a guest calls it.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }
}

/// One line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// The console of one instance; its clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Console(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    bytes: usize,
    is_full: bool,
    /// The lines of the standard streams that are not ended yet.
    begun: Vec<(Level, Vec<u8>)>,
}

impl Console {
    /// Adds a line.
    pub(crate) fn line(&self, level: Level, text: &str) {
        self.lock().push(level, text);
    }

    /// Adds what was written to a standard stream, which is lines in pieces.
    pub(crate) fn write(&self, level: Level, bytes: &[u8]) {
        let mut lines = self.lock();
        if lines.is_full {
            return;
        }
        let at = lines.begun.iter().position(|(begun, _)| *begun == level).unwrap_or_else(|| {
            lines.begun.push((level, Vec::new()));
            lines.begun.len() - 1
        });
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let mut piece = pieces.next();
        while let Some(text) = piece {
            let room = BYTES_MAX.saturating_sub(lines.begun[at].1.len());
            lines.begun[at].1.extend_from_slice(&text[..text.len().min(room)]);
            piece = pieces.next();
            if piece.is_some() || text.len() > room {
                let ended = std::mem::take(&mut lines.begun[at].1);
                lines.push(level, &String::from_utf8_lossy(&ended));
            }
        }
    }

    /// Takes the lines out, for the next call to start with none.
    pub(crate) fn take(&self) -> Vec<Line> {
        let mut lines = self.lock();
        for (level, begun) in std::mem::take(&mut lines.begun) {
            if !begun.is_empty() {
                lines.push(level, &String::from_utf8_lossy(&begun));
            }
        }
        std::mem::take(&mut *lines).lines
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Lines are whole at every step, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, level: Level, text: &str) {
        if self.is_full {
            return;
        }
        let kept = cut(text, BYTES_MAX - self.bytes);
        self.is_full = kept.len() < text.len() || self.lines.len() + 1 >= LINES_MAX;
        if self.lines.len() + 1 < LINES_MAX {
            self.bytes += kept.len();
            self.lines.push(Line { level, text: kept.to_owned() });
        }
        if self.is_full {
            self.lines.truncate(LINES_MAX - 1);
            self.lines.push(Line { level: Level::Warn, text: CUT_OFF.to_owned() });
        }
    }
}

/// The longest beginning of a text that is no longer than this, in whole characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_says_so() {
        let console = Console::default();
        for i in 0..1_000 {
            console.line(Level::Info, &i.to_string());
        }
        let lines = console.take();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[98].text, "98");
        assert_eq!(lines[99].text, CUT_OFF);
        assert_eq!(console.take(), []);

        console.line(Level::Error, &"é".repeat(20_000));
        let lines = console.take();
        assert_eq!((lines.len(), lines[0].text.len()), (2, BYTES_MAX));

        console.write(Level::Info, &b"x".repeat(1 << 20));
        assert!(console.take().iter().map(|line| line.text.len()).sum::<usize>() < BYTES_MAX + 100);
    }

    #[test]
    fn a_hundred_lines_are_not_cut() {
        let console = Console::default();
        for _ in 0..LINES_MAX - 1 {
            console.line(Level::Info, "x");
        }
        assert!(console.take().iter().all(|line| line.text == "x"));
    }

    #[test]
    fn streams_come_in_pieces() {
        let console = Console::default();
        console.write(Level::Info, b"a");
        console.write(Level::Warn, b"w");
        console.write(Level::Info, b"b\n\nc");
        let told: Vec<_> = console.take().into_iter().map(|line| line.text).collect();
        assert_eq!(told, ["ab", "", "c", "w"]);
    }
}
