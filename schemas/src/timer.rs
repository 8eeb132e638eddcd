//! Timers: commands that wait for their time on `<service>.timers`. The topic is compacted: what lies there under a key that
//! has no tombstone still waits. A worker writes it in the transaction in which it puts the command off; the timers' keeper
//! publishes it, and writes the tombstone, in another.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    cloudevents::{Headers, Outgoing},
    command::Header,
    ids::StreamId,
    position::Position,
    topics::Service,
};

/// The key of a timer: `2026-11-23T10:15:00Z/orders.commands/3@1042`. A record is put off once, so no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// When the command is to be decided.
    pub due: Timestamp,
    /// The record that was put off. The copy goes to the same partition.
    pub scheduled: Position,
}

impl Timer {
    /// The record of the timer: the command as it will be published, under the timer's key. Nobody waits so long for its
    /// answer.
    pub fn record(
        self,
        header: Header,
        service: Service,
        stream: &StreamId,
        type_name: &str,
        value: Vec<u8>,
    ) -> Outgoing {
        let stored = header.forwarded_from.unwrap_or(self.scheduled);
        let copy = Header {
            forwarded_from: Some(stored),
            scheduled_from: Some(self.scheduled),
            reply_to: None,
            ..header
        };
        Outgoing { key: Some(self.to_string().into()), ..copy.record(service, stream, type_name, value) }
    }

    /// What takes the timer away.
    pub fn tombstone(self) -> Outgoing {
        Outgoing { key: Some(self.to_string().into()), value: None, headers: Headers::default() }
    }
}

/// The command that a timer's record holds. `None` where there is no stream to send it to: that is no timer's record.
pub fn published(headers: Headers, value: Vec<u8>) -> Option<Outgoing> {
    let stream = headers.iter().find(|(name, _)| *name == "ce_subject").map(|(_, stream)| stream.to_vec())?;
    Some(Outgoing { key: Some(stream), value: Some(value), headers })
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.due, self.scheduled)
    }
}

/// A text that is no timer's key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no timer: expected <time>/<position>, as in 2026-11-23T10:15:00Z/orders.commands/3@1042")]
pub struct NoTimer(String);

impl FromStr for Timer {
    type Err = NoTimer;
    fn from_str(text: &str) -> Result<Self, NoTimer> {
        let parse = || {
            let (due, scheduled) = text.split_once('/')?;
            Some(Self { due: due.parse().ok()?, scheduled: scheduled.parse().ok()? })
        };
        parse().ok_or_else(|| NoTimer(text.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cloudevents::CloudEvent, command::ReplyTo, ids::OrderId};

    fn timer() -> Timer {
        let due = "2026-11-23T10:15:00.0005Z".parse().expect("a time");
        Timer { due, scheduled: Position::new(Service::Orders.commands(), 3, 1042) }
    }

    #[test]
    fn a_key_reads_back() {
        assert_eq!(timer().to_string(), "2026-11-23T10:15:00.0005Z/orders.commands/3@1042");
        assert_eq!(timer().to_string().parse::<Timer>().expect("a key"), timer());
        for wrong in
            ["", "soon/orders.commands/3@1042", "2026-11-23T10:15:00Z", "2026-11-23T10:15:00Z/3@1042"]
        {
            assert!(wrong.parse::<Timer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_published_is_the_command_and_names_its_first_position() {
        let (stream, at) = (OrderId::generate().stream(), Position::new(Service::Orders.commands(), 3, 1042));
        let header = Header {
            not_before: Some(timer().due),
            reply_to: Some(ReplyTo { partition: 1, gateway: "g".into() }),
            ..Header::new("id", "/clients/u")
        };
        let record = timer().record(header.clone(), Service::Orders, &stream, "ExpireOrder", b"{}".to_vec());
        assert_eq!(record.key, timer().tombstone().key);
        let copy = published(record.headers, record.value.expect("a value")).expect("a command");
        assert_eq!(copy.key.as_deref(), Some(stream.as_str().as_bytes()));
        let event = CloudEvent::read(&copy.incoming()).expect("an event");
        let expected =
            Header { forwarded_from: Some(at), scheduled_from: Some(at), reply_to: None, ..header };
        assert_eq!(Header::read(&event, at).expect("a header"), expected);
        assert!(published(Headers::default(), Vec::new()).is_none());
    }
}
