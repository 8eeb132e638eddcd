//! The read model `command_outcomes`: what became of each command; one row for each trace.

mod fold;
mod query;
mod store;

pub(crate) use fold::{fold, write};
pub use query::CommandOutcome;
pub(crate) use query::{Trace, TraceKind, copy_of, find, trace_at};
pub(crate) use store::rows as store;

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
/// Makes their indexes.
pub(crate) const INDEXES: &str = include_str!("indexes.sql");
