//! A decider's worker without its Kafka: records go in, records come out, and what came out is a log that another worker can
//! take over from. For tests.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use factfold_schemas::{
    cloudevents::Outgoing,
    goods::{AddGoods, AdjustStock, Command},
    ids::GoodsId,
    money::Money,
    topics::Service,
};

use super::*;
use crate::{
    goods::GoodsDecider,
    worker::{
        processor::{Hydrate, Mark},
        takeover,
    },
};

pub(super) const PARTITIONS: i32 = 4;
const SERVICE: Service = Service::Goods;

pub(super) struct Bench {
    pub(super) deciding: Deciding<GoodsDecider>,
    pub(super) offset: i64,
    pub(super) now_ms: i64,
    pub(super) log: Log,
    pub(super) settings: Settings,
    /// How many records the takeovers read.
    pub(super) folded: usize,
}

/// What was committed, and where each topic's partition ends.
#[derive(Clone, Default)]
pub(super) struct Log {
    pub(super) records: Vec<(Produce, Mark)>,
    ends: HashMap<(Target, i32), i64>,
}

impl Log {
    /// Appends a transaction. Its marker takes an offset too.
    fn append(&mut self, out: &[Produce], timestamp_ms: i64) -> Written {
        let mut written = Written::new();
        for produce in out {
            let end = self.ends.entry((produce.target, produce.partition)).or_default();
            let mark = Mark { offset: *end, timestamp_ms };
            *end += 1;
            self.records.push((produce.clone(), mark));
            if let Target::Topic(topic) = produce.target {
                written.insert((topic, produce.partition), Some(mark));
            }
        }
        for (topic, partition) in written.keys() {
            *self.ends.entry((Target::Topic(*topic), *partition)).or_default() += 1;
        }
        written
    }

    fn end(&self, topic: Topic, partition: i32) -> i64 {
        self.ends.get(&(Target::Topic(topic), partition)).copied().unwrap_or(0)
    }
}

impl Bench {
    /// In memory only.
    pub(super) fn new() -> Self {
        Self::with(Settings { repeats_age: Duration::from_secs(3600), ..Settings::new("test") })
    }

    /// With a store in this folder.
    pub(super) fn stored(folder: PathBuf, live_max: usize) -> Self {
        let settings = Settings { state_dir: Some(folder), live_max, ..Self::new().settings };
        Self::with(settings)
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut bench = Self {
            deciding: worker(&settings),
            offset: 0,
            now_ms: 1_000_000,
            log: Log::default(),
            settings,
            folded: 0,
        };
        bench.take_over().expect("nothing is there yet");
        bench
    }

    /// Processes this record in an open transaction.
    pub(super) fn open(&mut self, record: &Outgoing, partition: i32) -> Vec<Produce> {
        let mut incoming = incoming(record, partition);
        (incoming.offset, incoming.timestamp_ms) = (self.offset, self.now_ms);
        self.offset += 1;
        self.now_ms += 1;
        let mut out = Vec::new();
        self.deciding.process(SERVICE.commands(), &incoming, &mut out).expect("a trace");
        out
    }

    pub(super) fn put(&mut self, record: &Outgoing, partition: i32) -> Vec<Produce> {
        let out = self.open(record, partition);
        let written = self.log.append(&out, self.now_ms);
        self.deciding.committed(&written);
        out
    }

    pub(super) fn send(&mut self, id: &str, goods: GoodsId, command: &Command) -> Vec<Produce> {
        let record = Header::new(id, "/clients/u").record_of(SERVICE, &goods.stream(), command);
        self.put(&record, home(goods))
    }

    /// Stores everything, and drops from memory what is too much.
    pub(super) fn save(&mut self) {
        (0..PARTITIONS).for_each(|partition| self.deciding.save((SERVICE.commands(), partition)));
        assert_eq!(self.deciding.tidy(), []);
    }

    /// Another worker in memory, that takes over from what was committed.
    pub(super) fn successor(&self) -> Self {
        let settings = Settings { state_dir: None, ..self.settings.clone() };
        let mut next = Self { log: self.log.clone(), ..Self::with(settings) };
        (next.offset, next.now_ms) = (self.offset, self.now_ms);
        next.take_over().expect("what was written adds up");
        next
    }

    /// The same worker after a crash: with what it has stored, and what was committed.
    pub(super) fn restart(self) -> Self {
        let Self { deciding, offset, now_ms, log, settings, .. } = self;
        drop(deciding);
        let mut next = Self { deciding: worker(&settings), offset, now_ms, log, settings, folded: 0 };
        next.take_over().expect("what was written adds up");
        next
    }

    /// Takes all partitions over.
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        for partition in 0..PARTITIONS {
            let of = (SERVICE.commands(), partition);
            self.deciding.forget(of);
            let mut state = self.deciding.open(of);
            self.hydrate(&mut state)?;
            self.deciding.adopt(of, state);
        }
        Ok(())
    }

    /// Folds a partition's histories, as a takeover does.
    pub(super) fn hydrate(&mut self, state: &mut Partition<GoodsDecider>) -> Result<(), Error> {
        let (_, partition) = state.commands;
        let topics = [SERVICE.events(), SERVICE.outcomes()];
        let extents = topics.map(|topic| (topic, 0..self.log.end(topic, partition)));
        let (log, folded) = (&self.log, &mut self.folded);
        takeover::hydrate(state, self.offset, &extents, |state, from| {
            for (topic, from) in topics.into_iter().zip(from) {
                let is_due = |(produce, mark): &&(Produce, Mark)| {
                    (produce.target, produce.partition) == (Target::Topic(topic), partition)
                        && mark.offset >= from
                };
                for (produce, mark) in log.records.iter().filter(is_due) {
                    let mut record = incoming(&produce.record, partition);
                    (record.offset, record.timestamp_ms) = (mark.offset, mark.timestamp_ms);
                    state.fold(topic, &record)?;
                    *folded += 1;
                }
            }
            Ok(())
        })
        .map(drop)
    }
}

fn worker(settings: &Settings) -> Deciding<GoodsDecider> {
    let store =
        settings.state_dir.as_deref().and_then(|dir| Store::open(dir, "goods", &settings.instance, "test"));
    Deciding::new(Layout::even(PARTITIONS, PARTITIONS), settings, SERVICE.commands().to_string(), store)
}

pub(super) fn home(goods: GoodsId) -> i32 {
    partition_of(goods.stream().as_str().as_bytes(), PARTITIONS)
}

/// This record, at the beginning of a partition.
pub(super) fn incoming(record: &Outgoing, partition: i32) -> Incoming<'_> {
    Incoming { partition, ..record.incoming() }
}

pub(super) fn add() -> Command {
    let price = Money::new(500, "EUR".parse().expect("a currency"));
    Command::AddGoods(AddGoods { name: "Tea".into(), price, stock: 10 })
}

pub(super) fn take(pieces: i64) -> Command {
    Command::AdjustStock(AdjustStock { delta: -pieces, reason: "sold at the door".into() })
}
