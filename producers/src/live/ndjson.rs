//! Replay: past events in one order, the same every time, a line of JSON each. What is read follows what the client takes;
//! nothing is buffered beyond a few lines. A replay that breaks off breaks the connection: half of it never looks whole.

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Uri, header},
    response::IntoResponse,
};
use factfold_projections::log_reader::{
    Bound, Filter, Lane, LogError, Record, bound::listed, envelope, merge::Next,
};
use factfold_schemas::topics::Topic;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::unreadable;
use crate::{answers, gateway::Gateway, problems::Answer};

/// The media type.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// How many pieces may be on their way.
const AHEAD: usize = 4;
/// How long a piece is, about.
const PIECE_BYTES: usize = 32 * 1024;

/// Replays a range. The link to the next one begins where this ends.
pub(crate) async fn response(
    gateway: &Gateway,
    topic: Topic,
    (from, to): (Bound, Bound),
    filter: Filter,
    uri: &Uri,
) -> Answer {
    let seat = gateway.live.scan()?;
    let lanes = gateway.events.range(topic, from, to).await.map_err(unreadable)?;
    let end = listed(lanes.iter().map(Lane::end_position));
    let (sender, receiver) = mpsc::channel(AHEAD);
    let is_whole = Arc::new(AtomicBool::new(false));
    let (gateway, whole) = (gateway.clone(), is_whole.clone());
    tokio::spawn(async move {
        let replayed = tokio::select! {
            replayed = replay(&gateway, lanes, filter, sender) => replayed,
            () = gateway.stops() => Ok(false),
        };
        match replayed {
            Ok(is_whole) => whole.store(is_whole, Ordering::Release),
            Err(error) => tracing::warn!(%error, "a replay broke off"),
        }
        drop(seat);
    });
    let broken = tokio_stream::once(()).filter_map(move |()| {
        let broken = || Err(io::Error::other("the replay broke off"));
        (!is_whole.load(Ordering::Acquire)).then(broken)
    });
    let pieces = ReceiverStream::new(receiver).map(Ok).chain(broken);
    let mut response = ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(pieces)).into_response();
    answers::set(&mut response, header::LINK, &format!("<{}?from={end}>; rel=\"next\"", uri.path()));
    Ok(response)
}

/// Whether the client has got all of it.
async fn replay(
    gateway: &Gateway,
    lanes: Vec<Lane>,
    filter: Filter,
    sender: mpsc::Sender<Vec<u8>>,
) -> Result<bool, LogError> {
    let patience = gateway.settings.reader_patience;
    let writer = Writer { sender, piece: Vec::with_capacity(PIECE_BYTES), patience, is_heard: true };
    let runtime = Handle::current();
    let each = move |writer: &mut Writer, record: Record<'_>| {
        if filter.lets_through(&record) {
            envelope::write(&record, &mut writer.piece);
        }
        if writer.piece.len() >= PIECE_BYTES {
            runtime.block_on(writer.flush());
        }
        if writer.is_heard { Next::Go } else { Next::Enough }
    };
    let mut writer = gateway.events.replay(lanes, writer, each).await?;
    writer.flush().await;
    Ok(writer.is_heard)
}

struct Writer {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    patience: Duration,
    is_heard: bool,
}

impl Writer {
    async fn flush(&mut self) {
        let piece = mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let sent = timeout(self.patience, self.sender.send(piece)).await;
        self.is_heard &= sent.is_ok_and(|sent| sent.is_ok());
    }
}
