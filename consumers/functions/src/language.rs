//! The languages of functions.

use std::fmt;

/// How a function's code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
