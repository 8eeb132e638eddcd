//! Reading lanes to their ends, merged by the broker's time, or by what else gives each its turn. The order is a function of the
//! log alone, so the same range gives the same bytes every time, and a run that was interrupted goes on where it stopped.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::topics::Topic;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext, base_consumer::PartitionQueue},
    error::KafkaError,
    message::{BorrowedMessage, Message as _},
};

use super::{Doing as _, Lane, Log, LogError, Record, Stop, assignment};

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

impl Log {
    /// Reads all lanes to their ends, and moves them on; `each` sees where they are after its record. Returns whether all
    /// were read (and not stopped before).
    pub fn read<E: From<LogError>>(
        &self,
        lanes: &mut [Lane],
        stop: &Stop,
        each: impl FnMut(Record<'_>, &[Lane]) -> Result<Next, E>,
    ) -> Result<bool, E> {
        self.read_in_turn(lanes, stop, by_time, each)
    }

    /// The same, merged by another number than the time: of the next record in each lane that with the lowest comes first, of
    /// several that of the first lane.
    pub fn read_in_turn<E: From<LogError>>(
        &self,
        lanes: &mut [Lane],
        stop: &Stop,
        turn: impl Fn(&Record<'_>) -> i64,
        mut each: impl FnMut(Record<'_>, &[Lane]) -> Result<Next, E>,
    ) -> Result<bool, E> {
        if lanes.iter().all(|lane| lane.next >= lane.end) {
            return Ok(true);
        }
        let consumer = self.consumer(&[])?;
        let queues = queues(&consumer, lanes)?;
        let mut merge = Merge::start(self, &consumer, &queues, lanes, stop, &turn)?;
        while let Some((topic, message)) = merge.next(lanes)? {
            if each(Record { topic, message: &message }, lanes)? == Next::Enough {
                return Ok(false);
            }
        }
        Ok(!stop.is_wanted())
    }
}

/// Records of several lanes, in their one order.
pub(super) struct Merge<'a> {
    reading: Reading<'a>,
    queues: &'a [PartitionQueue<DefaultConsumerContext>],
    turn: &'a dyn Fn(&Record<'_>) -> i64,
    /// The next record of each lane.
    heads: Vec<Option<BorrowedMessage<'a>>>,
    order: BinaryHeap<Reverse<(i64, usize)>>,
    /// The lane whose head was taken.
    taken: Option<usize>,
}

impl<'a> Merge<'a> {
    /// Begins to read, from queues that are split already.
    pub(super) fn start(
        log: &Log,
        consumer: &'a BaseConsumer,
        queues: &'a [PartitionQueue<DefaultConsumerContext>],
        lanes: &mut [Lane],
        stop: &'a Stop,
        turn: &'a dyn Fn(&Record<'_>) -> i64,
    ) -> Result<Self, LogError> {
        consumer.assign(&assignment(lanes)?).doing("assigning partitions")?;
        let mut merge = Self {
            reading: Reading { consumer, stop, notice: log.notice },
            queues,
            turn,
            heads: lanes.iter().map(|_| None).collect(),
            order: BinaryHeap::with_capacity(lanes.len()),
            taken: None,
        };
        for index in 0..lanes.len() {
            merge.refill(index, lanes)?;
        }
        Ok(merge)
    }

    /// The next record, whose lane is moved on behind it. `None` at the end, or when somebody wants to stop.
    pub(super) fn next(
        &mut self,
        lanes: &mut [Lane],
    ) -> Result<Option<(Topic, BorrowedMessage<'a>)>, LogError> {
        if let Some(index) = self.taken.take() {
            self.refill(index, lanes)?;
        }
        if self.reading.stop.is_wanted() {
            return Ok(None);
        }
        let Some(Reverse((_, index))) = self.order.pop() else { return Ok(None) };
        self.taken = Some(index);
        let message = self.heads[index].take().expect("what is in order has a head");
        lanes[index].next = message.offset() + 1;
        Ok(Some((lanes[index].topic, message)))
    }

    fn refill(&mut self, index: usize, lanes: &mut [Lane]) -> Result<(), LogError> {
        if let Some(head) = self.reading.head(&self.queues[index], &mut lanes[index])? {
            let turn = (self.turn)(&Record { topic: lanes[index].topic, message: &head });
            self.order.push(Reverse((turn, index)));
            self.heads[index] = Some(head);
        }
        Ok(())
    }
}

/// The turn of a record where the broker's time says it.
pub(super) fn by_time(record: &Record<'_>) -> i64 {
    record.message.timestamp().to_millis().unwrap_or(0)
}

/// The queue of each lane. They are split before anything is assigned: then nothing is ever fetched into the common queue.
pub(super) fn queues(
    consumer: &Arc<BaseConsumer>,
    lanes: &[Lane],
) -> Result<Vec<PartitionQueue<DefaultConsumerContext>>, LogError> {
    lanes.iter().map(|lane| queue(consumer, lane)).collect()
}

fn queue(
    consumer: &Arc<BaseConsumer>,
    lane: &Lane,
) -> Result<PartitionQueue<DefaultConsumerContext>, LogError> {
    let queue = consumer.split_partition_queue(&lane.name, lane.partition);
    queue.ok_or_else(|| LogError::NoTopic(lane.name.clone()))
}

/// What is the same for all lanes of one reading.
struct Reading<'a> {
    consumer: &'a BaseConsumer,
    stop: &'a Stop,
    notice: fn(&str),
}

impl Reading<'_> {
    /// The next record of this lane; `None` at its end, or when somebody wants to stop.
    fn head<'a>(
        &self,
        queue: &'a PartitionQueue<DefaultConsumerContext>,
        lane: &mut Lane,
    ) -> Result<Option<BorrowedMessage<'a>>, LogError> {
        if lane.next >= lane.end {
            return Ok(None);
        }
        let mut timeout = Duration::ZERO;
        // Looking at the clock for every record would cost as much as the record.
        let (mut since, mut noticed) = (None, false);
        while !self.stop.is_wanted() {
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
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tolerate(error, lane)?;
            }
            let since = since.get_or_insert_with(Instant::now);
            // What ends in markers ends without another record.
            let at = self.consumer.position().doing("asking how far it is read")?;
            let at = at.find_partition(&lane.name, lane.partition);
            let at = at.and_then(|element| element.offset().to_raw());
            if let Some(at) = at.filter(|at| *at > lane.next) {
                (lane.next, *since) = (at.min(lane.end), Instant::now());
                if lane.next >= lane.end {
                    return Ok(None);
                }
            }
            if since.elapsed() > STALL {
                return Err(LogError::Stall { at: lane.position(), end: lane.end });
            }
            if since.elapsed() > STALL_NOTICE && !noticed {
                noticed = true;
                (self.notice)(&format!("waiting at {}: {CAUSES}", lane.position()));
            }
            timeout = POLL;
        }
        Ok(None)
    }
}

pub(super) const CAUSES: &str = "a transaction is open there, or the broker is away";

/// The library reconnects by itself; only what it cannot mend is an error here.
pub(super) fn tolerate(error: KafkaError, lane: &Lane) -> Result<(), LogError> {
    if mends_itself(&error) {
        return Ok(());
    }
    Err(LogError::Kafka { doing: format!("reading {}", lane.position()), error })
}

/// Whether a consumer only tells of connections that came to nothing, or of a leader that moves.
pub(crate) fn mends_itself(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::Resolve
        )
    )
}
