//! What is compiled and shared by all functions of a language. Must never compile on an executor thread.

use std::{fs, path::PathBuf, sync::Arc};

use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
};
use wasmtime::{
    Engine, Module,
    component::{self, Component},
};

use crate::{
    Language,
    cache::{Cache, Compiled},
    command, host,
    live::{self, Ready},
};

/// The compiler, and what it made.
pub(crate) struct Runners {
    folder: PathBuf,
    cache: Cache,
    components: component::Linker<host::Host>,
    commands: wasmtime::Linker<command::Host>,
    javascript: OnceCell<Ready>,
    python: OnceCell<Ready>,
    /// Compiling takes every core it gets: one at a time leaves some for the calls.
    turn: Arc<Semaphore>,
}

impl Runners {
    /// None is compiled yet.
    pub(crate) fn new(folder: PathBuf, cache: Cache, engine: &Engine) -> wasmtime::Result<Self> {
        Ok(Self {
            folder,
            cache,
            components: live::linker(engine)?,
            commands: command::linker(engine)?,
            javascript: OnceCell::new(),
            python: OnceCell::new(),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// The runner of a language whose code is a text. The error says what is wrong with this installation.
    pub(crate) async fn of(&self, language: Language) -> Result<Ready, String> {
        let (cell, file) = match language {
            Language::Python => (&self.python, "python.wasm"),
            _ => (&self.javascript, "javascript.wasm"),
        };
        let path = self.folder.join(file);
        let ready = cell.get_or_try_init(|| async {
            let runner = path.clone();
            let read = move || {
                fs::read(&runner)
                    .map_err(|error| format!("{error}. The runners are built with deploy/runners"))
            };
            self.fitting(self.compile(read).await?)
        });
        ready.await.cloned().map_err(|error: String| format!("{}: {error}", path.display()))
    }

    /// A component, compiled and checked against the world.
    pub(crate) async fn component(&self, wasm: Arc<[u8]>) -> Result<Ready, String> {
        self.fitting(self.compile(move || Ok(wasm)).await?)
    }

    fn fitting(&self, component: Component) -> Result<Ready, String> {
        let instance = self.components.instantiate_pre(&component).map_err(|error| {
            format!(
                "it needs something that a function does not get: {}. There is the world in world.wit, and WASI 0.2",
                chain(&error)
            )
        })?;
        Ready::new(instance)
            .map_err(|error| format!("it is not of the world in world.wit: {}", chain(&error)))
    }

    /// A command, compiled and checked.
    pub(crate) async fn command(&self, wasm: Arc<[u8]>) -> Result<command::Ready, String> {
        let module: Module = self.compile(move || Ok(wasm)).await?;
        if module.get_export(command::START).is_none() {
            return Err(format!("it does not export {}: is it a WASI preview 1 command?", command::START));
        }
        self.commands.instantiate_pre(&module).map_err(|error| {
            format!(
                "it needs something that a function does not get: {}. There is WASI preview 1",
                chain(&error)
            )
        })
    }

    async fn compile<C: Compiled + Send + 'static, W: AsRef<[u8]>>(
        &self,
        read: impl FnOnce() -> Result<W, String> + Send + 'static,
    ) -> Result<C, String> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|error| error.to_string())?;
        let cache = self.cache.clone();
        let compiled = spawn_blocking(move || {
            // Held by whoever compiles, not by whoever waits for it: that one may go away.
            let _turn = turn;
            cache
                .get(read()?.as_ref())
                .map_err(|error| format!("it is not valid WebAssembly: {}", chain(&error)))
        });
        compiled.await.map_err(|error| format!("the compiler broke down: {error}"))?
    }
}

/// An error with its causes, on one line.
fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ")
}
