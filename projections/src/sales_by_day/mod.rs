//! The read model `sales_by_day`: what was paid for, and what was given back, by day and goods. It is for analysts; nothing else asks
//! for it.

mod fold;
mod share;

pub(crate) use fold::write;

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
