//! What runs functions: the sandbox, where this build has one. Everything else of the registry is the same without it, so that
//! who does not work on functions need not wait for it to be built.

#[cfg(not(feature = "sandbox"))]
pub(crate) use self::absent::{Engine, Loaded, Warm};
#[cfg(feature = "sandbox")]
pub(crate) use self::sandboxed::{Engine, Loaded, Warm};
use serde::{Deserialize, Serialize};

use crate::logs::Level;

/// What is wrong with code, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", self.place())]
pub struct Refused {
    /// What.
    pub message: String,
    /// In which line, from 1.
    pub line: Option<u32>,
    /// At which character of it, from 1.
    pub column: Option<u32>,
    /// Whether it was not the code that was to blame, but this build or this machine.
    pub is_ours: bool,
}

impl Refused {
    fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
            (Some(line), None) => format!(" (line {line})"),
            _ => String::new(),
        }
    }
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The function itself said no.
    #[error("{message}")]
    Thrown {
        /// What it said.
        message: String,
        /// Where it said so.
        stack: Option<String>,
    },
    /// It took, or gave, more than it may; or it broke.
    #[error("{0}")]
    Stopped(String),
    /// Not its fault.
    #[error("{0}")]
    Ours(String),
}

/// What a call said, and what it gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The output, as JSON.
    pub(crate) result: Result<String, Reason>,
    pub(crate) console: Vec<(Level, String)>,
}

#[cfg(not(feature = "sandbox"))]
mod absent {
    //! No sandbox: functions are known and shown, and none is run.

    use std::{convert::Infallible, sync::Arc};

    use factfold_schemas::functions::{Language, Limits};

    use super::{Outcome, Refused};
    use crate::{OpenError, Settings};

    pub(crate) struct Engine;
    /// There is none.
    #[derive(Clone)]
    pub(crate) struct Loaded(Infallible);
    /// There is none.
    pub(crate) struct Warm(Infallible);

    impl Engine {
        #[expect(clippy::unnecessary_wraps, reason = "with a sandbox it can fail")]
        pub(crate) fn open(_: &Settings) -> Result<Self, OpenError> {
            Ok(Self)
        }

        #[expect(clippy::unused_async, reason = "with a sandbox it waits")]
        pub(crate) async fn load(&self, _: Language, _: Arc<[u8]>, _: Limits) -> Result<Loaded, Refused> {
            let message = "this build runs no functions: build it with `--features functions`".to_owned();
            Err(Refused { message, line: None, column: None, is_ours: true })
        }
    }

    impl Loaded {
        pub(crate) async fn call(&self, _: &str, _: &str) -> Outcome {
            match self.0 {}
        }

        pub(crate) fn keep(&self) -> Warm {
            match self.0 {}
        }
    }

    impl Warm {
        pub(crate) async fn call(&mut self, _: &str, _: &str) -> Outcome {
            match self.0 {}
        }
    }
}

#[cfg(feature = "sandbox")]
mod sandboxed {
    //! The sandbox, in the words of the registry.

    use std::sync::Arc;

    use factfold_sandbox as sandbox;
    use factfold_schemas::functions::{Language, Limits};

    use super::{Outcome, Reason, Refused};
    use crate::{OpenError, Settings, logs::Level};

    pub(crate) struct Engine(sandbox::Sandbox);
    #[derive(Clone)]
    pub(crate) struct Loaded(sandbox::Function);
    pub(crate) struct Warm(sandbox::Kept);

    impl Engine {
        pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
            let Settings { runners, cache, calls_max, memory_mib_max } = settings.clone();
            let settings = sandbox::Settings { runners, cache, calls_max, memory_mib_max };
            let opened = sandbox::Sandbox::open(settings);
            opened.map(Self).map_err(|error| OpenError::Sandbox(error.to_string()))
        }

        pub(crate) async fn load(
            &self,
            language: Language,
            code: Arc<[u8]>,
            limits: Limits,
        ) -> Result<Loaded, Refused> {
            let language = match language {
                Language::JavaScript => sandbox::Language::Javascript,
                Language::TypeScript => sandbox::Language::Typescript,
                Language::Python => sandbox::Language::Python,
                Language::Component => sandbox::Language::Component,
                Language::Command => sandbox::Language::Command,
            };
            let Limits { time_ms, memory_bytes, output_bytes, .. } = limits;
            let limits = sandbox::Limits { time_ms, memory_bytes, output_bytes };
            self.0.load(language, code, limits).await.map(Loaded).map_err(|refused| Refused {
                message: refused.message,
                line: refused.line,
                column: refused.column,
                is_ours: refused.is_ours,
            })
        }
    }

    impl Loaded {
        pub(crate) async fn call(&self, input: &str, context: &str) -> Outcome {
            outcome(self.0.call(input, context).await)
        }

        pub(crate) fn keep(&self) -> Warm {
            Warm(self.0.keep())
        }
    }

    impl Warm {
        pub(crate) async fn call(&mut self, input: &str, context: &str) -> Outcome {
            outcome(self.0.call(input, context).await)
        }
    }

    fn outcome(called: Result<sandbox::Answer, sandbox::Failure>) -> Outcome {
        let (result, console) = match called {
            Ok(answer) => (Ok(answer.output), answer.console),
            Err(failure) => {
                let reason = match failure.reason {
                    sandbox::Reason::Thrown { message, stack } => Reason::Thrown { message, stack },
                    reason @ sandbox::Reason::Broken { .. } => Reason::Ours(reason.to_string()),
                    reason => Reason::Stopped(reason.to_string()),
                };
                (Err(reason), failure.console)
            }
        };
        let level = |level| match level {
            sandbox::Level::Debug => Level::Debug,
            sandbox::Level::Info => Level::Info,
            sandbox::Level::Warn => Level::Warn,
            sandbox::Level::Error => Level::Error,
        };
        Outcome { result, console: console.into_iter().map(|line| (level(line.level), line.text)).collect() }
    }
}
