//! Taking partitions over: where the group has come, and what the histories say, in that order (rules 5 to 8).
//!
//! It runs on a thread of its own, beside the worker, with the partitions paused and the others going on. Its results carry
//! the assignment's epoch; the loop throws late ones away.

use std::{
    collections::HashMap,
    ops::{ControlFlow, Range},
    sync::{Arc, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use factfold_schemas::{
    cloudevents::Incoming,
    kafka::{Cluster, incoming},
    topics::Topic,
};
use fail::fail_point;
use jiff::Timestamp;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    topic_partition_list::TopicPartitionListElem,
};

use super::{
    Shutdown,
    assignment::Epoch,
    error::Error,
    processor::{Hydrate, Start, TopicPartition},
};

/// How long to rest before trying again.
const REST: Duration = Duration::from_millis(100);

/// How long one question to the brokers may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A partition that was taken over.
pub(super) struct Taken<H> {
    pub(super) partition: TopicPartition,
    pub(super) epoch: Epoch,
    /// The next offset to decide.
    pub(super) next: i64,
    /// What its histories say.
    pub(super) state: H,
    /// How many records of them were read for it.
    pub(super) folded: u64,
    /// The group has no committed offset yet: the start is to be committed at once.
    pub(super) is_start: bool,
}

/// What a takeover must know.
#[derive(Clone)]
pub(super) struct Takeover {
    cluster: Cluster,
    group: String,
    /// The longest that a transaction can stay open, by the worker's settings; the broker's sweep comes on top.
    patience: Duration,
    shutdown: Shutdown,
    /// Asks for committed offsets. It takes the library a second to find the group's coordinator, so it is made once, and
    /// early.
    group_client: Arc<BaseConsumer>,
}

impl Takeover {
    pub(super) fn new(
        cluster: &Cluster,
        group: &str,
        patience: Duration,
        shutdown: &Shutdown,
    ) -> Result<Self, Error> {
        Ok(Self {
            cluster: cluster.clone(),
            group: group.to_owned(),
            patience,
            shutdown: shutdown.clone(),
            group_client: Arc::new(client(cluster, group, "read_committed")?),
        })
    }

    /// Drops what the library has reported meanwhile: it helps nobody, and must not pile up.
    pub(super) fn tidy(&self) {
        // What it returns would be a message, and nothing is assigned to this client.
        let _ = self.group_client.poll(Duration::ZERO);
    }

    /// Takes these partitions over, in a thread of its own. Tries again after what passes by itself, until told to stop;
    /// what does not pass is sent as the error it is.
    pub(super) fn spawn<H: Hydrate>(
        &self,
        mut partitions: Vec<(TopicPartition, H)>,
        epoch: Epoch,
        results: Sender<Result<Taken<H>, Error>>,
    ) -> Result<(), Error> {
        let this = self.clone();
        let run = move || {
            while !partitions.is_empty() && !this.shutdown.is_set() {
                match this.take_over(&mut partitions, epoch, &results) {
                    Ok(()) => {}
                    Err(_) if this.shutdown.is_set() => return,
                    Err(error) if error.passes() => {
                        tracing::warn!(group = this.group, %error, "taking over: once more");
                        thread::sleep(REST);
                    }
                    Err(error) => {
                        // The loop is gone only when the worker stops.
                        let _ = results.send(Err(error));
                        return;
                    }
                }
            }
        };
        let name = format!("{}-takeover", self.group);
        thread::Builder::new().name(name).spawn(run).map(drop).map_err(Error::Thread)
    }

    /// Takes over what is left, and sends each partition as it is done.
    fn take_over<H: Hydrate>(
        &self,
        left: &mut Vec<(TopicPartition, H)>,
        epoch: Epoch,
        results: &Sender<Result<Taken<H>, Error>>,
    ) -> Result<(), Error> {
        let clients = Clients::connect(self)?;
        fail_point!("takeover::before-offsets");
        let partitions: Vec<TopicPartition> = left.iter().map(|(partition, _)| *partition).collect();
        let committed = clients.committed(&partitions)?;
        fail_point!("takeover::before-watermarks");
        let histories = clients.histories::<H>(&partitions)?;
        while let Some((partition, state)) = left.last_mut() {
            let partition = *partition;
            let began = Instant::now();
            let histories: Vec<&History> =
                histories.iter().filter(|history| history.of == partition).collect();
            let committed = committed.get(&partition).copied();
            let next = match committed {
                Some(next) => next,
                None => match self.start(&clients, partition, &histories, state.start()) {
                    Err(wrong @ Error::NoOffset { .. }) => {
                        return Err(clients.unless_overtaken(partition, committed, wrong));
                    }
                    start => start?,
                },
            };
            fail_point!("takeover::before-hydrate");
            let (folded, decided) = match clients.hydrate(&histories, next, state, self) {
                Err(Error::Superseded) => {
                    left.pop();
                    continue;
                }
                result => result?,
            };
            fail_point!("takeover::hydrated");
            if let (None, [history, ..]) = (committed, histories.as_slice())
                && state.has_begun()
            {
                return Err(clients.unless_overtaken(
                    partition,
                    None,
                    self.no_offset(partition, history.topic.0),
                ));
            }
            let (low, high) = clients.watermarks(partition)?;
            let but = match decided {
                _ if next < low => Some(format!("but its log begins at {low}")),
                _ if next > high => Some(format!("but its log ends at {high}")),
                Some(decided) if decided >= next => Some(format!("but offset {decided} is already decided")),
                _ => None,
            };
            if let Some(but) = but {
                let (topic, number) = partition;
                let wrong = Error::NotTheSameLog { topic, partition: number, committed: next, but };
                return Err(clients.unless_overtaken(partition, committed, wrong));
            }
            tracing::debug!(
                group = self.group, kafka.topic = %partition.0, kafka.partition = partition.1, kafka.offset = next,
                folded, duration_ms = began.elapsed().as_millis(), "taken over"
            );
            fail_point!("takeover::checked");
            let is_start = committed.is_none();
            if let Some((_, state)) = left.pop() {
                // The loop is gone only when the worker stops.
                let _ = results.send(Ok(Taken { partition, epoch, next, state, folded, is_start }));
            }
        }
        Ok(())
    }

    /// Where to begin without a committed offset: at the start, but only where nothing was done before (rule 6). What was
    /// aborted was not done: a first transaction that failed must not keep the system from ever starting. Who was told from where
    /// begins there.
    fn start(
        &self,
        clients: &Clients<'_>,
        of: TopicPartition,
        histories: &[&History],
        told: Start,
    ) -> Result<i64, Error> {
        match told {
            Start::Fresh => {}
            Start::Beginning => return Ok(clients.watermarks(of)?.0),
            Start::At(time) => return clients.offset_at(of, time),
        }
        let mut done = histories.iter().find(|history| history.start > 0).map(|history| history.topic.0);
        if done.is_none() {
            let all = histories.iter().map(|history| (*history, history.start)).collect();
            clients.read(all, self, |topic, _| {
                done = Some(topic);
                Ok(ControlFlow::Break(()))
            })?;
        }
        match done {
            None => Ok(clients.watermarks(of)?.0),
            Some(history) => Err(self.no_offset(of, history)),
        }
    }

    fn no_offset(&self, (topic, partition): TopicPartition, history: Topic) -> Error {
        Error::NoOffset { group: self.group.clone(), topic, partition, history }
    }
}

/// Folds histories by means of `fold`, which is told from where; on top of what is stored, if that can be believed. What does
/// not add up on top of a store is folded once more without, before it is believed.
pub(super) fn hydrate<H: Hydrate>(
    state: &mut H,
    next: i64,
    histories: &[(Topic, Range<i64>)],
    mut fold: impl FnMut(&mut H, Vec<i64>) -> Result<(), Error>,
) -> Result<Option<i64>, Error> {
    loop {
        let from = state.begin(next, histories)?;
        match fold(state, from).and_then(|()| state.finish()) {
            Err(error @ (Error::Inconsistent { .. } | Error::StateLost { .. })) if state.distrust() => {
                tracing::warn!(%error, "the stored state is thrown away, and the whole history folded");
            }
            done => return done,
        }
    }
}

/// A partition of a history, as it was when the takeover began.
struct History {
    /// For the sake of which input.
    of: TopicPartition,
    topic: TopicPartition,
    /// Its first offset.
    start: i64,
    /// Its high watermark, open transactions included.
    end: i64,
}

struct Clients<'a> {
    cluster: &'a Cluster,
    /// `read_committed`: asks for offsets that are stable.
    group: &'a BaseConsumer,
    /// `read_committed`: reads the histories.
    committed: BaseConsumer,
    /// `read_uncommitted`: sees the true end of the log. The last stable offset would hide what a predecessor's open
    /// transaction is still to commit.
    uncommitted: BaseConsumer,
}

fn client(cluster: &Cluster, group: &str, isolation: &str) -> Result<BaseConsumer, Error> {
    cluster
        .client()
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("fetch.queue.backoff.ms", "1")
        // At the end of one partition nothing more is wanted, but the broker would keep the connection waiting for more
        // before it serves the next partition: for half a second each by default.
        .set("fetch.wait.max.ms", "5")
        .set("queued.max.messages.kbytes", "65536")
        .create()
        .map_err(Error::kafka("making a client for a takeover"))
}

impl<'a> Clients<'a> {
    fn connect(takeover: &'a Takeover) -> Result<Self, Error> {
        let client = |isolation| client(&takeover.cluster, &takeover.group, isolation);
        Ok(Self {
            cluster: &takeover.cluster,
            group: &takeover.group_client,
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
        })
    }

    /// The group's committed offsets. `read_committed` requires stable ones: it waits for a predecessor's pending commit
    /// (KIP-447). Every element has an error of its own.
    fn committed(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i64>, Error> {
        let doing = "asking for the committed offsets";
        let mut wanted = TopicPartitionList::new();
        for (topic, partition) in partitions {
            wanted.add_partition(&self.cluster.topic(*topic), *partition);
        }
        let answer = self.group.committed_offsets(wanted, QUESTION_TIMEOUT).map_err(Error::kafka(doing))?;
        let mut offsets = HashMap::new();
        for ((topic, partition), element) in
            partitions.iter().filter_map(|p| Some((p, self.find(&answer, *p)?)))
        {
            element.error().map_err(Error::kafka(doing))?;
            if let Offset::Offset(next) = element.offset() {
                offsets.insert((*topic, *partition), next);
            }
        }
        Ok(offsets)
    }

    /// This is wrong, unless only our answer is old: a predecessor that was alive when we asked may have committed since, both
    /// decisions and offset, and the histories show it.
    fn unless_overtaken(&self, partition: TopicPartition, committed: Option<i64>, wrong: Error) -> Error {
        match self.committed(&[partition]) {
            Ok(now) if now.get(&partition).copied() == committed => wrong,
            Ok(_) => Error::Overtaken,
            Err(error) => error,
        }
    }

    fn find<'l>(
        &self,
        list: &'l TopicPartitionList,
        (topic, partition): TopicPartition,
    ) -> Option<TopicPartitionListElem<'l>> {
        list.find_partition(&self.cluster.topic(topic), partition)
    }

    /// First offset and high watermark.
    fn watermarks(&self, (topic, partition): TopicPartition) -> Result<(i64, i64), Error> {
        self.uncommitted
            .fetch_watermarks(&self.cluster.topic(topic), partition, QUESTION_TIMEOUT)
            .map_err(Error::kafka("asking for a partition's ends"))
    }

    /// The first offset of this time or later; the end of the log where nothing is that young. The end is asked for first: what
    /// comes meanwhile must not be passed over.
    fn offset_at(&self, (topic, partition): TopicPartition, time: Timestamp) -> Result<i64, Error> {
        let doing = "asking for the offset of a time";
        let (low, end) = self.watermarks((topic, partition))?;
        let ms = time.as_millisecond();
        let ms = ms + i64::from(time.as_nanosecond() > i128::from(ms) * 1_000_000);
        let mut wanted = TopicPartitionList::new();
        wanted
            .add_partition_offset(&self.cluster.topic(topic), partition, Offset::Offset(ms.max(0)))
            .map_err(Error::kafka(doing))?;
        let answer =
            self.uncommitted.offsets_for_times(wanted, QUESTION_TIMEOUT).map_err(Error::kafka(doing))?;
        let Some(element) = self.find(&answer, (topic, partition)) else { return Ok(end) };
        element.error().map_err(Error::kafka(doing))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ => end,
        })
    }

    /// The histories of these inputs. Asked for after the committed offsets are known: a watermark captured earlier would
    /// miss what a zombie commits in between (rule 7).
    fn histories<H: Hydrate>(&self, partitions: &[TopicPartition]) -> Result<Vec<History>, Error> {
        let mut histories = Vec::new();
        for &of in partitions {
            for topic in H::histories(of.0) {
                let (start, end) = self.watermarks((topic, of.1))?;
                histories.push(History { of, topic: (topic, of.1), start, end });
            }
        }
        Ok(histories)
    }

    /// Folds these partitions to their ends, from what is stored if that can be believed. Returns how many records that
    /// took, and the highest offset that is already decided.
    fn hydrate<H: Hydrate>(
        &self,
        histories: &[&History],
        next: i64,
        state: &mut H,
        takeover: &Takeover,
    ) -> Result<(u64, Option<i64>), Error> {
        let extents: Vec<_> = histories.iter().map(|h| (h.topic.0, h.start..h.end)).collect();
        let mut folded = 0;
        let decided = hydrate(state, next, &extents, |state, from| {
            let from = histories.iter().copied().zip(from).collect();
            self.read(from, takeover, |topic, record| {
                folded += 1;
                state.fold(topic, record).map(ControlFlow::Continue)
            })
        })?;
        Ok((folded, decided))
    }

    /// Reads these histories of one input from these offsets to their ends, or for as long as `each` wants more. What the broker
    /// sends along from behind an end is left to whoever goes on there: a timer that was known before it is read could be
    /// published, and then set once more by its own record.
    fn read(
        &self,
        mut open: Vec<(&History, i64)>,
        takeover: &Takeover,
        mut each: impl FnMut(Topic, &Incoming<'_>) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let doing = "reading a history";
        open.retain(|(history, from)| *from < history.end);
        if open.is_empty() {
            return Ok(());
        }
        let all: HashMap<String, &History> =
            open.iter().map(|(history, _)| (self.cluster.topic(history.topic.0), *history)).collect();
        let mut list = TopicPartitionList::new();
        for (history, from) in &open {
            let (topic, partition) = history.topic;
            list.add_partition_offset(&self.cluster.topic(topic), partition, Offset::Offset(*from))
                .map_err(Error::kafka(doing))?;
        }
        self.committed.assign(&list).map_err(Error::kafka(doing))?;
        let mut progress = Instant::now();
        while !open.is_empty() {
            if takeover.shutdown.is_set() {
                return Err(Error::ShuttingDown);
            }
            match self.committed.poll(Duration::from_millis(5)) {
                Some(Ok(message)) => {
                    progress = Instant::now();
                    if let Some(history) = all.get(message.topic()).filter(|h| message.offset() < h.end) {
                        match each(history.topic.0, &incoming(&message))? {
                            ControlFlow::Continue(()) => continue,
                            ControlFlow::Break(()) => break,
                        }
                    }
                }
                Some(Err(error)) => tracing::debug!(%error, "{doing}"),
                None => {}
            }
            // Nothing more is there right now. A position moves over transaction markers, which are no messages.
            let position = self.committed.position().map_err(Error::kafka(doing))?;
            open.retain(|(history, _)| {
                let at = self.find(&position, history.topic).map(|element| element.offset());
                !matches!(at, Some(Offset::Offset(at)) if at >= history.end)
            });
            if let Some((stuck, from)) = open.first().filter(|_| progress.elapsed() > takeover.patience) {
                let at = self.find(&position, stuck.topic).and_then(|element| element.offset().to_raw());
                let ((topic, partition), end) = (stuck.topic, stuck.end);
                return Err(Error::Stuck { topic, partition, at: at.unwrap_or(*from), end });
            }
        }
        self.committed.unassign().map_err(Error::kafka(doing))
    }
}
