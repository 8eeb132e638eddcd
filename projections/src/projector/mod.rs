//! The projector: reads events from Kafka, folds them, writes rows to Postgres. One thread for each read model, so that
//! none waits for another, and one that stopped stops alone.
//!
//! The promise (DESIGN, section 6): every record is folded exactly once, whatever dies or comes twice. Rows and
//! checkpoint move in one Postgres transaction; the checkpoint moves by compare-and-set; what Kafka is asked for comes
//! out of the checkpoint, never from a consumer group. So a projector can be killed at any moment, and two that run at
//! once do no harm.
//!
//! [`session`] is the loop, [`source`] the way records come in, [`batch`] what is folded at once, [`history`] what is
//! checked of each record, [`checkpoint`] how far it has come; [`floor`] is what the bench compares all of it with.

mod batch;
mod checkpoint;
mod floor;
mod history;
pub mod points;
mod record;
mod retry;
mod session;
mod source;
mod stop;

use factfold_schemas::kafka::Cluster;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

pub use floor::{Floor, Wrote};
#[cfg(test)]
pub(crate) use record::fixtures;
pub(crate) use record::{Entry, Record};
pub(crate) use stop::Stop;

use crate::{Error, Projection};

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
        // Dropped together with this future, so that no thread outlives it.
        let (stop, stopped) = watch::channel(());
        let mut sessions = JoinSet::new();
        for projection in Projection::ALL {
            let session = session::Session::new(projection, cluster, database_url, stopped.clone())?;
            let runtime = Handle::current();
            sessions.spawn_blocking(move || runtime.block_on(session.run()));
        }
        drop(stopped);

        let mut stop = Some(stop);
        let mut outcome = Ok(());
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown, if stop.is_some() => stop = None,
                ended = sessions.join_next() => match ended {
                    None => return outcome,
                    Some(ended) => outcome = outcome.and(ended.map_err(Error::from).flatten()),
                },
            }
        }
    }
}
