//! The read model `functions`: which functions there are and what answers their calls; with every revision that ever was in
//! `function_revisions`.

mod fold;
mod query;
mod store;

pub(crate) use fold::write;
pub use query::FunctionFilter;
pub(crate) use query::{find, list};

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
