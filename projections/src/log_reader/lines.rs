//! Reading lanes to their ends as lines of JSON. One thread merges; all cores take records apart and write them, which is most
//! of the work. The lines are those that [`Log::read`] and [`envelope`] give, in the same order.

use std::{
    mem,
    num::NonZero,
    thread::{self, available_parallelism},
};

use factfold_schemas::topics::Topic;
use rdkafka::message::BorrowedMessage;

use super::{
    Filter, Lane, Log, LogError, Record, Stop,
    crew::Crew,
    envelope,
    merge::{Merge, by_time, queues},
};

/// How many records are written by one thread at a time.
const PIECE_RECORDS: usize = 512;
/// How much of keys and values that may be; the headers that a decider writes are short.
const PIECE_BYTES: usize = 256 * 1024;
/// How much may be fetched ahead of them, in all lanes together, unless these are very many: with little, all cores wait for the next
/// fetch. Keys and values count; with headers and all else it is about six times that.
const AHEAD_KBYTES: usize = 32 * 1024;
/// About how long a line is, beside the key and the value.
const LINE_BYTES: usize = 768;

/// Some lines.
#[derive(Debug)]
pub struct Lines {
    /// The lines, each with its end.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: usize,
}

/// Some records that lie next to each other in the order.
#[derive(Default)]
struct Piece<'a> {
    records: Vec<(Topic, BorrowedMessage<'a>)>,
    bytes: usize,
    /// Where reading goes on after it, in each lane.
    next: Vec<i64>,
}

impl Log {
    /// Reads all lanes to their ends, and moves them on; `each` gets the lines of some records, as far as they are let through,
    /// and sees where the lanes are after them. Returns whether all were read (and not stopped before); what was read when
    /// somebody stopped still comes.
    pub fn lines<E: From<LogError>>(
        &self,
        lanes: &mut [Lane],
        filter: &Filter,
        stop: &Stop,
        mut each: impl FnMut(Lines, &[Lane]) -> Result<(), E>,
    ) -> Result<bool, E> {
        if lanes.iter().all(|lane| lane.next >= lane.end) {
            return Ok(true);
        }
        let ahead = (AHEAD_KBYTES / lanes.len()).clamp(1024, AHEAD_KBYTES / 4).to_string();
        let consumer =
            self.consumer(&[("queued.max.messages.kbytes", &ahead), ("fetch.queue.backoff.ms", "1")])?;
        let queues = queues(&consumer, lanes)?;
        let work = |piece: Piece<'_>| piece.write(filter);
        let mut ahead = lanes.to_vec();
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, available_parallelism().map_or(1, NonZero::get), &work)?;
            let mut merge = Merge::start(self, &consumer, &queues, &mut ahead, stop, &by_time)?;
            let mut hand_on = |(lines, next): (Lines, Vec<i64>)| {
                lanes.iter_mut().zip(next).for_each(|(lane, next)| lane.next = next);
                each(lines, lanes)
            };
            let mut piece = Piece::default();
            while let Some((topic, message)) = merge.next(&mut ahead)? {
                piece.push(topic, message);
                if piece.is_full() {
                    if crew.is_full() {
                        crew.take().map_or(Ok(()), &mut hand_on)?;
                    }
                    crew.give(mem::take(&mut piece).up_to(&ahead));
                }
            }
            // The lanes may have moved on over what is no record: the last piece says so, even when it is empty.
            crew.give(piece.up_to(&ahead));
            while let Some(written) = crew.take() {
                hand_on(written)?;
            }
            Ok(!stop.is_wanted())
        })
    }
}

impl<'a> Piece<'a> {
    fn push(&mut self, topic: Topic, message: BorrowedMessage<'a>) {
        self.bytes += message.key_len() + message.payload_len();
        self.records.push((topic, message));
    }

    fn is_full(&self) -> bool {
        self.records.len() >= PIECE_RECORDS || self.bytes >= PIECE_BYTES
    }

    fn up_to(self, lanes: &[Lane]) -> Self {
        Self { next: lanes.iter().map(|lane| lane.next).collect(), ..self }
    }

    fn write(self, filter: &Filter) -> (Lines, Vec<i64>) {
        let about = self.bytes + self.records.len() * LINE_BYTES;
        let mut lines = Lines { bytes: Vec::with_capacity(about), count: 0 };
        // Each record goes as soon as it is written: what its headers took is still at hand for those of the next.
        for (topic, message) in self.records {
            let record = Record { topic, message: &message };
            if filter.lets_through(&record) {
                envelope::write(&record, &mut lines.bytes);
                lines.count += 1;
            }
        }
        (lines, self.next)
    }
}
