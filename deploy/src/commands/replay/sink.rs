//! What becomes of the events that are read.

use std::io::{IsTerminal as _, stdout};

use anyhow::anyhow;
use factfold_projections::log_reader::{Bound, Lane, Log, Record, Stop};

use super::{Args, Format, ocel::Ocel, output::Output, parquet::Parquet, target::Target, topic};
use crate::failure::Failure;

/// How events leave.
pub(super) enum Way {
    /// As CloudEvents in the JSON format, one line each: all cores write them.
    Lines(Output),
    /// One after the other.
    Records(Box<dyn Sink>),
}

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

impl Way {
    /// The same as that of a sink.
    pub(super) fn settle(&mut self, lanes: &[Lane]) -> anyhow::Result<bool> {
        match self {
            Self::Lines(output) => output.settle(),
            Self::Records(sink) => sink.settle(lanes),
        }
    }

    /// The same as that of a sink.
    pub(super) fn finish(self, lanes: &[Lane]) -> Result<(), Failure> {
        match self {
            Self::Lines(output) => output.finish(),
            Self::Records(sink) => sink.finish(lanes),
        }
    }
}

/// What was asked for, and where it begins.
pub(super) fn open(args: &Args, log: &Log, stop: &Stop) -> Result<(Way, Bound), Failure> {
    let file = match &args.into {
        Some(Target::Topic(to)) => {
            let (copy, from) = topic::open(to, args, log, stop)?;
            return Ok((Way::Records(Box::new(copy)), from));
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
    let way = match format {
        Format::Ndjson => Way::Lines(output),
        Format::Parquet => Way::Records(Box::new(Parquet::new(output)?)),
        Format::Ocel => Way::Records(Box::new(Ocel::new(output, stop)?)),
    };
    Ok((way, args.from.clone()))
}
