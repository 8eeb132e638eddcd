//! What a guest can reach, which is little, and what stops it. Must never give a guest a file, a socket, an argument or a variable
//! of ours.

use std::time::Instant;

use wasmtime::{Config, Engine, ResourceLimiter, Store, Trap, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::{
    Level, Limits, Reason,
    console::{Console, cut},
    lane::Lane,
    pipe::{Full, Pipe, ToConsole},
};

/// How deep a guest's calls may go, in bytes of its stack. With more, QuickJS would leave its own stack first, in linear memory,
/// and that error says nothing.
const STACK_BYTES_MAX: usize = 2 << 20;
/// What the host's own calls may need on top of a guest's.
const HOST_STACK_BYTES: usize = 512 << 10;
/// How many entries a guest's tables may have in all.
const TABLE_ELEMENTS_MAX: usize = 200_000;
/// How many core instances a component may consist of: Python takes a dozen.
const INSTANCES_MAX: usize = 64;
/// How many things of the host a guest may hold at a time: streams, timers.
const HANDLES_MAX: usize = 10_000;
/// What may be copied out of a guest besides its output: an error, a line for the console.
const COPIED_BYTES: usize = 256 << 10;

/// The engine that runs everything here.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES_MAX);
    config.async_stack_size(STACK_BYTES_MAX + HOST_STACK_BYTES);
    // Nobody reads a guest's own frames: a runner's say nothing about the author's lines.
    config.wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// What one instance may use, and has used.
#[derive(Debug)]
pub(crate) struct Confines {
    limits: Limits,
    deadline: Instant,
    lane: Lane,
    memory_bytes: u64,
    table_elements: usize,
}

/// The memory is full.
#[derive(Debug, thiserror::Error)]
#[error("out of memory")]
struct MemoryFull;

/// The time is over.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct TimeOver;

impl Confines {
    /// Nothing used so far.
    pub(crate) fn new(limits: Limits, deadline: Instant, lane: Lane) -> Self {
        Self { limits, deadline, lane, memory_bytes: 0, table_elements: 0 }
    }

    /// What it may use, and until when.
    pub(crate) fn bounds(&self) -> (Limits, Instant) {
        (self.limits, self.deadline)
    }

    /// The next call begins, and must be over by then.
    pub(crate) fn begin(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.lane.begin();
    }
}

impl ResourceLimiter for Confines {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory_bytes += desired.saturating_sub(current) as u64;
        // A guest that was merely told no might try again all day, or go on in a state nobody tested.
        if self.memory_bytes > self.limits.memory_bytes { Err(MemoryFull.into()) } else { Ok(true) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements += desired.saturating_sub(current);
        Ok(self.table_elements <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

/// What a store holds that a guest runs in.
pub(crate) trait Confined: Send + 'static {
    /// Its limits.
    fn confines(&mut self) -> &mut Confines;
}

/// A store whose guest is stopped at its limits, and yields at every tick.
pub(crate) fn store<T: Confined>(engine: &Engine, data: T) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.limiter(|data| data.confines());
    let output_bytes = store.data_mut().confines().limits.output_bytes as usize;
    store.set_hostcall_fuel(output_bytes + COPIED_BYTES);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let confines = context.data_mut().confines();
        if Instant::now() >= confines.deadline {
            return Err(TimeOver.into());
        }
        Ok(UpdateDeadline::YieldCustom(1, confines.lane.next()))
    });
    store
}

/// WASI, with nothing in it but clocks and random numbers.
pub(crate) fn nothing() -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(1 << 20);
    wasi
}

/// What a component's instance reaches.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    confines: Confines,
    console: Console,
}

impl Host {
    /// A console, and nothing else.
    pub(crate) fn new(confines: Confines) -> Self {
        let console = Console::default();
        let wasi = nothing()
            .stdout(Pipe(ToConsole(console.clone(), Level::Info)))
            .stderr(Pipe(ToConsole(console.clone(), Level::Warn)))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self { wasi, table, confines, console }
    }

    /// Its console.
    pub(crate) fn console(&self) -> &Console {
        &self.console
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Confined for Host {
    fn confines(&mut self) -> &mut Confines {
        &mut self.confines
    }
}

/// Why a guest was stopped.
pub(crate) fn reason(error: &wasmtime::Error, limits: Limits) -> Reason {
    if error.downcast_ref::<MemoryFull>().is_some() {
        return Reason::OutOfMemory { memory_bytes: limits.memory_bytes };
    }
    if error.downcast_ref::<TimeOver>().is_some() {
        return Reason::TimedOut { time_ms: limits.time_ms };
    }
    if error.downcast_ref::<Full>().is_some() {
        return Reason::OutputTooLarge { output_bytes: limits.output_bytes };
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Reason::Exited { code: exit.0 };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Reason::Crashed {
            what: "its calls are nested too deeply: does it call itself without an end?".to_owned(),
        },
        Some(Trap::UnreachableCodeReached) => {
            Reason::Crashed { what: "it gave up (a panic, an abort, or calls nested too deeply)".to_owned() }
        }
        Some(Trap::MemoryOutOfBounds) => Reason::Crashed {
            what: "it reached outside of its memory (a fault in it, or calls nested too deeply)".to_owned(),
        },
        Some(trap) => Reason::Crashed { what: trap.to_string() },
        None => {
            let what = error.root_cause().to_string();
            // The engine's own type for this is private.
            if what.contains("fuel allocated for hostcalls") {
                return Reason::OutputTooLarge { output_bytes: limits.output_bytes };
            }
            Reason::Crashed { what: cut(&what, 1_000).to_owned() }
        }
    }
}
