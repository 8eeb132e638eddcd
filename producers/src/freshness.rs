//! How fresh a read is: at least as fresh as the positions that it names, else as the caller's own last writes.

use factfold_projections::{Error, Placed, Projection, WaitError};
use factfold_schemas::{ids::StreamId, position::Position};

use tokio::time::Instant;

use crate::{
    gateway::Gateway,
    problems::Problem,
    reading::read::Read,
    settings::{AT_LEAST_TIME, OWN_WRITES_TIME},
};

impl Gateway {
    /// Waits until the read model has come as far as this read demands. `stream` is what the read is about, where that
    /// is one thing: other writes of the caller need not be waited for.
    pub(crate) async fn freshen(
        &self,
        read: &Read,
        projection: Projection,
        stream: Option<&StreamId>,
    ) -> Result<(), Problem> {
        if !read.at_least.is_empty() {
            let placed = stream.map_or(Placed::Unknown, Placed::OfStream);
            let deadline = read.deadline.min(Instant::now() + AT_LEAST_TIME);
            return self.reach(projection, &read.at_least, placed, deadline).await;
        }
        let Some(caller) = read.caller() else { return Ok(()) };
        let mut own = self.own_writes.of(caller.user);
        own.retain(|position| {
            let here = stream.is_none_or(|stream| {
                self.writer.place(position.topic.service, stream).partition == position.partition
            });
            here && projection.is_fed_by(position.topic.service)
        });
        self.include(projection, &own, read.deadline.min(Instant::now() + OWN_WRITES_TIME)).await
    }

    /// What the client demands: all of it, or a problem.
    async fn reach(
        &self,
        projection: Projection,
        positions: &[Position],
        placed: Placed<'_>,
        deadline: Instant,
    ) -> Result<(), Problem> {
        let _slot = self.slot()?;
        for &position in positions {
            match self.reads.wait_for(projection, position, placed, deadline).await {
                Ok(()) => {}
                Err(error @ WaitError::UnknownPosition { .. }) => {
                    return Err(Problem::new("invalid-position", error.to_string()));
                }
                Err(error @ WaitError::Behind { .. }) => {
                    return Err(Problem::new("read-behind", error.to_string()).retry_after(1));
                }
                Err(WaitError::Failed(error)) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// What is only a courtesy: as much of it as comes in time.
    pub(crate) async fn include(
        &self,
        projection: Projection,
        positions: &[Position],
        deadline: Instant,
    ) -> Result<(), Problem> {
        if positions.is_empty() {
            return Ok(());
        }
        let _slot = self.slot()?;
        for &position in positions {
            match self.reads.wait_for(projection, position, Placed::ByTheGateway, deadline).await {
                Ok(()) => {}
                Err(WaitError::Failed(error)) => return Err(failed(error)),
                Err(error) => {
                    tracing::debug!(%error, %position, "a read does not include the caller's last write")
                }
            }
        }
        Ok(())
    }
}

/// What the client is told when the read side fails.
pub(crate) fn failed(error: Error) -> Problem {
    if error.is_unavailable() {
        tracing::warn!(%error, "the read side is away");
        Problem::new("read-side-unavailable", "the read models cannot be asked now").retry_after(1)
    } else {
        tracing::error!(%error, "the read side failed");
        Problem::new("internal-error", "the read models could not answer")
    }
}
