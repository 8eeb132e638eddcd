//! `--until STATUS`: an order moves on by itself; its events say how far it has come.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use factfold_projections::log_reader::{Bound, Lane, Log, Stop, follow::Live, merge::Next};
use factfold_schemas::{
    ids::StreamId,
    orders::{Event, Status},
    partitioner::partition_of,
    record::Recorded,
    topics::Service,
};
use serde_json::{Value, json};

use crate::{blocking::interrupted, failure::Failure, output};

/// Waits for a status.
pub(super) struct Until {
    stream: StreamId,
    wanted: Status,
    lanes: Vec<Lane>,
}

impl Until {
    /// From now on.
    pub(super) fn new(log: &Log, stream: &StreamId, wanted: Status) -> Result<Self, Failure> {
        let topic = Service::Orders.events();
        let partitions = log.partitions(&log.cluster().topic(topic))?;
        let home = partition_of(stream.as_str().as_bytes(), partitions);
        let lanes = log.lanes(&[topic], Some(home), &Bound::End, &Bound::End)?;
        Ok(Self { stream: stream.clone(), wanted, lanes })
    }

    /// Follows the order, which is at `status`, until it is there, can never be, or the time is over.
    pub(super) fn wait(
        self,
        log: &Log,
        status: &Value,
        wait: Duration,
        json: bool,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let status = serde_json::from_value::<Status>(status.clone()).unwrap_or(Status::Created);
        if let Some(code) = self.judge(status) {
            return Ok(code);
        }
        let deadline = Instant::now() + wait;
        let mut ended = None;
        log.follow(&self.lanes, stop, |live| -> Result<Next> {
            if let Live::Record(record) = live
                && record.key() == Some(self.stream.as_str().as_bytes())
            {
                let event = Recorded::<Event>::read(&record.incoming())?;
                if let Some(code) = status_after(&event.data).and_then(|status| self.judge(status)) {
                    let (status, data) = (
                        status_after(&event.data),
                        String::from_utf8_lossy(record.value().unwrap_or_default()),
                    );
                    self.show(status, event.version, &data, json)?;
                    ended = Some(code);
                    return Ok(Next::Enough);
                }
            }
            Ok(if Instant::now() < deadline { Next::Go } else { Next::Enough })
        })?;
        match ended {
            Some(code) => Ok(code),
            None if stop.is_wanted() => Err(interrupted()),
            None => Err(Failure::OutOfReach(anyhow!(
                "{} is not {} after {} s: do all workers run?",
                self.stream,
                self.wanted,
                wait.as_secs()
            ))),
        }
    }

    fn show(&self, status: Option<Status>, version: u64, data: &str, json: bool) -> Result<()> {
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        if json {
            let data: Value = serde_json::from_str(data)?;
            return output::json(
                &json!({ "reached": status, "stream": self.stream, "version": version, "data": data }),
            );
        }
        output::line(&format!("{status}  {}  v{version}  {data}", self.stream))
    }

    /// How it ends, if it ends here: there (or beyond), or where nothing leads there.
    fn judge(&self, status: Status) -> Option<ExitCode> {
        let is_there = status == self.wanted
            || matches!((rank(status), rank(self.wanted)), (Some(now), Some(wanted)) if now >= wanted);
        match (is_there, status.is_final()) {
            (true, _) => Some(ExitCode::SUCCESS),
            (false, true) => Some(ExitCode::FAILURE),
            (false, false) => None,
        }
    }
}

/// How far along the way from created to refunded; `None` beside it.
fn rank(status: Status) -> Option<u8> {
    match status {
        Status::Created => Some(0),
        Status::Confirmed => Some(1),
        Status::Paid => Some(2),
        Status::Refunded => Some(3),
        Status::Rejected | Status::Cancelled | Status::Expired => None,
    }
}

fn status_after(event: &Event) -> Option<Status> {
    match event {
        Event::OrderCreated(_) => Some(Status::Created),
        Event::LineReserved(_) => None,
        Event::OrderConfirmed(_) => Some(Status::Confirmed),
        Event::OrderRejected(_) => Some(Status::Rejected),
        Event::OrderPaid(_) => Some(Status::Paid),
        Event::OrderRefunded(refund) => refund.in_full.then_some(Status::Refunded),
        Event::OrderCancelled(_) => Some(Status::Cancelled),
        Event::OrderExpired(_) => Some(Status::Expired),
    }
}
