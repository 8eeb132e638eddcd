//! The read model `orders`: who bought what, and whether it was paid; with the lines of each order in `order_lines`.

mod fold;
mod query;
mod store;

pub(crate) use fold::write;
pub use query::OrderFilter;
pub(crate) use query::{find, list};

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
/// Makes their indexes.
pub(crate) const INDEXES: &str = include_str!("indexes.sql");
