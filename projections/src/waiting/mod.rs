//! Reads that are not older than what the caller has seen (DESIGN, section 7): whoever has the position of a command can
//! wait until a read model shows what became of it.
//!
//! [`progress`] is how far each read model has come, kept by [`listener`] from what the projectors say; [`log`] knows the
//! commands topics; [`wait`] puts them together. Nothing here polls the database: every wait is for a number that moves.

mod listener;
mod log;
mod progress;
mod wait;

pub(crate) use listener::{Listener, Partition, load};
pub(crate) use log::CommandLog;
pub(crate) use progress::Progress;
pub(crate) use wait::Waiting;
pub use wait::{Placed, WaitError};
