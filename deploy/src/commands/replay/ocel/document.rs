//! A JSON object whose fields are lists: an element a line.

use anyhow::Result;
use serde::Serialize;

use crate::{commands::replay::output::Output, failure::Failure};

/// A document on its way.
pub(super) struct Document {
    output: Output,
    /// The list has no element yet.
    is_new: bool,
}

impl Document {
    /// Begins with this list.
    pub(super) fn begin(mut output: Output, list: &str) -> Result<Self> {
        output.put(format!("{{\"{list}\":[").as_bytes())?;
        Ok(Self { output, is_new: true })
    }

    /// Appends an element.
    pub(super) fn write(&mut self, element: &impl Serialize) -> Result<()> {
        self.output.put(if self.is_new { b"\n" } else { b",\n" })?;
        self.is_new = false;
        self.output.put(&serde_json::to_vec(element)?)
    }

    /// Ends this list, and begins another.
    pub(super) fn next_list(&mut self, list: &str) -> Result<()> {
        self.is_new = true;
        self.output.put(format!("\n],\"{list}\":[").as_bytes())
    }

    /// Ends it all.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.output.put(b"\n]}\n")?;
        self.output.finish()
    }
}
