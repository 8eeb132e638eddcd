//! What the brokers keep: the events, the transactions, the group.
//!
//! Epochs and generations are only ever compared with the current one. So there are no numbers here: whoever holds an old
//! one is told so when it is bumped ([`super::State::bump_epoch`], [`super::State::bump_generation`]).

/// An event. Its place in the log is its offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// The command that was decided.
    pub command: u8,
    /// Its version within the one stream.
    pub version: u8,
    /// What became of it.
    pub fate: Fate,
}

/// Whether an event counts, by the markers in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// No marker yet: it is part of this worker's transaction.
    Open(usize),
    /// A commit marker follows.
    Committed,
    /// An abort marker follows.
    Aborted,
}

/// The transaction coordinator's record of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// The producer was initialized, and has done nothing yet.
    Empty,
    /// Open.
    Ongoing {
        /// `transaction.timeout.ms` has passed; the broker's next sweep aborts it.
        is_overdue: bool,
        /// The offset that is to be committed with it. Until then it is pending.
        offset: Option<u8>,
    },
    /// The outcome is decided; markers are still missing.
    Ending {
        /// The outcome.
        commit: bool,
        /// The offset whose marker is missing.
        offset: Option<u8>,
    },
    /// All markers are written.
    Ended {
        /// The outcome.
        commit: bool,
    },
}

/// What the group coordinator knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// The workers whose session lives.
    pub members: [bool; 2],
    /// Who the partition is assigned to.
    pub owner: Option<usize>,
    /// The committed offset of the commands partition.
    pub committed: u8,
}

/// An EndTxn request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndTxn {
    /// Whose.
    pub producer: usize,
    /// What it asks for.
    pub commit: bool,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Broker {
    /// The events partition.
    pub events: Vec<Event>,
    /// The transaction of each worker's producer.
    pub transactions: [Transaction; 2],
    /// The consumer group.
    pub group: Group,
    /// A copy of a request that is still on its way, of the current epoch. (An older one is refused whenever it arrives.)
    pub delayed: Option<EndTxn>,
}

impl Broker {
    /// An empty log, and a group whose first member owns the partition.
    pub(super) fn new() -> Self {
        Self {
            events: Vec::new(),
            transactions: [Transaction::Empty; 2],
            group: Group { members: [true; 2], owner: Some(0), committed: 0 },
            delayed: None,
        }
    }

    /// The events that count, or will when their markers are written.
    pub fn facts(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| match event.fate {
            Fate::Open(producer) => {
                matches!(self.transactions[producer], Transaction::Ending { commit: true, .. })
            }
            fate => fate == Fate::Committed,
        })
    }

    /// The committed offset, or what it will be when the markers are written.
    pub fn committed_or_about_to_be(&self) -> u8 {
        let ending = self.transactions.iter().find_map(|transaction| match transaction {
            Transaction::Ending { commit: true, offset } => *offset,
            _ => None,
        });
        ending.unwrap_or(self.group.committed)
    }

    /// Whether some transaction may still commit an offset.
    pub fn is_pending(&self) -> bool {
        self.transactions.iter().any(|transaction| {
            matches!(
                transaction,
                Transaction::Ongoing { offset: Some(_), .. } | Transaction::Ending { offset: Some(_), .. }
            )
        })
    }

    /// The end of the events partition, open transactions included.
    pub fn high_watermark(&self) -> usize {
        self.events.len()
    }

    /// Where the first open transaction of the events partition begins.
    pub fn last_stable_offset(&self) -> usize {
        let open = self.events.iter().position(|event| matches!(event.fate, Fate::Open(_)));
        open.unwrap_or(self.events.len())
    }

    /// Whether the producer must try again: its last transaction has markers to come (`CONCURRENT_TRANSACTIONS`).
    pub fn is_ending(&self, producer: usize) -> bool {
        matches!(self.transactions[producer], Transaction::Ending { .. })
    }

    /// Whether the producer has an open transaction.
    pub fn is_ongoing(&self, producer: usize) -> bool {
        matches!(self.transactions[producer], Transaction::Ongoing { .. })
    }

    /// Opens a transaction, unless one is open.
    pub fn open(&mut self, producer: usize) {
        if !self.is_ongoing(producer) {
            self.transactions[producer] = Transaction::Ongoing { is_overdue: false, offset: None };
        }
    }

    /// Ends a transaction, and says whether this is its outcome. A request that comes again gets the same answer.
    pub fn end(&mut self, EndTxn { producer, commit }: EndTxn) -> bool {
        match self.transactions[producer] {
            Transaction::Empty => false,
            Transaction::Ongoing { offset, .. } => {
                self.transactions[producer] = Transaction::Ending { commit, offset };
                self.finish(producer);
                true
            }
            Transaction::Ending { commit: outcome, .. } | Transaction::Ended { commit: outcome } => {
                outcome == commit
            }
        }
    }

    /// Writes the marker to the events partition.
    pub fn mark_events(&mut self, producer: usize) {
        if let Transaction::Ending { commit, .. } = self.transactions[producer] {
            let fate = if commit { Fate::Committed } else { Fate::Aborted };
            let open = self.events.iter_mut().filter(|event| event.fate == Fate::Open(producer));
            open.for_each(|event| event.fate = fate);
            self.finish(producer);
        }
    }

    /// Writes the marker to the group's offsets.
    pub fn mark_offset(&mut self, producer: usize) {
        if let Transaction::Ending { commit, offset: Some(offset) } = self.transactions[producer] {
            if commit {
                self.group.committed = offset;
            }
            self.transactions[producer] = Transaction::Ending { commit, offset: None };
            self.finish(producer);
        }
    }

    /// Whether a marker is missing in the events partition.
    pub fn has_open_events(&self, producer: usize) -> bool {
        self.events.iter().any(|event| event.fate == Fate::Open(producer))
    }

    fn finish(&mut self, producer: usize) {
        if let Transaction::Ending { commit, offset: None } = self.transactions[producer]
            && !self.has_open_events(producer)
        {
            self.transactions[producer] = Transaction::Ended { commit };
        }
    }
}
