//! What a worker keeps. A crash loses all of it.

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Whether its process runs.
    pub is_up: bool,
    /// It stopped, since a log that it took over was not the one that was decided.
    pub is_accusing: bool,
    /// Its transactional producer.
    pub producer: Producer,
    /// The partition, by the worker's own record.
    pub partition: Partition,
    /// What it works on.
    pub batch: Option<Batch>,
}

/// A worker's transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Producer {
    /// Not initialized.
    New,
    /// Of the current epoch.
    Current,
    /// The broker has bumped the epoch, and the worker does not know.
    Fenced,
}

/// The partition, by the worker's own record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Partition {
    /// Not ours.
    Foreign,
    /// Being taken over.
    Taking(Takeover),
    /// Being worked on.
    Live(Memory),
}

/// What a takeover has found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Takeover {
    /// The group's committed offset.
    pub committed: Option<u8>,
    /// Up to where the events are to be folded.
    pub end: Option<usize>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The next command to decide.
    pub next: u8,
    /// The version of the last event.
    pub version: u8,
    /// The highest decided position.
    pub decided: Option<u8>,
}

/// A command that was gathered, and how far its transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The command.
    pub command: u8,
    /// It was decided before: only the offset moves.
    pub is_decided: bool,
    /// What memory will be.
    pub then: Memory,
    /// How far it is.
    pub stage: Stage,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not begun.
    Gathered,
    /// Begun. The event and the offset go out side by side.
    Open {
        /// The generation that was read is still the group's.
        is_of_generation: bool,
        /// The event has arrived, or there is none.
        is_produced: bool,
        /// The offset was accepted.
        is_offset_sent: bool,
    },
    /// An error came before the commit.
    Failed,
}

impl Stage {
    /// The event has arrived.
    pub fn produced(self) -> Self {
        match self {
            Self::Open { is_of_generation, is_offset_sent, .. } => {
                Self::Open { is_of_generation, is_produced: true, is_offset_sent }
            }
            other => other,
        }
    }

    /// The offset was accepted.
    pub fn offset_sent(self) -> Self {
        match self {
            Self::Open { is_of_generation, is_produced, .. } => {
                Self::Open { is_of_generation, is_produced, is_offset_sent: true }
            }
            other => other,
        }
    }
}

impl Worker {
    /// A process that was just started.
    pub fn started() -> Self {
        Self {
            is_up: true,
            is_accusing: false,
            producer: Producer::New,
            partition: Partition::Foreign,
            batch: None,
        }
    }

    /// A process that is not there.
    pub fn down() -> Self {
        Self { is_up: false, ..Self::started() }
    }

    /// Whether its transaction is begun.
    pub fn is_within(&self) -> bool {
        self.batch.is_some_and(|batch| batch.stage != Stage::Gathered)
    }
}

impl Memory {
    /// After this command, with an event or without.
    pub fn after(self, command: u8, is_decided: bool) -> Self {
        let next = command + 1;
        if is_decided {
            Self { next, ..self }
        } else {
            Self { next, version: self.version + 1, decided: Some(command) }
        }
    }
}
