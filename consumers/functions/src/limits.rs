//! How much a function may use. Must never hold a limit that is not enforced.

use serde::{Deserialize, Serialize};

/// How long a source text may be, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;
/// How long a WebAssembly file may be, in bytes.
pub const WASM_BYTES_MAX: usize = 32 << 20;

/// What one call may use.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(default)]
pub struct Limits {
    /// How long a call may take, in milliseconds, with its wait for an instance.
    pub time_ms: u32,
    /// How much memory its instance may have, in bytes. A runner needs some for itself: Python 40 MiB.
    pub memory_bytes: u64,
    /// How long its answer may be, in bytes.
    pub output_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time_ms: 1_000, memory_bytes: 256 << 20, output_bytes: 1 << 20 }
    }
}
