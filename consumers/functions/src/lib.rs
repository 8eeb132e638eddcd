//! The sandbox: runs functions that users wrote, and lets none of them hurt its host or another function.
//!
//! A tour. A function's code is in some [`Language`]. [`Sandbox::load`] checks it and gives a [`Function`], which is little more
//! than the source: JavaScript, TypeScript and Python run in a *runner*, one WebAssembly component per language that all their
//! functions share (`deploy/runners` builds them). A [`Function::call`] takes a fresh instance of it, has it read the source
//! (`load`) and answer (`handle`), and throws it away; a [`Kept`] one stays warm for many calls. Both sides of that talk are one
//! WIT world, `wit/world.wit`, so that a user's own component of this world runs as well, and so does a WASI command, which is
//! JSON on its standard input and output.
//!
//! Where things are: `source` makes of an author's text what a runner reads; `cache` compiles, once; `runner` holds what is
//! compiled; `host` is what a guest can reach; `live` is a running component and `command` a running command; `clock` makes an
//! endless loop yield, and `lane` moves who computes for long out of the way of all others. A guest gets the clocks, random
//! numbers and a console, and nothing else: no files, no environment, no network.
//!
//! This crate must never know what a function is for, run code that it did not compile itself, or block the executor on a guest.

mod cache;
mod clock;
mod command;
mod console;
mod function;
mod host;
mod lane;
mod language;
mod limits;
mod live;
mod outcome;
mod pipe;
mod runner;
mod sandbox;
mod source;

pub use crate::{
    console::{Level, Line},
    function::{Function, Kept},
    language::Language,
    limits::{Limits, SOURCE_BYTES_MAX, WASM_BYTES_MAX},
    outcome::{Answer, Error, Failure, Reason, Refused},
    sandbox::{Sandbox, Settings},
};
