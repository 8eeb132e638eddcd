//! The sandbox from outside, with the real runners: `deploy/runners` builds them.

mod add;
mod hostile;
mod kept;
mod loading;
mod speed;
mod support;
mod wasm;
