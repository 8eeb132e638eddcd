//! What is said about a person, and must be forgotten when that person asks for it. Whoever takes such a text in seals it
//! under a key of that person; when the key is destroyed, all of it is gone, wherever it was copied to.
//!
//! How it is sealed, and under which keys, is for the vault to know. Here is only what it looks like.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How every sealed text begins, with the number of its format.
pub const SEALED: &str = "sealed.v1.";
/// The longest personal text, in characters.
pub const PERSONAL_CHARS_MAX: usize = 320;
/// What is shown of a text whose key is destroyed.
pub const ERASED: &str = "[erased]";

/// A text about a person. In events it is always sealed; in a command it is plain until the gateway, or the worker that
/// decides it, has sealed it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal(Box<str>);

impl Personal {
    /// This text, as it is.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Whether nobody can read it without the key.
    pub fn is_sealed(&self) -> bool {
        self.0.starts_with(SEALED)
    }

    /// The text as it is, sealed or not.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It must not come into a log by accident.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_sealed() { "Personal(sealed)" } else { "Personal(plain)" })
    }
}

impl JsonSchema for Personal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Personal".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "x-personal": true })
    }
}
