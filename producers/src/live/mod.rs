//! Live events: each reader has a task that reads for it and a short channel to its connection. What does not fit in there is
//! not buffered: a reader that is slower than the events is cut off, is told why if there is still room for a word, and goes
//! on later from the last place that it got.
//!
//! A reader must never hold up another, nor outlive its access token.

pub(crate) mod ndjson;
pub(crate) mod opening;
mod reader;
pub(crate) mod sse;

use std::sync::Arc;

use factfold_projections::{
    events::{Join, Place, Scope},
    log_reader::{Filter, LogError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::reader::Reader;
use crate::{access::Caller, gateway::Gateway, problems::Problem, settings::Settings};

/// How many events may be on their way to a reader.
const AHEAD: usize = 16;

/// The places of those who read events.
pub(crate) struct Live {
    readers: Arc<Semaphore>,
    scans: Arc<Semaphore>,
}

/// A place among those who read.
pub(crate) type Seat = OwnedSemaphorePermit;

/// What is sent to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// An event as it is shown, and the place after it.
    Event { place: Place, event: Vec<u8> },
    /// Nothing that is wanted, up to this place.
    Quiet { place: Place },
    /// No more, and why.
    End(End),
}

/// Why a reader is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    TooSlow,
    TokenExpired,
    TokenRevoked,
    Stopping,
    LogUnavailable,
}

impl Live {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            readers: Arc::new(Semaphore::new(settings.readers_max)),
            scans: Arc::new(Semaphore::new(settings.scans_max)),
        }
    }

    /// A place to read live; refused when all are taken.
    pub(crate) fn reader(&self) -> Result<Seat, Problem> {
        seat(&self.readers, "too-many-readers", "as many as may already read live events here")
    }

    /// A place to read the past, with a consumer of its own; refused when all are taken.
    pub(crate) fn scan(&self) -> Result<Seat, Problem> {
        seat(&self.scans, "too-many-readers", "as many as may already read past events here")
    }
}

fn seat(seats: &Arc<Semaphore>, problem: &'static str, detail: &str) -> Result<Seat, Problem> {
    seats.clone().try_acquire_owned().map_err(|_| Problem::of_load(problem, detail))
}

/// Begins to read for this caller, from a place on; without one, from now on.
pub(crate) async fn follow(
    gateway: &Gateway,
    caller: &Caller,
    scope: Scope,
    filter: Filter,
    place: Option<Place>,
) -> Result<mpsc::Receiver<Fed>, Problem> {
    let seat = gateway.live.reader()?;
    let joined = gateway.events.join(&scope, place.as_ref()).await.map_err(unreadable)?;
    let scan = match joined {
        Join::Live(_) => None,
        Join::Behind(_) => Some(gateway.live.scan()?),
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reader = Reader { gateway: gateway.clone(), scope, filter, sender };
    let caller = caller.clone();
    tokio::spawn(async move {
        reader.run(joined, place, scan, &caller).await;
        drop(seat);
    });
    Ok(receiver)
}

/// What the client is told when events cannot be read.
pub(crate) fn unreadable(error: LogError) -> Problem {
    match error {
        LogError::NoSuchPlace(why) => Problem::new("invalid-position", why),
        error => {
            tracing::warn!(%error, "events cannot be read");
            Problem::new("log-unavailable", "the events cannot be read now").retry_after(1)
        }
    }
}
