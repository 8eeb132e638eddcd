//! A running WASI command: a fresh instance per call, JSON on its standard input and output. Must never live longer than its call.

use wasmtime::{Engine, InstancePre, Linker};
use wasmtime_wasi::{
    p1::{self, WasiP1Ctx},
    p2::pipe::MemoryInputPipe,
};

use crate::{
    Level, Line, Reason,
    console::Console,
    host::{self, Confined, Confines},
    live::in_time,
    outcome::checked,
    pipe::{Captured, Pipe, ToConsole},
};

/// Where a command finds the context.
const CONTEXT: &str = "FACTFOLD_CONTEXT";
/// What a command exports to be started.
pub(crate) const START: &str = "_start";
/// How many of the last lines of the standard error are an error's message.
const MESSAGE_LINES: usize = 20;

/// A command that is compiled, and imports nothing but WASI.
pub(crate) type Ready = InstancePre<Host>;

/// What a command's instance reaches.
pub(crate) struct Host {
    wasi: WasiP1Ctx,
    confines: Confines,
}

impl Confined for Host {
    fn confines(&mut self) -> &mut Confines {
        &mut self.confines
    }
}

/// What a command may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.wasi)?;
    Ok(linker)
}

/// One call, and what it wrote to its console.
pub(crate) async fn call(
    ready: &Ready,
    confines: Confines,
    input: &str,
    context: &str,
) -> (Result<String, Reason>, Vec<Line>) {
    let (limits, deadline) = confines.bounds();
    let console = Console::default();
    let output = Captured::new(limits.output_bytes as usize);
    let wasi = host::nothing()
        .stdin(MemoryInputPipe::new(input.to_owned()))
        .stdout(Pipe(output.clone()))
        .stderr(Pipe(ToConsole(console.clone(), Level::Warn)))
        .env(CONTEXT, context)
        .arg("function")
        .build_p1();
    let store = host::store(ready.module().engine(), Host { wasi, confines });
    let ended = in_time(deadline, limits, run(ready, store)).await;
    let lines = console.take();
    let result = match ended {
        // A command that exits with 0 is done as well as one that returns.
        Ok(()) | Err(Reason::Exited { code: 0 }) => read(output).and_then(checked),
        Err(Reason::Exited { code }) => Err(said(&lines).unwrap_or(Reason::Exited { code })),
        Err(reason) => Err(reason),
    };
    (result, lines)
}

async fn run(ready: &Ready, mut store: wasmtime::Store<Host>) -> wasmtime::Result<()> {
    let instance = ready.instantiate_async(&mut store).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, START)?;
    start.call_async(&mut store, ()).await
}

fn read(output: Captured) -> Result<String, Reason> {
    String::from_utf8(output.into_bytes())
        .map_err(|error| Reason::NotJson { error: error.to_string(), start: "(not UTF-8)".to_owned() })
}

/// The end of its standard error, as the error that it means.
fn said(lines: &[Line]) -> Option<Reason> {
    let last = &lines[lines.len().saturating_sub(MESSAGE_LINES)..];
    let message: Vec<_> = last.iter().map(|line| line.text.as_str()).collect();
    let message = message.join("\n").trim().to_owned();
    (!message.is_empty()).then_some(Reason::Thrown { message, stack: None })
}
