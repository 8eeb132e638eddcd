//! What becomes of the events that are read.

use std::io::{IsTerminal as _, stdout};

use anyhow::anyhow;
use factfold_projections::log_reader::{Record, Stop};

use super::{Args, Format, ndjson::Ndjson, ocel::Ocel, output::Output, parquet::Parquet};
use crate::failure::Failure;

/// A form, and a place to write it to.
pub(super) trait Sink {
    /// Takes the next event.
    fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()>;

    /// Makes what was written last, if it can be of use without the rest. Says whether it is.
    fn settle(&mut self) -> anyhow::Result<bool>;

    /// Writes what stands at the end.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// What was asked for.
pub(super) fn open(args: &Args, stop: &Stop) -> Result<Box<dyn Sink>, Failure> {
    if args.format == Format::Parquet && args.into.is_none() && stdout().is_terminal() {
        let unreadable = "--format parquet: nobody can read that on a terminal; name a file with --into FILE";
        return Err(Failure::Usage(anyhow!(unreadable)));
    }
    let output = Output::open(args.into.as_ref())?;
    Ok(match args.format {
        Format::Ndjson => Box::new(Ndjson::new(output)),
        Format::Parquet => Box::new(Parquet::new(output)?),
        Format::Ocel => Box::new(Ocel::new(output, stop)?),
    })
}
