//! The read model `users`: who there is, what they may do, and how they prove who they are. Names and addresses stay sealed
//! here; whoever asks opens them.

mod fold;
mod query;

pub(crate) use fold::write;
pub use query::{Credentials, UserFilter, UserRow};
pub(crate) use query::{find, find_credentials, find_credentials_of, list};

/// Makes the tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
/// Makes their indexes.
pub(crate) const INDEXES: &str = include_str!("indexes.sql");
