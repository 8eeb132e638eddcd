//! A function that is loaded, and its calls. Must never keep an instance that was stopped, or hand one from a call to another
//! unless it is asked to.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Answer, Failure, Limits, Line, Reason, Sandbox, command,
    host::Confines,
    lane::Pace,
    live::{Live, Ready},
};

/// A function, ready to be called. Its clones are the same one, and it is small: the source, and what it shares with all others
/// of its language.
#[derive(Clone)]
pub struct Function(Arc<Loaded>);

struct Loaded {
    sandbox: Sandbox,
    code: Code,
    limits: Limits,
    pace: Pace,
}

/// What runs.
#[derive(Clone)]
pub(crate) enum Code {
    /// A component, a runner or somebody's own, and what it reads first.
    Component {
        /// Compiled.
        ready: Ready,
        /// The author's text, as [`crate::source`] leaves it.
        source: Arc<str>,
    },
    /// A WASI command.
    Command(command::Ready),
}

impl Function {
    /// One that was tried.
    pub(crate) fn new(sandbox: Sandbox, code: Code, limits: Limits) -> Self {
        Self(Arc::new(Loaded { sandbox, code, limits, pace: Pace::default() }))
    }

    /// What a call may use.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Calls it in an instance of its own. Both texts are JSON.
    ///
    /// # Errors
    /// When it throws, is stopped at a limit, or does not answer in JSON.
    pub async fn call(&self, input: &str, context: &str) -> Result<Answer, Failure> {
        let Loaded { sandbox, limits, pace, .. } = &*self.0;
        let deadline = Instant::now() + Duration::from_millis(limits.time_ms.into());
        let Some(turn) = sandbox.0.turn(deadline, *limits).await else {
            let what = "as many instances as may are busy: try again in a moment".to_owned();
            return answer(Err(Reason::Broken { what }), Vec::new());
        };
        let confines = Confines::new(*limits, deadline);
        let (mut kept, input, context) = (self.keep(), input.to_owned(), context.to_owned());
        let call = async move {
            let _turn = turn;
            kept.run(&input, &context, confines).await
        };
        let (called, is_short) = sandbox.0.slow.run(pace, call).await;
        // One that was stopped would have gone on.
        let is_stopped = matches!(&called, Err(failure) if matches!(failure.reason, Reason::TimedOut { .. }));
        pace.set_slow(!is_short || is_stopped);
        called
    }

    /// An instance for many calls, started with the first.
    pub fn keep(&self) -> Kept {
        Kept { function: self.clone(), live: None }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// A function that stays warm: what it remembers, it remembers until it is stopped. Dropping a call that is not over stops it.
pub struct Kept {
    function: Function,
    live: Option<Live>,
}

impl Kept {
    /// Calls it. A command gets an instance of its own for each call. Whoever keeps an instance has a thread for it, and is not
    /// held up by how many others are called: so what it is given does not depend on them.
    ///
    /// # Errors
    /// As for [`Function::call`]. After a thrown error the instance goes on; after anything else the next call starts a new one.
    pub async fn call(&mut self, input: &str, context: &str) -> Result<Answer, Failure> {
        let limits = self.function.0.limits;
        let deadline = Instant::now() + Duration::from_millis(limits.time_ms.into());
        let _running = self.function.0.sandbox.0.running();
        self.run(input, context, Confines::new(limits, deadline)).await
    }

    async fn run(&mut self, input: &str, context: &str, confines: Confines) -> Result<Answer, Failure> {
        let loaded = Arc::clone(&self.function.0);
        let (_, deadline) = confines.bounds();
        match &loaded.code {
            Code::Command(ready) => {
                let (result, console) = command::call(ready, confines, input, context).await;
                answer(result, console)
            }
            Code::Component { ready, source } => {
                // Taken out, so that a call that is dropped half way takes its instance along.
                let mut live = match self.live.take() {
                    Some(live) => live,
                    None => match Live::start(ready, source, confines).await {
                        Ok(live) => live,
                        Err((error, console)) => return answer(Err(error.into()), console),
                    },
                };
                let result = live.call(input, context, deadline).await;
                let console = live.take_console();
                if matches!(result, Ok(_) | Err(Reason::Thrown { .. } | Reason::NotJson { .. })) {
                    self.live = Some(live);
                }
                answer(result, console)
            }
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("function", &self.function)
            .field("is_started", &self.live.is_some())
            .finish()
    }
}

fn answer(result: Result<String, Reason>, console: Vec<Line>) -> Result<Answer, Failure> {
    match result {
        Ok(output) => Ok(Answer { output, console }),
        Err(reason) => Err(Failure { reason, console }),
    }
}
