//! Reading lanes to their ends, merged by the broker's time. The order is a function of the log alone, so the same range
//! gives the same bytes every time, and a run that was interrupted goes on where it stopped.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use factfold_schemas::kafka::Cluster;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _, base_consumer::PartitionQueue},
    error::KafkaError,
    message::{BorrowedMessage, Message as _},
};

use super::{Lane, Record, assignment, consumer};
use crate::blocking::Stop;

/// How long a lane may stand still: an open transaction of somebody else holds back what lies behind it.
const STALL: Duration = Duration::from_secs(90);
/// When to say that it stands still.
const STALL_NOTICE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next record, please.
    Go,
    /// No more; this record counts as read.
    Enough,
}

/// Reads all lanes to their ends, and moves them on; `each` sees where they are after its record. Returns whether all were
/// read (and not stopped before).
pub fn read(
    cluster: &Cluster,
    lanes: &mut [Lane],
    stop: &Stop,
    mut each: impl FnMut(Record<'_>, &[Lane]) -> Result<Next>,
) -> Result<bool> {
    if lanes.iter().all(|lane| lane.next >= lane.end) {
        return Ok(true);
    }
    let consumer = consumer(cluster, &[])?;
    // Split before anything is assigned: then nothing is ever fetched into the common queue.
    let queue = |lane: &Lane| consumer.split_partition_queue(&lane.name, lane.partition);
    let queues: Vec<_> = lanes.iter().map(queue).collect::<Option<_>>().context("splitting the queues")?;
    consumer.assign(&assignment(lanes)?).context("assigning partitions")?;
    let mut heads: Vec<Option<BorrowedMessage<'_>>> = lanes.iter().map(|_| None).collect();
    let mut order = BinaryHeap::with_capacity(lanes.len());
    for index in 0..lanes.len() {
        let Some(head) = head(&consumer, &queues[index], &mut lanes[index], stop)? else { continue };
        order.push(Reverse((time(&head), index)));
        heads[index] = Some(head);
    }
    while let Some(Reverse((_, index))) = order.pop() {
        if stop.is_wanted() {
            return Ok(false);
        }
        let Some(message) = heads[index].take() else { continue };
        lanes[index].next = message.offset() + 1;
        let next = each(Record { topic: lanes[index].topic, message: &message }, lanes)?;
        if next == Next::Enough {
            return Ok(false);
        }
        if let Some(head) = head(&consumer, &queues[index], &mut lanes[index], stop)? {
            order.push(Reverse((time(&head), index)));
            heads[index] = Some(head);
        }
    }
    Ok(!stop.is_wanted())
}

fn time(message: &BorrowedMessage<'_>) -> i64 {
    message.timestamp().to_millis().unwrap_or(0)
}

/// The next record of this lane; `None` at its end, or when somebody wants to stop.
fn head<'a>(
    consumer: &BaseConsumer,
    queue: &'a PartitionQueue<rdkafka::consumer::DefaultConsumerContext>,
    lane: &mut Lane,
    stop: &Stop,
) -> Result<Option<BorrowedMessage<'a>>> {
    if lane.next >= lane.end {
        return Ok(None);
    }
    let mut timeout = Duration::ZERO;
    let (mut since, mut noticed) = (Instant::now(), false);
    while !stop.is_wanted() {
        match queue.poll(timeout) {
            Some(Ok(message)) if message.offset() < lane.end => return Ok(Some(message)),
            Some(Ok(_)) => {
                lane.next = lane.end;
                return Ok(None);
            }
            Some(Err(error)) => tolerate(error, lane)?,
            None => {}
        }
        // Errors that concern the whole client come here, and nothing else.
        if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
            tolerate(error, lane)?;
        }
        // What ends in markers ends without another record.
        let at = consumer.position().context("asking how far it is read")?;
        let at = at.find_partition(&lane.name, lane.partition).and_then(|element| element.offset().to_raw());
        if let Some(at) = at.filter(|at| *at > lane.next) {
            (lane.next, since) = (at.min(lane.end), Instant::now());
            if lane.next >= lane.end {
                return Ok(None);
            }
        }
        if since.elapsed() > STALL {
            bail!("{} stands still before its end at {}: {}", lane.position(), lane.end, CAUSES);
        }
        if since.elapsed() > STALL_NOTICE && !noticed {
            noticed = true;
            eprintln!("waiting at {}: {}", lane.position(), CAUSES);
        }
        timeout = POLL;
    }
    Ok(None)
}

const CAUSES: &str = "a transaction is open there, or the broker is away";

/// The library reconnects by itself; only what it cannot mend is an error here.
pub(super) fn tolerate(error: KafkaError, lane: &Lane) -> Result<()> {
    use rdkafka::error::RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::Resolve,
        ) => Ok(()),
        _ => Err(error).with_context(|| format!("reading {}", lane.position())),
    }
}
