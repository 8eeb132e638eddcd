//! One partition's part of the store.
//!
//! Keys: `m`, how far it is and of what; `s` + id, an aggregate; `r` + offset, a command that was decided lately; `t` + offset,
//! a command that waits for its time.

use std::{sync::Arc, sync::PoisonError, time::Instant};

use fjall::{Keyspace, OwnedWriteBatch};
use serde::{Serialize, de::DeserializeOwned};

use super::{Lease, Meta, Store};

const META: &[u8] = b"m";

/// Why a shelf cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// Somebody else has it now.
    Superseded,
    /// It cannot be read or written. It has been said why, and the whole store is not used any more.
    Broken,
}

/// One partition's part of the store, in the hands of whoever opened it last.
pub(in super::super) struct Shelf {
    store: Arc<Store>,
    keyspace: Keyspace,
    lease: Arc<Lease>,
    holder: u64,
}

/// What is to be written at once, or not at all.
pub(in super::super) struct Writes {
    batch: OwnedWriteBatch,
    keyspace: Keyspace,
}

impl Shelf {
    pub(super) fn new(store: Arc<Store>, keyspace: Keyspace, lease: Arc<Lease>) -> Self {
        let holder = lease.grant();
        Self { store, keyspace, lease, holder }
    }

    /// Whether the store met an error, here or with another partition.
    pub(in super::super) fn is_broken(&self) -> bool {
        self.store.is_broken()
    }

    /// What it says about itself; `None` when it is empty. What cannot be understood is like nothing.
    pub(in super::super) fn meta(&self) -> Result<Option<Meta>, Fault> {
        let stored = self.keyspace.get(META).map_err(|error| self.broken(&error))?;
        self.mine(stored.and_then(|bytes| decode(&bytes)))
    }

    /// An aggregate.
    pub(in super::super) fn aggregate<I: Serialize, E: DeserializeOwned>(
        &self,
        id: &I,
    ) -> Result<Option<E>, Fault> {
        self.get(aggregate_key(id))
    }

    /// The command that a timer will publish.
    pub(in super::super) fn timer<T: DeserializeOwned>(&self, scheduled: i64) -> Result<Option<T>, Fault> {
        self.get(timer_key(scheduled))
    }

    fn get<T: DeserializeOwned>(&self, key: Vec<u8>) -> Result<Option<T>, Fault> {
        if self.is_broken() {
            return Err(Fault::Broken);
        }
        let Some(bytes) = self.keyspace.get(key).map_err(|error| self.broken(&error))? else {
            return self.mine(None);
        };
        let entry = decode(&bytes);
        self.mine(())?;
        entry.map(Some).ok_or_else(|| self.broken(&"what is stored has another form than its version says"))
    }

    /// The commands decided lately, oldest first.
    pub(in super::super) fn repeats<T: DeserializeOwned>(
        &self,
        mut each: impl FnMut(T),
    ) -> Result<(), Fault> {
        for guard in self.keyspace.prefix(b"r") {
            let value = guard.value().map_err(|error| self.broken(&error))?;
            let read = decode(&value);
            self.mine(())?;
            each(read.ok_or_else(|| self.broken(&"a decided command has another form"))?);
        }
        Ok(())
    }

    /// Throws everything away.
    pub(in super::super) fn clear(&self) -> Result<(), Fault> {
        let _writing = self.lease.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.mine(())?;
        let cleared = self
            .keyspace
            .is_empty()
            .and_then(|is_empty| if is_empty { Ok(()) } else { self.keyspace.clear() });
        cleared.map_err(|error| self.broken(&error))
    }

    /// Begins to gather what is to be written.
    pub(in super::super) fn writes(&self) -> Writes {
        Writes { batch: self.store.database.batch(), keyspace: self.keyspace.clone() }
    }

    /// Writes all of this, or nothing. It is not waited for a disk: what a power cut takes is folded again.
    pub(in super::super) fn write(&self, writes: Writes) -> Result<(), Fault> {
        let began = Instant::now();
        let _writing = self.lease.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.mine(())?;
        let written = writes.batch.commit().map_err(|error| self.broken(&error));
        metrics::histogram!("factfold_state_store_flush_seconds").record(began.elapsed());
        written
    }

    /// This, if the shelf is still ours: what was read from it after it had changed hands may be anything.
    fn mine<T>(&self, value: T) -> Result<T, Fault> {
        if self.lease.is_held_by(self.holder) { Ok(value) } else { Err(Fault::Superseded) }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Fault {
        self.store.give_up(&error.to_string());
        Fault::Broken
    }
}

impl Writes {
    /// This aggregate is now so, or no more.
    pub(in super::super) fn aggregate<I: Serialize, E: Serialize>(&mut self, id: &I, entry: Option<&E>) {
        self.set(aggregate_key(id), entry);
    }

    /// This command is to be remembered, or forgotten.
    pub(in super::super) fn repeat<T: Serialize>(&mut self, decided: i64, first: Option<T>) {
        self.set(repeat_key(decided), first);
    }

    /// This command waits, or no more.
    pub(in super::super) fn timer<T: Serialize>(&mut self, scheduled: i64, command: Option<T>) {
        self.set(timer_key(scheduled), command);
    }

    fn set<T: Serialize>(&mut self, key: Vec<u8>, value: Option<T>) {
        match value {
            Some(value) => self.batch.insert(&self.keyspace, key, encode(&value)),
            None => self.batch.remove(&self.keyspace, key),
        }
    }

    /// This is how far it is.
    pub(in super::super) fn meta(&mut self, meta: &Meta) {
        self.batch.insert(&self.keyspace, META, encode(meta));
    }
}

fn aggregate_key<I: Serialize>(id: &I) -> Vec<u8> {
    postcard::to_extend(id, vec![b's']).expect("an id is plain data")
}

fn repeat_key(decided: i64) -> Vec<u8> {
    [&[b'r'][..], &decided.to_be_bytes()].concat()
}

fn timer_key(scheduled: i64) -> Vec<u8> {
    [&[b't'][..], &scheduled.to_be_bytes()].concat()
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("what is stored is plain data")
}

/// `None` when it is something else, or more than that.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().and_then(|(value, rest)| rest.is_empty().then_some(value))
}
