//! Keeping timers: a command that was put off is published once its time has come, in the transaction that also takes its
//! timer away. So it is published once, whatever dies. Its topic is all there is to know: a takeover folds it.
//!
//! - [`Keeping`] picks what is due and publishes it, in the order of time.
//! - [`waiting`] is what waits in one partition, [`read`] how that lies on the topic.
//!
//! The keeper goes by this machine's clock, and learns from what it writes how far the broker's is behind. It is not the judge:
//! a copy that lies there too early by the broker's clock is put off again by whoever decides it.

mod read;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use factfold_schemas::{
    cloudevents::Incoming,
    kafka::Cluster,
    position::Position,
    topics::{Service, Topic},
};
use fail::fail_point;
use jiff::Timestamp;

pub use self::waiting::Waiting;
use self::{
    read::{Change, read},
    waiting::Due,
};
use super::{
    Settings, Shutdown, Status,
    error::Error,
    processor::{Processor, Produce, Target, TopicPartition, Written},
    store::Store,
};

/// Publishes the commands of one service that were put off.
pub struct Keeping {
    service: Service,
    store: Option<Arc<Store>>,
    /// How many are published at once, and about how many bytes of them.
    picked_max: usize,
    bytes_max: usize,
    partitions: BTreeMap<i32, Waiting>,
    /// What the open transaction would change.
    draft: Draft,
}

#[derive(Debug, Default)]
struct Draft {
    /// When was looked at the clock, in milliseconds.
    at_ms: i64,
    /// What is published, by when it is due.
    picked: Vec<(Due, i32)>,
    /// What came, and what somebody took away.
    changes: Vec<(i32, Change)>,
}

/// Runs the keeper of a service's timers, until told to stop.
pub fn run(
    service: Service,
    cluster: &Cluster,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
) -> Result<(), Error> {
    let group = cluster.namespace.qualify(group(service));
    let own = settings.clone();
    super::run(cluster, settings, shutdown, status, |layout| {
        let open = |dir: &Path| Store::open(dir, &group, &own.instance, layout.cluster_id()?);
        Ok(Keeping::new(service, &own, own.state_dir.as_deref().and_then(open)))
    })
}

/// The consumer group of a service's timers, without the namespace.
pub fn group(service: Service) -> String {
    format!("factfold.{service}.timers")
}

impl Keeping {
    fn new(service: Service, settings: &Settings, store: Option<Arc<Store>>) -> Self {
        Self {
            service,
            store,
            // Each leads to a command and a tombstone.
            picked_max: settings.batch_records_max.div_ceil(2),
            bytes_max: settings.batch_bytes_max,
            partitions: BTreeMap::new(),
            draft: Draft::default(),
        }
    }

    fn show(&self) {
        let pending = self.partitions.values().map(Waiting::len).sum::<usize>();
        metrics::gauge!("factfold_timers_pending", "service" => self.service.name()).set(pending as f64);
    }
}

impl Processor for Keeping {
    type Partition = Waiting;

    fn group(&self) -> String {
        group(self.service)
    }

    fn inputs(&self) -> Vec<Topic> {
        vec![self.service.timers()]
    }

    fn open(&mut self, of: TopicPartition) -> Waiting {
        Waiting::new(of, self.store.as_ref().and_then(|store| store.shelf(of.1)))
    }

    fn adopt(&mut self, (_, partition): TopicPartition, state: Waiting) {
        self.partitions.insert(partition, state);
        self.show();
    }

    fn forget(&mut self, (_, partition): TopicPartition) {
        self.partitions.remove(&partition);
        self.show();
    }

    fn tidy(&mut self) -> Vec<TopicPartition> {
        let topic = self.service.timers();
        let tidied = self.partitions.iter_mut().map(|(partition, waiting)| (*partition, waiting.make_room()));
        let lost = tidied.filter(|(_, tidied)| tidied.is_err());
        lost.map(|(partition, _)| (topic, partition)).collect()
    }

    fn next_due(&self) -> Option<Timestamp> {
        let first = self.partitions.values().filter_map(Waiting::next_due_ms).min()?;
        // It was made of a timestamp.
        Timestamp::from_millisecond(first).ok()
    }

    fn due(&mut self) -> Vec<TopicPartition> {
        let (now_ms, max) = (Timestamp::now().as_millisecond(), self.picked_max);
        let due = self
            .partitions
            .iter()
            .flat_map(|(partition, waiting)| waiting.due(now_ms).take(max).map(|due| (due, *partition)));
        let mut picked: Vec<(Due, i32)> = due.collect();
        picked.sort_unstable();
        picked.truncate(max);
        let partitions: BTreeSet<i32> = picked.iter().map(|(_, partition)| *partition).collect();
        (self.draft.at_ms, self.draft.picked) = (now_ms, picked);
        partitions.into_iter().map(|partition| (self.service.timers(), partition)).collect()
    }

    fn act(&mut self, out: &mut Vec<Produce>) -> Result<(), Error> {
        if self.draft.picked.is_empty() {
            return Ok(());
        }
        fail_point!("keeper::picked");
        let (mut bytes, mut published) = (0, 0);
        for &(due, partition) in &self.draft.picked {
            let Some(waiting) = self.partitions.get(&partition).filter(|_| bytes < self.bytes_max) else {
                break;
            };
            let held = waiting.held(due)?;
            bytes += held.bytes();
            published += 1;
            let produce = |topic, record| Produce { target: Target::Topic(topic), partition, record };
            out.push(produce(self.service.timers(), held.timer.tombstone()));
            out.push(produce(self.service.commands(), held.command));
        }
        self.draft.picked.truncate(published);
        fail_point!("keeper::published");
        Ok(())
    }

    fn process(&mut self, topic: Topic, record: &Incoming<'_>, _: &mut Vec<Produce>) -> Result<(), Error> {
        let position = Position::new(topic, record.partition, record.offset);
        let Some(waiting) = self.partitions.get(&record.partition) else {
            let what = "its partition was never taken over".to_owned();
            return Err(Error::Inconsistent { position, what });
        };
        if !waiting.has_folded(record.offset)
            && let Some(change) = read(position, record)
        {
            self.draft.changes.push((record.partition, change));
        }
        Ok(())
    }

    fn committed(&mut self, written: &Written) {
        let Draft { at_ms, picked, changes } = std::mem::take(&mut self.draft);
        if picked.is_empty() && changes.is_empty() {
            return;
        }
        if !picked.is_empty() {
            fail_point!("keeper::committed");
        }
        let service = self.service.name();
        let now_ms = Timestamp::now().as_millisecond();
        let lateness = metrics::histogram!("factfold_timer_lateness_seconds", "service" => service);
        metrics::counter!("factfold_timers_published_total", "service" => service)
            .increment(picked.len() as u64);
        for (due, partition) in picked {
            lateness.record((now_ms - due.ms()).max(0) as f64 / 1e3);
            let Some(waiting) = self.partitions.get_mut(&partition) else { continue };
            waiting.remove(due);
            if let Some(Some(mark)) = written.get(&(self.service.commands(), partition)) {
                waiting.saw_clock(at_ms, mark.timestamp_ms);
            }
        }
        for (partition, change) in changes {
            self.partitions
                .get_mut(&partition)
                .into_iter()
                .for_each(|waiting| waiting.change(change.clone()));
        }
        self.show();
    }

    fn discarded(&mut self) {
        self.draft = Draft::default();
    }
}

#[cfg(test)]
#[path = "keeping_test.rs"]
mod tests;
