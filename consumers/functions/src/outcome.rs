//! What becomes of a load or a call. An author reads these sentences: they say what happened and what to do.
//!
//! Must never carry more of a guest's text than [`MESSAGE_BYTES_MAX`].

use std::{fmt, path::PathBuf};

use serde::{Deserialize, de::IgnoredAny};

use crate::console::{Line, cut};

/// How much of a message or a stack is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// How deep an answer may be nested: as deep as serde reads.
const DEPTH_MAX: usize = 127;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine does not run here.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// Compiled code is loaded from there without a further look, so nobody else may write there.
    #[error("{path}: others can write to this folder of compiled functions. Make it yours alone: chmod 700 {path}", path = .0.display())]
    Shared(PathBuf),
    /// The cache cannot be used.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Valid JSON.
    pub output: String,
    /// What the function wrote to its console.
    pub console: Vec<Line>,
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// What the function wrote to its console before.
    pub console: Vec<Line>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The function threw an error.
    #[error("{message}")]
    Thrown {
        /// What the error said.
        message: String,
        /// Where, in the author's lines, the innermost first in JavaScript and last in Python.
        stack: Option<String>,
    },
    /// The time is over.
    #[error("the function took longer than {time_ms} ms: let it do less in one call, or give it more time")]
    TimedOut {
        /// The limit.
        time_ms: u32,
    },
    /// The memory is full.
    #[error("the function needs more than {} MiB of memory: let it hold less at a time, or give it more memory", .memory_bytes >> 20)]
    OutOfMemory {
        /// The limit.
        memory_bytes: u64,
    },
    /// The answer is too long.
    #[error(
        "the function's output is longer than {output_bytes} bytes: let it return less, or allow it a longer output"
    )]
    OutputTooLarge {
        /// The limit.
        output_bytes: u32,
    },
    /// The answer is not JSON.
    #[error("the function's output is not JSON: {error}. It starts with: {start}")]
    NotJson {
        /// What is wrong with it.
        error: String,
        /// Its first characters.
        start: String,
    },
    /// It broke down.
    #[error("the function crashed: {what}")]
    Crashed {
        /// How.
        what: String,
    },
    /// It ended itself.
    #[error("the function ended with exit code {code} and said nothing on its standard error")]
    Exited {
        /// With this.
        code: i32,
    },
    /// Not the function's fault.
    #[error("the function could not be run: {what}")]
    Broken {
        /// Ours, rather.
        what: String,
    },
}

/// Why code is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, and what to do.
    pub message: String,
    /// In which line, from 1.
    pub line: Option<u32>,
    /// In which column, from 1.
    pub column: Option<u32>,
    /// Whether it is not the code's fault, but this machine's: it may well be taken later, or elsewhere.
    pub is_ours: bool,
}

impl Refused {
    /// Refused as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None, is_ours: false }
    }

    /// Not looked at, for this reason.
    pub(crate) fn stopped(reason: &Reason) -> Self {
        Self { is_ours: matches!(reason, Reason::Broken { .. }), ..Self::whole(reason.to_string()) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.message),
            (Some(line), None) => write!(f, "line {line}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Refused {}

/// What a guest says is wrong, as JSON.
#[derive(Deserialize, Debug)]
pub(crate) struct Problem {
    message: String,
    stack: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

impl Problem {
    /// Reads one. A component of somebody else's may say it in other words: those are the message.
    pub(crate) fn parse(text: &str) -> Self {
        let told = serde_json::from_str(text);
        told.unwrap_or_else(|_| Self { message: text.to_owned(), stack: None, line: None, column: None })
    }
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        let short = |text: String| cut(&text, MESSAGE_BYTES_MAX).to_owned();
        Self::Thrown { message: short(problem.message), stack: problem.stack.map(short) }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let message = cut(&problem.message, MESSAGE_BYTES_MAX).to_owned();
        Self { line: problem.line, column: problem.column, ..Self::whole(message) }
    }
}

/// Checks an answer: whoever reads it later with serde can.
pub(crate) fn checked(output: String) -> Result<String, Reason> {
    let error = match serde_json::from_str::<IgnoredAny>(&output) {
        Ok(_) if depth(&output) > DEPTH_MAX => format!("it is nested more than {DEPTH_MAX} levels deep"),
        Ok(_) => return Ok(output),
        Err(error) => error.to_string(),
    };
    Err(Reason::NotJson { error, start: cut(&output, 100).to_owned() })
}

/// How deep a valid JSON text is nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_that_everybody_can_read() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(checked(nested(DEPTH_MAX)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(DEPTH_MAX)).is_ok());
        assert!(checked(nested(DEPTH_MAX + 1)).is_err());
        assert!(checked(nested(100_000)).is_err());
        assert!(checked(format!("{:?}", "[{\\\"".repeat(1_000))).is_ok());
        assert!(checked("1 2".to_owned()).is_err());
        assert!(checked(String::new()).is_err());
    }
}
