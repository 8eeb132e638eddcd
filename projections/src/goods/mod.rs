//! The read model `goods`: what is sold, at what price, and how much of it is left.

mod fold;
mod query;

pub(crate) use fold::{Rows, apply, store, write};
pub use query::GoodsFilter;
pub(crate) use query::{find, list};

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
/// Makes their indexes.
pub(crate) const INDEXES: &str = include_str!("indexes.sql");
