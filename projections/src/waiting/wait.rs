//! The wait itself: from the position of a command to "the read model shows what became of it".
//!
//! How far a read model has come is one number for each partition: the highest decided position among the events that it
//! has folded. Commands that gave no events move no such number; `command_outcomes` knows of them, and what must have
//! been seen before. A command that was misplaced is decided elsewhere, as a copy, which `command_outcomes` knows too.

use std::sync::Arc;

use factfold_schemas::{
    ids::{OrderId, StreamId, UserId},
    orders::{Order, Status},
    partitioner::partition_of,
    position::Position,
    topics::{Service, TopicKind},
    users::Status as UserStatus,
};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{CommandLog, Progress, log::Lies};
use crate::{
    Error, Projection,
    command_outcomes::{self, Trace, TraceKind},
    orders,
    users::{self, UserRow},
};

/// How long looking at the log's end may hold up an answer that is late already.
const LAST_LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// What the caller knows of where a command lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed<'a> {
    /// The gateway stored it: it lies where its key belongs.
    ByTheGateway,
    /// The read is about this stream alone: of the commands that it can show, those lie where this key belongs.
    OfStream(&'a StreamId),
    /// Some client stored it somewhere: the record's key tells.
    Unknown,
}

/// Why a read model does not show a command.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It had not come so far when time ran out.
    #[error("{projection} has not come to {position} yet: it is at {}", .reached.map_or_else(|| "the beginning".to_owned(), |p| p.to_string()))]
    Behind {
        /// The read model.
        projection: Projection,
        /// What was waited for.
        position: Position,
        /// How far it has come in that partition.
        reached: Option<Position>,
    },
    /// There is no command at this position, and there cannot have been when it was given out.
    #[error("{position} is not the position of a command: {why}")]
    UnknownPosition {
        /// What was waited for.
        position: Position,
        /// Why it cannot be.
        why: String,
    },
    /// The answer could not be found out.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for WaitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What waits need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) pool: PgPool,
    pub(crate) progress: Arc<Progress>,
    pub(crate) log: CommandLog,
}

impl Waiting {
    /// Waits until this read model shows what became of the command at this position.
    pub(crate) async fn wait_for(
        &self,
        projection: Projection,
        position: Position,
        placed: Placed<'_>,
        deadline: Instant,
    ) -> Result<(), WaitError> {
        match timeout_at(deadline, self.follow(projection, position, placed)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.why_not_reached(projection, position).await),
        }
    }

    async fn follow(
        &self,
        projection: Projection,
        position: Position,
        placed: Placed<'_>,
    ) -> Result<(), WaitError> {
        let partitions = self.check_place(position).await?;
        // What this service's commands did cannot show there. (What they made other services do is a command of those.)
        if !projection.is_fed_by(position.topic.service) {
            return Ok(());
        }
        let is_at_home = match placed {
            Placed::ByTheGateway => true,
            Placed::OfStream(stream)
                if partition_of(stream.as_str().as_bytes(), partitions) == position.partition =>
            {
                true
            }
            Placed::OfStream(_) | Placed::Unknown => match self.log.lies(position, partitions).await? {
                Lies::AtHome => true,
                Lies::Astray | Lies::Gone => false,
                Lies::Beyond => return Err(beyond_the_end(position)),
            },
        };
        if projection == Projection::CommandOutcomes || !is_at_home {
            self.until_trace_is_shown(projection, position).await
        } else {
            self.until_shown(projection, position).await
        }
    }

    /// Gives the number of partitions, if the position can be one of a command.
    async fn check_place(&self, position: Position) -> Result<i32, WaitError> {
        let unknown = |why: String| WaitError::UnknownPosition { position, why };
        let service = position.topic.service;
        if position.topic.kind != TopicKind::Commands {
            return Err(unknown(format!("commands of this service are on {}", service.commands())));
        }
        match self.log.partitions(service).await? {
            None => Err(unknown("there is no such topic".to_owned())),
            Some(partitions) if position.partition >= partitions => {
                Err(unknown(format!("the topic has {partitions} partitions")))
            }
            Some(partitions) => Ok(partitions),
        }
    }

    /// A command that lies where it belongs: until its events are folded, or its outcome and what came before that.
    async fn until_shown(&self, projection: Projection, position: Position) -> Result<(), WaitError> {
        let mut shown = self.events(projection, position);
        let mut outcomes = self.outcomes(position);
        tokio::select! {
            biased;
            () = reaches(&mut shown, position.offset) => return Ok(()),
            () = reaches(&mut outcomes, position.offset) => {}
        }
        // Outcomes are folded beyond it, so if it gave no events, that is known.
        let goal = match command_outcomes::trace_at(&self.pool, position).await? {
            Some(Trace { kind: TraceKind::Outcome { after }, .. }) => after,
            _ => Some(position),
        };
        if let Some(goal) = goal {
            reaches(&mut shown, goal.offset).await;
        }
        Ok(())
    }

    /// A command of which only its trace tells where it was decided.
    async fn until_trace_is_shown(
        &self,
        projection: Projection,
        position: Position,
    ) -> Result<(), WaitError> {
        let mut trace = self.trace(position).await?;
        if let Some(Trace { kind: TraceKind::Forwarded { to }, .. }) = trace {
            trace = Some(self.trace_of_copy(position, to).await?);
        }
        let goal = match trace {
            // The log has gone past it, and nothing was decided there: a marker, say.
            None => None,
            Some(Trace { kind: TraceKind::Outcome { after }, .. }) => after,
            Some(Trace { decided, .. }) => Some(decided),
        };
        match goal {
            // The trace is what this read model shows.
            Some(goal) if projection != Projection::CommandOutcomes => {
                reaches(&mut self.events(projection, goal), goal.offset).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// The trace of the record at this position, once it is folded: it is among the events or among the outcomes, and
    /// the read model may have come farther in the one than in the other.
    async fn trace(&self, position: Position) -> Result<Option<Trace>, WaitError> {
        let mut events = self.events(Projection::CommandOutcomes, position);
        let mut outcomes = self.outcomes(position);
        let mut other = tokio::select! {
            () = reaches(&mut events, position.offset) => outcomes,
            () = reaches(&mut outcomes, position.offset) => events,
        };
        if let Some(trace) = command_outcomes::trace_at(&self.pool, position).await? {
            return Ok(Some(trace));
        }
        reaches(&mut other, position.offset).await;
        Ok(command_outcomes::trace_at(&self.pool, position).await?)
    }

    /// The trace of the copy of this command that was forwarded to partition `to`, at an offset that nobody knows before.
    async fn trace_of_copy(&self, position: Position, to: i32) -> Result<Trace, WaitError> {
        let there = Position { partition: to, ..position };
        let (mut events, mut outcomes) =
            (self.events(Projection::CommandOutcomes, there), self.outcomes(there));
        loop {
            events.mark_unchanged();
            outcomes.mark_unchanged();
            if let Some(trace) = command_outcomes::copy_of(&self.pool, position).await? {
                return Ok(trace);
            }
            tokio::select! {
                () = moves(&mut events) => {}
                () = moves(&mut outcomes) => {}
            }
        }
    }

    /// Waits until the order is in this status, beyond it or in a final one; gives what it is then, or when time ran out.
    pub(crate) async fn wait_for_status(
        &self,
        id: OrderId,
        until: Status,
        deadline: Instant,
    ) -> Result<Option<Order>, Error> {
        let look = || orders::find(&self.pool, id);
        let is_so = |order: &Order| has_come_to(order.status, until);
        self.look_until((Projection::Orders, Service::Orders), &id.stream(), deadline, look, is_so).await
    }

    /// Waits until this registration has come to an end; gives what it is then, or when time ran out.
    pub(crate) async fn wait_for_registration(
        &self,
        id: UserId,
        deadline: Instant,
    ) -> Result<Option<UserRow>, Error> {
        let look = || users::find(&self.pool, id);
        let is_so = |row: &UserRow| row.user.status != UserStatus::Registering;
        self.look_until((Projection::Users, Service::Users), &id.stream(), deadline, look, is_so).await
    }

    /// Looks again whenever this read model has moved in the stream's partition, until it is so or time ran out.
    async fn look_until<T, F: Future<Output = Result<Option<T>, sqlx::Error>>>(
        &self,
        (projection, service): (Projection, Service),
        stream: &StreamId,
        deadline: Instant,
        look: impl Fn() -> F,
        is_so: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Error> {
        let mut moved = None;
        loop {
            if let Some(moved) = &mut moved {
                watch::Receiver::mark_unchanged(moved);
            }
            let seen = look().await?;
            if Instant::now() >= deadline || seen.as_ref().is_some_and(&is_so) {
                return Ok(seen);
            }
            match &mut moved {
                // Looks once more after it began to watch, so that nothing falls between.
                None => {
                    let partitions = self.log.partitions(service).await?.unwrap_or(1);
                    let partition = partition_of(stream.as_str().as_bytes(), partitions);
                    moved = Some(self.progress.watch((projection, service.events(), partition)));
                }
                Some(moved) => drop(timeout_at(deadline, moves(moved)).await),
            }
        }
    }

    fn events(&self, projection: Projection, position: Position) -> watch::Receiver<i64> {
        self.progress.watch((projection, position.topic.service.events(), position.partition))
    }

    fn outcomes(&self, position: Position) -> watch::Receiver<i64> {
        let topic = position.topic.service.outcomes();
        self.progress.watch((Projection::CommandOutcomes, topic, position.partition))
    }

    async fn why_not_reached(&self, projection: Projection, position: Position) -> WaitError {
        if let Ok(Ok(end)) = timeout(LAST_LOOK, self.log.end(position)).await
            && position.offset >= end
        {
            return beyond_the_end(position);
        }
        let reached = *self.events(projection, position).borrow();
        let reached = (reached >= 0).then_some(Position { offset: reached, ..position });
        WaitError::Behind { projection, position, reached }
    }
}

fn beyond_the_end(position: Position) -> WaitError {
    WaitError::UnknownPosition { position, why: "it is beyond the end of the log".to_owned() }
}

/// Ready when the number is at least this. [`Progress`] outlives those who wait, so the number always has a sender.
async fn reaches(reached: &mut watch::Receiver<i64>, offset: i64) {
    if reached.wait_for(|reached| *reached >= offset).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ready when the number has changed since it was last marked.
async fn moves(reached: &mut watch::Receiver<i64>) {
    if reached.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether there is nothing to wait for any more: a paid order has been confirmed.
fn has_come_to(status: Status, until: Status) -> bool {
    let stage = |status| match status {
        Status::Created => 0,
        Status::Confirmed => 1,
        Status::Paid => 2,
        Status::Rejected | Status::Refunded | Status::Cancelled | Status::Expired => 3,
    };
    status == until || status.is_final() || stage(status) > stage(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_reached_by_passing_it() {
        assert!(has_come_to(Status::Confirmed, Status::Confirmed));
        assert!(has_come_to(Status::Paid, Status::Confirmed));
        assert!(has_come_to(Status::Rejected, Status::Confirmed));
        assert!(!has_come_to(Status::Created, Status::Confirmed));
        assert!(!has_come_to(Status::Paid, Status::Refunded));
        assert!(!has_come_to(Status::Confirmed, Status::Expired));
    }
}
