//! Dying, freezing and failing where a test says. In no release: the feature `failpoints` must be on.
//!
//! - `KILLPOINT=<point>@<n>`: SIGKILL when this process passes the point for the n-th time, in whatever thread.
//! - `FREEZEPOINT=<point>@<n>`: SIGSTOP, all of the process, until somebody sends SIGCONT.
//! - `FAILPOINTS`: what else the `fail` crate can do, such as an error in the place of a step.

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::{Signal, raise};

/// Sets up what the environment says. It holds for as long as what is returned.
pub fn from_environment() -> Result<fail::FailScenario<'static>> {
    let scenario = fail::FailScenario::setup();
    for (variable, signal) in [("KILLPOINT", Signal::SIGKILL), ("FREEZEPOINT", Signal::SIGSTOP)] {
        if let Ok(value) = env::var(variable) {
            let (point, pass) = parse(&value).with_context(|| format!("{variable}={value}"))?;
            signal_at(point, pass, signal).map_err(|error| anyhow!("{variable}={value}: {error}"))?;
        }
    }
    Ok(scenario)
}

fn parse(value: &str) -> Result<(&str, usize)> {
    let (point, pass) = value.split_once('@').context("expected <point>@<n>")?;
    Ok((point, pass.parse().context("expected a number after @")?))
}

fn signal_at(point: &str, pass: usize, signal: Signal) -> Result<(), String> {
    let (passed, name) = (AtomicUsize::new(0), point.to_owned());
    fail::cfg_callback(point, move || {
        if passed.fetch_add(1, Ordering::Relaxed) + 1 == pass {
            // Not through `tracing`: tests look for it, and it must be out before the signal.
            eprintln!("{}", reached(&name, pass, signal));
            // Both of them act on the whole process.
            raise(signal).expect("a signal to oneself");
        }
    })
}

/// What a process says right before the signal.
pub fn reached(point: &str, pass: usize, signal: Signal) -> String {
    format!("{point}: passed for time {pass}, {signal}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_pass() {
        assert_eq!(parse("worker::before-commit@3").expect("a point"), ("worker::before-commit", 3));
        for wrong in ["worker::before-commit", "worker::before-commit@", "@x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
