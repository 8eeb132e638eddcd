//! Reading on behalf of somebody: first what is past, then what is new, until there is a reason to let go.

use std::time::Duration;

use factfold_projections::{
    events::{Cursor, Join, Place, Scope},
    log_reader::{Filter, Record, envelope, merge::Next},
};
use rdkafka::Message;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{End, Fed, Seat};
use crate::{access::Caller, gateway::Gateway};

/// How long there may be no room for the last word.
const LAST_WORD: Duration = Duration::from_secs(1);

pub(super) struct Reader {
    pub(super) gateway: Gateway,
    pub(super) scope: Scope,
    pub(super) filter: Filter,
    pub(super) sender: mpsc::Sender<Fed>,
}

/// Sends to a reader, who must not take too long, and notes when.
#[derive(Clone)]
struct Mouth {
    sender: mpsc::Sender<Fed>,
    patience: Duration,
    heartbeat: Duration,
    next_beat: Instant,
}

impl Reader {
    /// Reads until there is a reason to end, and says which, if anybody still listens.
    pub(super) async fn run(self, joined: Join, place: Option<Place>, scan: Option<Seat>, caller: &Caller) {
        let sender = self.sender.clone();
        let end = tokio::select! {
            biased;
            () = sender.closed() => return,
            () = self.gateway.stops() => End::Stopping,
            () = tokio::time::sleep(caller.expires_in()) => End::TokenExpired,
            () = self.gateway.access.revoked(caller) => End::TokenRevoked,
            end = self.read(joined, place, scan) => end,
        };
        // Whoever does not listen any more needs no last word.
        let _ = timeout(LAST_WORD, sender.send(Fed::End(end))).await;
    }

    async fn read(&self, joined: Join, place: Option<Place>, scan: Option<Seat>) -> End {
        let mut mouth = Mouth::new(&self.gateway, self.sender.clone());
        match self.catch_up(&mut mouth, joined, place, scan).await {
            Err(end) => end,
            Ok(cursor) => match self.go_on(&mut mouth, cursor).await {
                Err(end) => end,
                Ok(never) => match never {},
            },
        }
    }

    /// Reads what is past, until the ring has the rest.
    async fn catch_up(
        &self,
        mouth: &mut Mouth,
        mut joined: Join,
        mut place: Option<Place>,
        scan: Option<Seat>,
    ) -> Result<Cursor, End> {
        loop {
            let (to, from) = match (joined, place) {
                (Join::Live(cursor), _) => {
                    drop(scan);
                    return Ok(cursor);
                }
                (Join::Behind(to), from) => (to.clone(), from.unwrap_or(to)),
            };
            let (mut past, filter, runtime) = (mouth.clone(), self.filter.clone(), Handle::current());
            let each = move |record: Record<'_>, place| {
                let said = runtime.block_on(past.show(&filter, &record, &place));
                if said.is_ok() { Next::Go } else { Next::Enough }
            };
            let reached = self.gateway.events.read_between(&self.scope, &from, &to, each).await;
            let reached = reached.map_err(|error| {
                tracing::warn!(%error, "a reader of events cannot be served");
                End::LogUnavailable
            })?;
            if !reached.covers(&to) {
                return Err(End::TooSlow);
            }
            let again = self.gateway.events.join(&self.scope, Some(&reached)).await;
            joined = again.map_err(|_| End::LogUnavailable)?;
            place = Some(reached);
        }
    }

    async fn go_on(&self, mouth: &mut Mouth, mut cursor: Cursor) -> Result<std::convert::Infallible, End> {
        // So that whoever saw nothing yet can come back to here.
        mouth.say(Fed::Quiet { place: cursor.place().clone() }).await?;
        loop {
            match timeout_at(mouth.next_beat, cursor.next()).await {
                Ok(Ok(kept)) => mouth.show(&self.filter, &kept.record(), cursor.place()).await?,
                Ok(Err(_passed)) => return Err(End::TooSlow),
                Err(_elapsed) => mouth.say(Fed::Quiet { place: cursor.place().clone() }).await?,
            }
        }
    }
}

impl Mouth {
    fn new(gateway: &Gateway, sender: mpsc::Sender<Fed>) -> Self {
        let (patience, heartbeat) = (gateway.settings.reader_patience, gateway.settings.heartbeat);
        Self { sender, patience, heartbeat, next_beat: Instant::now() + heartbeat }
    }

    /// Shows a record that is wanted. Where for long none is, says at least how far it was read.
    async fn show<M: Message>(
        &mut self,
        filter: &Filter,
        record: &Record<'_, M>,
        place: &Place,
    ) -> Result<(), End> {
        if filter.lets_through(record) {
            let mut event = Vec::new();
            envelope::write(record, &mut event);
            return self.say(Fed::Event { place: place.clone(), event }).await;
        }
        if Instant::now() < self.next_beat {
            return Ok(());
        }
        self.say(Fed::Quiet { place: place.clone() }).await
    }

    async fn say(&mut self, fed: Fed) -> Result<(), End> {
        let said = timeout(self.patience, self.sender.send(fed)).await;
        self.next_beat = Instant::now() + self.heartbeat;
        // When nobody listens any more the reader's end is noticed beside this.
        said.is_ok_and(|sent| sent.is_ok()).then_some(()).ok_or(End::TooSlow)
    }
}
