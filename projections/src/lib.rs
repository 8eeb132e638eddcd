//! The read side: projectors fold events into Postgres read models, and people query those.
//!
//! Start with [`Projection`], the list of read models; each has a folder with its tables (`tables.sql`), its fold (pure,
//! then written in a handful of statements) and its queries. [`Projector`] is the loop that keeps them up to date,
//! [`ReadSide`] answers questions, and `waiting` makes sure that an answer is not older than what the caller has seen.
//! [`migrate()`] makes the tables. [`log_reader`] reads the events themselves, for whoever wants to see them as they are, and
//! [`events`] shows them to many at once. [`verify`], [`auditing`] and [`past()`] are for whoever wants to know whether it is true, and
//! what was.
//!
//! This is the only crate with SQL. It decides nothing and writes to no topic: everything here can be thrown away and
//! folded again.

pub mod auditing;
mod build;
mod catalogue;
mod command_outcomes;
mod error;
pub mod events;
mod functions;
mod goods;
pub mod log_reader;
mod migrate;
mod moved;
mod order_timeline;
mod orders;
mod page;
mod past;
mod postgres;
mod projection;
mod projector;
mod read_side;
mod sales_by_day;
mod table;
mod tickets;
mod users;
mod verifying;
mod waiting;

pub use build::Build;
pub use catalogue::{BuildError, Catalogue, Entry as BuildEntry, OF_NOBODY};
pub use command_outcomes::CommandOutcome;
pub use error::{Contradiction, Error, Violation};
pub use functions::FunctionFilter;
pub use goods::GoodsFilter;
pub use migrate::{discard, migrate};
pub use order_timeline::TimelineEntry;
pub use orders::OrderFilter;
pub use page::{Cursor, InvalidCursor, InvalidLimit, NameCursor, Page, PageRequest};
pub use past::{At, InvalidAt, Past, PastError, past};
pub use projection::Projection;
pub use projector::{Floor, Projector, Wrote, copy, points};
pub use read_side::{PartitionProgress, ProjectionProgress, ReadSide};
pub use users::{Credentials, UserFilter, UserRow};
pub use verifying::{Comparison, Difference, Found, Verified, verify};
pub use waiting::{Placed, WaitError};
