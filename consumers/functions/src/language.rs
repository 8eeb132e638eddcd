//! The languages of functions, and how to tell them apart. Must never look further into the code than its header.

use std::{ffi::OsStr, fmt, path::Path};

use serde::{Deserialize, Serialize};

/// What a core WebAssembly module starts with: the magic number, and version 1.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// What a component starts with: the same magic number, version 13, layer 1.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// How a function's code is written. The names are stored: they only ever grow.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// A module with `export default function (input, context)`.
    Javascript,
    /// The same, with types, which are taken out.
    Typescript,
    /// A module with `def handle(input, context)`.
    Python,
    /// A WebAssembly component of the world in `wit/world.wit`.
    Component,
    /// A WASI preview 1 command: the input on its standard input, the answer on its standard output, both JSON, and the context in
    /// the environment variable `FACTFOLD_CONTEXT`.
    Command,
}

impl Language {
    /// The language of a file, by its name's ending; for WebAssembly by its header as well.
    pub fn of(path: &Path, bytes: &[u8]) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str)? {
            "js" | "mjs" => Some(Self::Javascript),
            "ts" | "mts" => Some(Self::Typescript),
            "py" => Some(Self::Python),
            "wasm" if bytes.starts_with(CORE_MODULE) => Some(Self::Command),
            "wasm" if bytes.starts_with(COMPONENT) => Some(Self::Component),
            _ => None,
        }
    }

    /// Whether the code is a text, rather than WebAssembly.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Javascript | Self::Typescript | Self::Python)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Javascript => "JavaScript",
            Self::Typescript => "TypeScript",
            Self::Python => "Python",
            Self::Component => "component",
            Self::Command => "command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_language() {
        let of = |path: &str, bytes: &[u8]| Language::of(Path::new(path), bytes);
        assert_eq!(of("a/add.js", b""), Some(Language::Javascript));
        assert_eq!(of("add.mjs", b""), Some(Language::Javascript));
        assert_eq!(of("add.ts", b""), Some(Language::Typescript));
        assert_eq!(of("add.py", b""), Some(Language::Python));
        assert_eq!(of("add.wasm", CORE_MODULE), Some(Language::Command));
        assert_eq!(of("add.wasm", COMPONENT), Some(Language::Component));
        assert_eq!(of("add.wasm", b"MZ"), None);
        assert_eq!(of("add.rb", b""), None);
        assert_eq!(of("add", b""), None);
    }
}
