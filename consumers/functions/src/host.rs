//! What a guest can reach, which is little, and what stops it. Must never give a guest a file, a socket, an argument or a variable
//! of ours.

use std::time::Instant;

use tokio::task::yield_now;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolConcurrencyLimitError, PoolingAllocationConfig,
    ResourceLimiter, Store, Trap, UpdateDeadline, component::ResourceTable,
};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::{
    Level, Limits, Reason,
    console::{Console, cut},
    pipe::{Full, Pipe, ToConsole},
};

/// How deep a guest's calls may go, in bytes of its stack. With more, QuickJS would leave its own stack first, in linear memory,
/// and that error says nothing.
const STACK_BYTES_MAX: usize = 2 << 20;
/// What the host's own calls may need on top of a guest's.
const HOST_STACK_BYTES: usize = 512 << 10;
/// How many entries a guest's tables may have in all.
const TABLE_ELEMENTS_MAX: usize = 200_000;
/// How many core instances, tables and memories a store may have.
const INSTANCES_MAX: usize = 64;
/// How many core instances, and tables, a component may have: Python has a dozen.
const CORES_EACH: u32 = 16;
/// How many memories a component may have: JavaScript has its own, and one of its adapter to WASI.
const MEMORIES_EACH: u32 = 2;
/// How many tables a module may have.
const TABLES_MAX: u32 = 4;
/// How many instances may be kept besides those that are called: each has a thread, so there are never as many.
const KEPT_MAX: u32 = 1_000;
/// What of a used memory is written over for the next instance, instead of being given back to the system and faulted in again,
/// page by page, under a lock of the whole process: that is a sixth of the speed, and on two cores less than on one. All of
/// JavaScript's and Python's memory at their start fits in. It stays with each place that was ever used: 64 calls of Python at once
/// leave a gigabyte.
///
/// `pagemap_scan` would write over only what was written to: 1.8 times as many calls of JavaScript. But in wasmtime 48 it passes over
/// what is swapped out, or being moved, at that moment, and the next instance finds it as it was
/// (<https://github.com/bytecodealliance/wasmtime/pull/14357>).
const MEMORY_KEPT_BYTES: usize = 16 << 20;
/// The same for a table.
const TABLE_KEPT_BYTES: usize = 64 << 10;
/// How many places stay with the module that was in them last, before others are taken from it.
const PLACES_WARM: u32 = 8;
/// How many things of the host a guest may hold at a time: streams, timers.
const HANDLES_MAX: usize = 10_000;
/// After how many ticks a guest yields for the first time: most are done by then, without having been mixed with others.
pub(crate) const FIRST_TICKS: u64 = 2;
/// What may be copied out of a guest besides its output: an error, a line for the console.
const COPIED_BYTES: usize = 256 << 10;

/// The engine that runs everything here: so many calls at once, and those that are kept. It reserves some 12 GiB of addresses for
/// each, and no memory.
pub(crate) fn engine(calls_max: u32) -> wasmtime::Result<Engine> {
    let places = calls_max.saturating_add(KEPT_MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places).total_memories(places * MEMORIES_EACH).total_stacks(places);
    pool.total_core_instances(places * CORES_EACH).total_tables(places * CORES_EACH);
    // Nobody takes the places of others.
    pool.max_memories_per_component(MEMORIES_EACH);
    pool.max_core_instances_per_component(CORES_EACH).max_tables_per_component(CORES_EACH);
    pool.max_tables_per_module(TABLES_MAX).table_elements(TABLE_ELEMENTS_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEPT_BYTES).table_keep_resident(TABLE_KEPT_BYTES);
    pool.max_unused_warm_slots(PLACES_WARM);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
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
    pub(crate) fn new(limits: Limits, deadline: Instant) -> Self {
        Self { limits, deadline, memory_bytes: 0, table_elements: 0 }
    }

    /// What it may use, and until when.
    pub(crate) fn bounds(&self) -> (Limits, Instant) {
        (self.limits, self.deadline)
    }

    /// The next call begins, and must be over by then.
    pub(crate) fn begin(&mut self, deadline: Instant) {
        self.deadline = deadline;
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
    store.set_epoch_deadline(FIRST_TICKS);
    store.epoch_deadline_callback(|mut context| {
        let confines = context.data_mut().confines();
        if Instant::now() >= confines.deadline {
            return Err(TimeOver.into());
        }
        // Unlike a plain wake-up, this lets the executor look at its timers and sockets before it comes back.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now())))
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
    if error.is::<PoolConcurrencyLimitError>() {
        let what = "as many instances as may are there: try again when fewer functions run".to_owned();
        return Reason::Broken { what };
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
