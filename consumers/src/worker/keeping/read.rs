//! Reading a record of the timers topic. What is none, somebody else wrote: it is said, and passed over, since it waits for
//! nothing.

use factfold_schemas::{
    cloudevents::{Headers, Incoming, Outgoing},
    position::Position,
    timer::{Timer, published},
};
use serde::{Deserialize, Serialize};

/// A command that waits, and its timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) timer: Timer,
    /// As it will be published.
    pub(super) command: Outgoing,
}

impl Held {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let Outgoing { key, value, headers } = &self.command;
        let lengths = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        size_of::<Self>() + lengths + [key, value].into_iter().flatten().map(Vec::len).sum::<usize>()
    }
}

/// What a record of the topic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A command waits.
    Set(Held),
    /// It waits no more.
    Gone(Timer),
}

/// Reads the record at this position.
pub(super) fn read(at: Position, record: &Incoming<'_>) -> Option<Change> {
    let change = try_read(at, record);
    if let Err(error) = &change {
        tracing::error!(kafka.position = %at, error, "this is no timer: it is passed over");
    }
    change.ok()
}

fn try_read(at: Position, record: &Incoming<'_>) -> Result<Change, String> {
    let key = std::str::from_utf8(record.key.unwrap_or_default()).map_err(|error| error.to_string())?;
    let timer: Timer = key.parse().map_err(|error: factfold_schemas::timer::NoTimer| error.to_string())?;
    let Position { topic, partition, .. } = timer.scheduled;
    if (topic, partition) != (at.topic.service.commands(), at.partition) {
        return Err(format!("it is of {}, whose timers are elsewhere", timer.scheduled));
    }
    let Some(value) = record.value else { return Ok(Change::Gone(timer)) };
    let headers: Headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), value)).collect();
    let command = published(headers, value.to_vec()).ok_or("it has no ce_subject to be published to")?;
    Ok(Change::Set(Held { timer, command }))
}
