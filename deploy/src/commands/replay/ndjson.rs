//! CloudEvents in the JSON format, one line each.

use anyhow::Result;
use factfold_projections::log_reader::{Lane, Record, envelope};

use super::{output::Output, sink::Sink};
use crate::failure::Failure;

/// Lines on their way.
pub(super) struct Ndjson {
    output: Output,
    line: Vec<u8>,
}

impl Ndjson {
    /// Lines to this place.
    pub(super) fn new(output: Output) -> Self {
        Self { output, line: Vec::with_capacity(4096) }
    }
}

impl Sink for Ndjson {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.line.clear();
        envelope::write(record, &mut self.line);
        self.output.put(&self.line)
    }

    fn settle(&mut self, _: &[Lane]) -> Result<bool> {
        self.output.settle()
    }

    fn finish(self: Box<Self>, _: &[Lane]) -> Result<(), Failure> {
        self.output.finish()
    }
}
