//! Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
//!
//!     rustc --target wasm32-wasip1 -O -o add.wasm add.rs
//!
//! By hand, to need no crate; a function of more than one line takes serde_json.

use std::{
    io::{Read, stdin},
    process::exit,
};

fn main() {
    let mut input = String::new();
    if let Err(error) = stdin().read_to_string(&mut input) {
        fail(&error.to_string());
    }
    println!("{{\"result\":{}}}", number(&input, "a") + number(&input, "b"));
}

/// Finds a number by its name; good enough for a flat object.
fn number(input: &str, name: &str) -> f64 {
    let Some((_, rest)) = input.split_once(&format!("\"{name}\"")) else {
        fail(&format!("{name} is missing"))
    };
    let rest = rest.trim_start().trim_start_matches(':').trim_start();
    let value = rest.split([',', '}', ' ', '\n']).next().unwrap_or_default();
    value.parse().unwrap_or_else(|_| fail(&format!("{name} must be a number, not {value}")))
}

/// What is on the standard error is the error's message.
fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}
