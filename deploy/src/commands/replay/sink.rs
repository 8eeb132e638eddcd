//! What becomes of the events that are read.

use std::io::{IsTerminal as _, stdout};

use anyhow::anyhow;
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop};

use super::{
    Args, Format, ndjson::Ndjson, ocel::Ocel, output::Output, parquet::Parquet, target::Target, topic,
};
use crate::failure::Failure;

/// A form, and a place to write it to.
pub(super) trait Sink {
    /// Takes the next event.
    fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()>;

    /// Makes what was written last, if it can be of use without the rest: all that lies before where the lanes are now. Says
    /// whether it is.
    fn settle(&mut self, lanes: &[Lane]) -> anyhow::Result<bool>;

    /// Ends it: the lanes are where they were to be.
    fn finish(self: Box<Self>, lanes: &[Lane]) -> Result<(), Failure>;
}

/// What was asked for, and where it begins.
pub(super) fn open(args: &Args, log: &Log, stop: &Stop) -> Result<(Box<dyn Sink>, Bound), Failure> {
    let file = match &args.into {
        Some(Target::Topic(to)) => {
            let (copy, from) = topic::open(to, args, log, stop)?;
            return Ok((Box::new(copy), from));
        }
        Some(Target::File(path)) => Some(path.as_path()),
        None => None,
    };
    let format = args.format.unwrap_or_else(|| Format::of_file(file));
    if format == Format::Parquet && file.is_none() && stdout().is_terminal() {
        let unreadable = "--format parquet: nobody can read that on a terminal; name a file with --into FILE";
        return Err(Failure::Usage(anyhow!(unreadable)));
    }
    let output = Output::open(file)?;
    let sink: Box<dyn Sink> = match format {
        Format::Ndjson => Box::new(Ndjson::new(output)),
        Format::Parquet => Box::new(Parquet::new(output)?),
        Format::Ocel => Box::new(Ocel::new(output, stop)?),
    };
    Ok((sink, args.from.clone()))
}
