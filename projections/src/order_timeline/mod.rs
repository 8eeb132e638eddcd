//! The read model `order_timeline`: what happened to an order, when, why and on whose behalf; one row for each event.

mod fold;
mod query;

pub(crate) use fold::write;
pub use query::TimelineEntry;
pub(crate) use query::of_order;

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
