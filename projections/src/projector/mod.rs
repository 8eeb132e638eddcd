//! The projector: reads events from Kafka, folds them, writes rows to Postgres. One thread for each build of a read model, so
//! that none waits for another, and one that stopped stops alone.
//!
//! The promise (DESIGN, section 6): every record is folded exactly once, whatever dies or comes twice. Rows and
//! checkpoint move in one Postgres transaction; the checkpoint moves by compare-and-set; what Kafka is asked for comes
//! out of the checkpoint, never from a consumer group. So a projector can be killed at any moment, and two that run at
//! once do no harm.
//!
//! [`crew`] sees to it that every build has its session. [`session`] is the loop, [`catching_up`] the quicker one while much is to
//! be folded, [`comparing`] what comes before the switch,
//! [`pace`] who goes first; [`source`] is the way records come in, [`batch`] what is folded at once, [`history`] what is
//! checked of each record, [`checkpoint`] how far it has come; [`floor`] and [`copying`] are what the bench
//! compares all of it with.

mod batch;
pub(crate) mod catching_up;
pub(crate) mod checkpoint;
mod comparing;
mod copying;
mod crew;
mod floor;
mod history;
pub(crate) mod pace;
pub mod points;
mod record;
mod retry;
pub(crate) mod session;
mod source;
mod stop;

pub use copying::copy;
pub use floor::{Floor, Wrote};
#[cfg(test)]
pub(crate) use record::fixtures;
pub(crate) use record::{Entry, Record};
pub(crate) use stop::Stop;

use factfold_schemas::kafka::Cluster;

use self::crew::Crew;
use crate::Error;

/// Keeps all read models up to date.
#[derive(Debug)]
pub struct Projector;

impl Projector {
    /// Folds until `shutdown` is ready; then every batch that was begun is finished, and this returns.
    ///
    /// What is away (Kafka, Postgres) is waited for. A read model whose log contradicts what was folded stops, is logged
    /// and noted in the catalogue, and the others go on; its error is returned in the end, and at once when none is left.
    pub async fn run(
        cluster: &Cluster,
        database_url: &str,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        Crew::new(cluster, database_url).work(shutdown).await
    }
}
