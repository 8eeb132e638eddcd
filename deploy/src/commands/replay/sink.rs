//! What becomes of the events that are read.

use factfold_projections::log_reader::Record;

use super::{Args, Format, ndjson::Ndjson, output::Output};
use crate::failure::Failure;

/// A form, and a place to write it to.
pub(super) trait Sink {
    /// Takes the next event.
    fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()>;

    /// Makes what was written last, if it can be of use without the rest. Says whether it is.
    fn settle(&mut self) -> anyhow::Result<bool>;

    /// Writes what stands at the end.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// What was asked for.
pub(super) fn open(args: &Args) -> Result<Box<dyn Sink>, Failure> {
    let output = Output::open(args.into.as_ref())?;
    Ok(match args.format {
        Format::Ndjson => Box::new(Ndjson::new(output)),
    })
}
