//! Makes guests yield: a thread that ticks the engine's epoch, while there is a guest to tick for. Must end with its sandbox, and
//! sleep while nothing runs.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use wasmtime::Engine;

/// How long a guest runs at most before others get their turn. One executor thread with a dozen endless loops still comes round in
/// a few dozen milliseconds.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Clock(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    is_over: bool,
}

impl Clock {
    /// Starts the thread.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("functions-clock".to_owned()).spawn(move || theirs.tick(&engine))?;
        Ok(Self(shared))
    }

    /// Ticks as long as the returned value lives.
    pub(crate) fn run(&self) -> Running {
        self.0.lock().running += 1;
        self.0.changed.notify_one();
        Running(Arc::clone(&self.0))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_one();
    }
}

/// Something runs.
#[derive(Debug)]
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Shared {
    fn tick(&self, engine: &Engine) {
        loop {
            let idle = |state: &mut State| state.running == 0 && !state.is_over;
            let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.is_over {
                return;
            }
            drop(state);
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A counter and a flag are right at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
