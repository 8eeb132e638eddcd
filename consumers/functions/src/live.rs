//! A running component: an instance that has read its source and answers. Must never be used again after it was stopped.

use std::time::Instant;

use tokio::time::timeout_at;
use wasmtime::{Engine, Store, component::Linker};

use crate::{
    Level, Limits, Line, Reason,
    host::{self, Confined, Confines, Host},
    outcome::{Problem, checked},
};

mod world {
    //! What the engine makes of `wit/world.wit`.

    wasmtime::component::bindgen!({
        path: "wit",
        world: "function",
        exports: { default: async },
    });
}

/// A component that is compiled and fits the world.
pub(crate) type Ready = world::FunctionPre<Host>;

impl world::FunctionImports for Host {
    fn log(&mut self, level: String, text: String) {
        self.console().line(Level::parse(&level), &text);
    }
}

/// What a component of the world may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    world::Function::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |host| host)?;
    Ok(linker)
}

/// What went wrong at the start.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The source is no good.
    Problem(Problem),
    /// It did not come that far.
    Stopped(Reason),
}

impl From<NotStarted> for Reason {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Problem(problem) => problem.into(),
            NotStarted::Stopped(reason) => reason,
        }
    }
}

/// The instance.
pub(crate) struct Live {
    store: Store<Host>,
    function: world::Function,
    limits: Limits,
}

impl Live {
    /// Starts one, which reads its source. With an error comes what was written to the console so far.
    pub(crate) async fn start(
        ready: &Ready,
        source: &str,
        confines: Confines,
    ) -> Result<Self, (NotStarted, Vec<Line>)> {
        let (limits, deadline) = confines.bounds();
        let host = Host::new(confines);
        let console = host.console().clone();
        let started = Self::read(host::store(ready.engine(), host), ready, source, limits, deadline).await;
        started.map_err(|error| (error, console.take()))
    }

    async fn read(
        mut store: Store<Host>,
        ready: &Ready,
        source: &str,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Self, NotStarted> {
        let start = ready.instantiate_async(&mut store);
        let function = in_time(deadline, limits, start).await.map_err(NotStarted::Stopped)?;
        let load = function.call_load(&mut store, source);
        match in_time(deadline, limits, load).await.map_err(NotStarted::Stopped)? {
            Ok(()) => Ok(Self { store, function, limits }),
            Err(problem) => Err(NotStarted::Problem(Problem::parse(&problem))),
        }
    }

    /// One call.
    pub(crate) async fn call(
        &mut self,
        input: &str,
        context: &str,
        deadline: Instant,
    ) -> Result<String, Reason> {
        self.store.data_mut().confines().begin(deadline);
        self.store.set_epoch_deadline(host::FIRST_TICKS);
        let call = self.function.call_handle(&mut self.store, input, context);
        let output = match in_time(deadline, self.limits, call).await? {
            Ok(output) => output,
            Err(problem) => return Err(Problem::parse(&problem).into()),
        };
        if output.len() > self.limits.output_bytes as usize {
            return Err(Reason::OutputTooLarge { output_bytes: self.limits.output_bytes });
        }
        checked(output)
    }

    /// Takes what the console got since the last time.
    pub(crate) fn take_console(&self) -> Vec<Line> {
        self.store.data().console().take()
    }
}

/// Waits for a guest until its time is over: it is stopped at a tick while it computes, and here while it waits for the host.
pub(crate) async fn in_time<T>(
    deadline: Instant,
    limits: Limits,
    guest: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Reason> {
    match timeout_at(deadline.into(), guest).await {
        Ok(done) => done.map_err(|error| host::reason(&error, limits)),
        Err(_) => Err(Reason::TimedOut { time_ms: limits.time_ms }),
    }
}
