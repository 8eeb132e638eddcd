//! The sandbox itself: what all functions share. Must never start more instances at once than it was told.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use crate::{
    Error, Function, Language, Limits, Reason, Refused, SOURCE_BYTES_MAX, WASM_BYTES_MAX,
    cache::Cache,
    clock::{Clock, Running},
    function::Code,
    host::{self, Confines},
    lane::{Pace, SlowLane},
    live::{Live, NotStarted},
    runner::Runners,
    source,
};

/// How long a new function may wait for an instance to be tried in, apart from its own time.
const TURN_TIME: Duration = Duration::from_secs(10);

/// How long a new function may take to start, at least, in milliseconds: whether it is taken must not depend on how busy the machine
/// is.
const START_MS: u32 = 10_000;

/// Where things are, and how much may run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with `javascript.wasm` and `python.wasm`, as `deploy/runners` builds them.
    pub runners: PathBuf,
    /// The folder for compiled code. Ours alone: whoever writes there runs anything here. It is made when it is not there, and
    /// can be emptied while nothing runs.
    pub cache: PathBuf,
    /// How many instances compute at once; further calls wait.
    pub calls_max: u32,
    /// How much memory they may have together, in MiB: each counts with all that its limit allows. Further calls wait.
    pub memory_mib_max: u32,
}

/// Loads functions and runs them. Its clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(pub(crate) Arc<Shared>);

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("turns_free", &self.0.turns.available_permits())
            .finish_non_exhaustive()
    }
}

/// What all functions share.
pub(crate) struct Shared {
    runners: Runners,
    clock: Clock,
    turns: Arc<Semaphore>,
    /// In MiB.
    memory: Arc<Semaphore>,
    memory_mib_max: u32,
    pub(crate) slow: SlowLane,
}

/// Leave to run an instance, for as long as it is held.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
    _running: Running,
}

impl Sandbox {
    /// Opens it. Cheap: a runner is compiled, or what was compiled is loaded, when the first function needs it.
    ///
    /// # Errors
    /// When the engine does not run on this machine, or the cache cannot be used, or not by us alone.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::Engine(error.to_string());
        let engine = host::engine(settings.calls_max.max(1)).map_err(failed)?;
        let cache = Cache::open(settings.cache, engine.clone())?;
        let runners = Runners::new(settings.runners, cache, &engine).map_err(failed)?;
        let broken = |error: std::io::Error| Error::Engine(error.to_string());
        let clock = Clock::start(engine).map_err(broken)?;
        Ok(Self(Arc::new(Shared {
            runners,
            clock,
            turns: Arc::new(Semaphore::new(settings.calls_max.max(1) as usize)),
            memory: Arc::new(Semaphore::new(settings.memory_mib_max.max(1) as usize)),
            memory_mib_max: settings.memory_mib_max.max(1),
            slow: SlowLane::open().map_err(broken)?,
        })))
    }

    /// Checks code, compiles it if it is WebAssembly, and starts it once: what is loaded can be called.
    ///
    /// # Errors
    /// When it cannot, with line and column where they are known.
    pub async fn load(
        &self,
        language: Language,
        code: Arc<[u8]>,
        limits: Limits,
    ) -> Result<Function, Refused> {
        let code = self.compile(language, code).await?;
        if let Code::Component { ready, source } = &code {
            let waits_until = Instant::now() + TURN_TIME;
            let turn = self.0.turn(waits_until, limits).await.ok_or_else(|| {
                Refused::stopped(&Reason::Broken {
                    what: "as many instances as may are busy: try again when fewer functions run".to_owned(),
                })
            })?;
            let limits = Limits { time_ms: limits.time_ms.max(START_MS), ..limits };
            let time = Duration::from_millis(limits.time_ms.into());
            let confines = Confines::new(limits, Instant::now() + time);
            let (ready, source) = (ready.clone(), Arc::clone(source));
            let start = async move {
                let _turn = turn;
                Live::start(&ready, &source, confines).await.map(drop)
            };
            match self.0.slow.run(&Pace::default(), start).await.0 {
                Ok(()) => {}
                Err((NotStarted::Problem(problem), _)) => return Err(problem.into()),
                Err((NotStarted::Stopped(reason), _)) => return Err(Refused::stopped(&reason)),
            }
        }
        Ok(Function::new(self.clone(), code, limits))
    }

    async fn compile(&self, language: Language, code: Arc<[u8]>) -> Result<Code, Refused> {
        let bytes_max = if language.is_text() { SOURCE_BYTES_MAX } else { WASM_BYTES_MAX };
        if code.len() > bytes_max {
            return Err(Refused::whole(format!(
                "it is {} bytes long: at most {bytes_max} are taken",
                code.len()
            )));
        }
        let runners = &self.0.runners;
        match language {
            Language::Component => {
                let ready = runners.component(code).await.map_err(Refused::whole)?;
                Ok(Code::Component { ready, source: "".into() })
            }
            Language::Command => Ok(Code::Command(runners.command(code).await.map_err(Refused::whole)?)),
            _ => {
                let source = source::prepare(language, &code)?;
                let ready =
                    runners.of(language).await.map_err(|what| Refused::stopped(&Reason::Broken { what }))?;
                Ok(Code::Component { ready, source: source.into() })
            }
        }
    }
}

impl Shared {
    /// Ticks for a guest that runs without a turn.
    pub(crate) fn running(&self) -> Running {
        self.clock.run()
    }

    /// Waits for leave to run an instance; `None` when it does not come in time.
    pub(crate) async fn turn(&self, deadline: Instant, limits: Limits) -> Option<Turn> {
        let permit = timeout_at(deadline.into(), Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()?;
        let mib = u32::try_from(limits.memory_bytes >> 20).unwrap_or(u32::MAX).clamp(1, self.memory_mib_max);
        let memory =
            timeout_at(deadline.into(), Arc::clone(&self.memory).acquire_many_owned(mib)).await.ok()?.ok()?;
        Some(Turn { _permit: permit, _memory: memory, _running: self.clock.run() })
    }
}
