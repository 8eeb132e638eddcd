//! Deciding: the story of one command, from its record to its trace. Each record leaves exactly one (rule 9): events, or
//! one outcome record.
//!
//! - [`Deciding::process`] is that story.
//! - [`partition`] is what is known of a partition: [`streams`], the aggregates, and [`repeats`], the commands decided lately.
//! - [`hydrate`] folds it from the log; [`keep`] and [`store`](super::store) keep a copy of it on disk.
//! - [`shadow`] decides what was decided once more, and writes nothing.

mod hydrate;
mod keep;
mod partition;
mod read;
mod repeats;
pub mod shadow;
mod streams;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use factfold_schemas::{
    cloudevents::Incoming,
    codec::{Named as _, decode_command},
    command::{Digest, Header, NOT_BEFORE_MAX},
    ids::StreamId,
    kafka::Cluster,
    letter::dead_letter,
    partitioner::partition_of,
    position::Position,
    record::{
        Answer, Cause, DeadLetterReason, DeadLettered, Forwarded, NoChange, Outcome, RecordedOutcome,
        Rejected, Repeated, Reply, Scheduled, event_record,
    },
    rejection::{Common, Reject as _, Rejection, RejectionKind},
    timer::Timer,
    topics::Topic,
};
use factfold_vault::{Unprotected, Vault, VaultError};
use jiff::Timestamp;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rustc_hash::FxHashMap;
use serde_json::Value;

pub use self::partition::Partition;
use self::{
    partition::Limits,
    read::{Read, Unreadable, read},
    repeats::{First, FirstOutcome, Identity, timestamp},
};
use super::{
    Settings, Shutdown, Status,
    error::Error,
    layout::Layout,
    processor::{Processor, Produce, Target, TopicPartition, Written},
    store::{Binding, Store},
};
use crate::decider::{Asked, Decider, Entry, Events};

/// The name of [`Common::CommandIdReused`], as it is stored.
/// The longest reply, in bytes: what a broker takes where nobody has said otherwise, and room for the headers.
const REPLY_BYTES_MAX: usize = 900 * 1024;
const COMMAND_ID_REUSED: &str = "command-id-reused";

/// Decides the commands of one service.
pub struct Deciding<D: Decider> {
    layout: Layout,
    limits: Limits,
    /// Kafka's name of the commands.
    commands: String,
    store: Option<Arc<Store>>,
    vault: Option<Arc<Vault>>,
    partitions: FxHashMap<i32, Partition<D>>,
    /// Those that the open transaction touched.
    touched: Vec<i32>,
    /// How many events and outcomes of which type the open transaction has.
    traces: Traces,
}

type Traces = BTreeMap<&'static str, u64>;

/// Runs the decider of a service, until told to stop.
pub fn run<D: Decider>(
    cluster: &Cluster,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
) -> Result<(), Error> {
    let commands = cluster.topic(D::SERVICE.commands());
    let group = cluster.namespace.qualify(group::<D>());
    let own = settings.clone();
    super::run(cluster, settings, shutdown, status, |layout| {
        let open = |dir: &Path| Store::open(dir, &group, &own.instance, layout.cluster_id()?);
        let store = own.state_dir.as_deref().and_then(open);
        Ok(Deciding::<D>::new(layout, &own, commands, store))
    })
}

/// The consumer group of a decider, without the namespace.
pub fn group<D: Decider>() -> String {
    format!("factfold.{}", D::SERVICE)
}

impl<D: Decider> Deciding<D> {
    fn new(layout: Layout, settings: &Settings, commands: String, store: Option<Arc<Store>>) -> Self {
        let limits = Limits::of(settings);
        Self {
            layout,
            limits,
            commands,
            store,
            vault: settings.vault.clone(),
            partitions: FxHashMap::default(),
            touched: Vec::new(),
            traces: Traces::new(),
        }
    }
}

impl<D: Decider> Processor for Deciding<D> {
    type Partition = Partition<D>;

    fn group(&self) -> String {
        group::<D>()
    }

    fn inputs(&self) -> Vec<Topic> {
        vec![D::SERVICE.commands()]
    }

    fn open(&mut self, of: TopicPartition) -> Partition<D> {
        let shelf = self.store.as_ref().and_then(|store| {
            let binding = Binding::new(store.cluster_id(), self.commands.clone(), of.1, D::VERSION);
            Some((store.shelf(of.1)?, binding))
        });
        Partition::new(of, self.limits, shelf)
    }

    fn adopt(&mut self, (_, partition): TopicPartition, state: Partition<D>) {
        self.partitions.insert(partition, state);
    }

    fn forget(&mut self, (_, partition): TopicPartition) {
        self.partitions.remove(&partition);
    }

    fn tidy(&mut self) -> Vec<TopicPartition> {
        let tidied = self.partitions.iter_mut().map(|(partition, state)| (*partition, state.tidy()));
        let lost = tidied.filter(|(_, tidied)| tidied.is_err());
        lost.map(|(partition, _)| (D::SERVICE.commands(), partition)).collect()
    }

    fn save(&mut self, (_, partition): TopicPartition) {
        // What could not be stored is folded again by whoever has the partition next.
        let _ = self.partitions.get_mut(&partition).map(Partition::save);
    }

    fn process(&mut self, topic: Topic, record: &Incoming<'_>, out: &mut Vec<Produce>) -> Result<(), Error> {
        let at = Position::new(topic, record.partition, record.offset);
        let Some(partition) = self.partitions.get_mut(&record.partition) else {
            let what = "its partition was never taken over".to_owned();
            return Err(Error::Inconsistent { position: at, what });
        };
        if partition.has_decided(record.offset) {
            return Ok(());
        }
        self.touched.push(record.partition);
        let mut desk = Desk {
            layout: &self.layout,
            vault: self.vault.as_deref(),
            partition,
            record,
            at,
            out,
            traces: &mut self.traces,
        };
        match read(record, at) {
            Err(unreadable) => desk.dead_letter(unreadable),
            Ok(command) => {
                let home = partition_of(command.stream.as_str().as_bytes(), self.layout.partitions(topic));
                if home == record.partition {
                    desk.settle(command)?;
                } else {
                    desk.forward(command, home);
                }
            }
        }
        Ok(())
    }

    fn committed(&mut self, written: &Written) {
        for partition in self.touched.drain(..) {
            self.partitions.get_mut(&partition).into_iter().for_each(Partition::commit);
        }
        while let Some((type_name, number)) = self.traces.pop_first() {
            metrics::counter!("factfold_traces_total", "type" => type_name).increment(number);
        }
        for ((topic, partition), mark) in written {
            let trail = self.partitions.get_mut(partition).and_then(|state| state.trail(*topic));
            trail.into_iter().for_each(|trail| trail.reached(*mark));
        }
    }

    fn discarded(&mut self) {
        for partition in self.touched.drain(..) {
            self.partitions.get_mut(&partition).into_iter().for_each(Partition::discard);
        }
        self.traces.clear();
    }
}

/// Where one command is decided.
struct Desk<'a, D: Decider> {
    layout: &'a Layout,
    vault: Option<&'a Vault>,
    partition: &'a mut Partition<D>,
    record: &'a Incoming<'a>,
    at: Position,
    out: &'a mut Vec<Produce>,
    traces: &'a mut Traces,
}

impl<D: Decider> Desk<'_, D> {
    /// The command lies where its key belongs: a repeat gets the first one's answer, a new one is decided once it is due.
    fn settle(&mut self, command: Read<'_>) -> Result<(), Error> {
        let Read { stream, header, type_name, value } = command;
        let digest = Digest::of(&type_name, &value);
        let cause = Cause::of(&header, digest, self.at, timestamp(self.record.timestamp_ms));
        let Some(id) = D::aggregate(stream.as_str()) else {
            let detail =
                format!("the key `{}` is no stream of the {} service", shown(stream.as_str()), D::SERVICE);
            self.dead_letter(Unreadable::new("wrong-key", detail).after(header, type_name));
            return Ok(());
        };
        self.partition.load(id)?;
        let identity = Identity::of(stream.as_str(), &header);
        if let Some(first) = self.partition.first(identity, self.record.timestamp_ms).cloned()
            && !self.is_published_by(&first, &header, digest)
        {
            self.repeat(id, stream, &header, cause, type_name, first);
            return Ok(());
        }
        let mut message = match decode_command::<D::Command>(&type_name, &value) {
            Ok(message) => message,
            Err(error) => {
                self.dead_letter(Unreadable::from(error).after(header, type_name));
                return Ok(());
            }
        };
        if let Some(due) = put_off(&header, cause.time) {
            self.schedule(id, Read { stream, header, type_name, value }, due, cause);
            let (decided, at_ms) = (self.at.offset, self.record.timestamp_ms);
            let outcome = FirstOutcome::scheduled(due);
            self.partition.remember(identity, First { digest, decided, at_ms, outcome });
            return Ok(());
        }
        let protected = self.protect(id, &mut message)?;
        let remembered = match protected.and_then(|()| self.decide(id, &message, &header, &cause)) {
            Ok(events) => {
                let version = self.record_events(id, &stream, &cause, events);
                self.partition.decided(self.at.offset, true);
                self.reply(id, &header, digest, Answer::Accepted { version }, false);
                FirstOutcome::Accepted(version)
            }
            Err(rejection) if rejection.kind == RejectionKind::NoChange => {
                self.outcome(Some(stream), cause, Outcome::NoChange(NoChange { command: type_name }));
                self.reply(id, &header, digest, Answer::NoChange, false);
                FirstOutcome::NoChange
            }
            Err(rejection) => {
                let rejected = Rejected { command: type_name, rejection: (*rejection).clone() };
                self.outcome(Some(stream), cause, Outcome::Rejected(rejected));
                self.reply(id, &header, digest, Answer::Rejected { rejection: (*rejection).clone() }, false);
                FirstOutcome::Rejected(rejection)
            }
        };
        let (decided, at_ms) = (self.at.offset, self.record.timestamp_ms);
        self.partition.remember(identity, First { digest, decided, at_ms, outcome: remembered });
        Ok(())
    }

    /// Seals what the command says about people, so that no event has it in the clear.
    fn protect(&self, id: D::Id, message: &mut D::Command) -> Result<Result<(), Arc<Rejection>>, Error> {
        let Some(vault) = self.vault else { return Ok(Ok(())) };
        match D::protect(message, id, vault) {
            Ok(()) => Ok(Ok(())),
            Err(Unprotected::Refused(rejection)) => Ok(Err(Arc::new(rejection.to_rejection()))),
            Err(Unprotected::Failed(VaultError::Kafka(error))) => {
                Err(Error::Kafka { doing: "getting a key of personal data", error })
            }
            Err(Unprotected::Failed(late)) => {
                tracing::warn!(error = %late, "a command cannot be sealed");
                let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
                Err(Error::Kafka { doing: "getting a key of personal data", error })
            }
        }
    }

    /// What the runtime asks of every command, then the decider's own rules.
    fn decide(
        &self,
        id: D::Id,
        message: &D::Command,
        header: &Header,
        cause: &Cause,
    ) -> Result<Events<D::Event>, Arc<Rejection>> {
        let entry = self.partition.entry(id);
        let latest = cause.time + NOT_BEFORE_MAX;
        if let Some(not_before) = header.not_before.filter(|not_before| *not_before > latest) {
            return Err(Arc::new(Common::TooFarAhead { not_before, latest }.to_rejection()));
        }
        if let Some(expired_at) = header.expires.filter(|expires| *expires <= cause.time) {
            return Err(Arc::new(Common::Expired { expired_at }.to_rejection()));
        }
        let asked = Asked { by: header.auth.as_ref(), at: cause.time };
        let decision = D::decide(id, entry.map(|entry| &entry.state), message, asked)
            .map_err(|rejection| Arc::new(rejection.to_rejection()));
        // What the caller may not see has no version to tell either.
        if matches!(&decision, Err(rejection) if rejection.kind == RejectionKind::NotFound) {
            return decision;
        }
        let actual = entry.map_or(0, |entry| entry.version);
        match header.expected_version {
            Some(expected) if expected != actual => {
                Err(Arc::new(Common::VersionMismatch { expected, actual }.to_rejection()))
            }
            _ => decision,
        }
    }

    /// The command is not due yet: it waits among the timers, and comes again. By which clock it came too early does not
    /// matter, since it is this one that counts: the broker's, of the record.
    fn schedule(&mut self, id: D::Id, command: Read<'_>, due: Timestamp, cause: Cause) {
        let Read { stream, header, type_name, value } = command;
        let (timer, digest) = (Timer { due, scheduled: self.at }, cause.digest);
        self.reply(id, &header, digest, Answer::Scheduled { due }, false);
        let record = timer.record(header, D::SERVICE, &stream, &type_name, value.into_owned());
        self.produce(D::SERVICE.timers(), record);
        self.outcome(Some(stream), cause, Outcome::Scheduled(Scheduled { command: type_name, due }));
    }

    /// Whether this is the copy, published by a timer, of a first that waited for its time.
    fn is_published_by(&self, first: &First, header: &Header, digest: Digest) -> bool {
        let scheduled = Position { offset: first.decided, ..self.at };
        first.waits() && first.digest == digest && header.scheduled_from == Some(scheduled)
    }

    /// Writes the events and moves the draft on. Returns the version of the last.
    fn record_events(
        &mut self,
        id: D::Id,
        stream: &StreamId,
        cause: &Cause,
        events: Events<D::Event>,
    ) -> u64 {
        let entry = self.partition.entry(id);
        let mut version = entry.map_or(0, |entry| entry.version);
        let created_at = entry.map_or(cause.time, |entry| entry.created_at);
        let mut state = entry.map(|entry| entry.state.clone());
        for data in events {
            version += 1;
            state = D::evolve(state, &data);
            self.note(data.type_name(), cause);
            self.produce(D::SERVICE.events(), event_record(D::SERVICE, stream, version, cause, &data));
        }
        if let Some(state) = state {
            self.partition.change(id, Entry { version, created_at, updated_at: cause.time, state });
        }
        version
    }

    /// The same identity came before: the first one's answer, if it said the same.
    fn repeat(
        &mut self,
        id: D::Id,
        stream: StreamId,
        header: &Header,
        cause: Cause,
        command: String,
        first: First,
    ) {
        let digest = cause.digest;
        if first.digest != digest {
            let rejection = Common::CommandIdReused.to_rejection();
            let rejected = Rejected { command, rejection: rejection.clone() };
            self.outcome(Some(stream), cause, Outcome::Rejected(rejected));
            return self.reply(id, header, digest, Answer::Rejected { rejection }, false);
        }
        let first_at = Position { offset: first.decided, ..self.at };
        self.outcome(Some(stream), cause, Outcome::Repeated(Repeated { command, first: first_at }));
        self.reply(id, header, digest, first.outcome.into(), true);
    }

    /// The command lies where its key does not belong: another client's partitioner. It is moved, once (rule 12).
    fn forward(&mut self, command: Read<'_>, home: i32) {
        let Read { stream, header, type_name, value } = command;
        if let Some(first) = header.forwarded_from {
            let detail = format!("this copy of the command at {first} was forwarded, and is misplaced again");
            return self.dead_letter(Unreadable::new("misplaced-again", detail).after(header, type_name));
        }
        let digest = Digest::of(&type_name, &value);
        let cause = Cause::of(&header, digest, self.at, timestamp(self.record.timestamp_ms));
        let copy = Header { forwarded_from: Some(self.at), ..header };
        let record = copy.record(D::SERVICE, &stream, &type_name, value.into_owned());
        self.out.push(Produce { target: Target::Topic(self.at.topic), partition: home, record });
        self.outcome(
            Some(stream),
            cause,
            Outcome::Forwarded(Forwarded { from: self.at.partition, to: home }),
        );
    }

    /// The record cannot be read: it is put aside as it came, and the partition goes on (rule 12).
    fn dead_letter(&mut self, unreadable: Unreadable) {
        let Unreadable { reason, header, type_name } = unreadable;
        let header = header.map_or_else(|| read::anonymous(self.at), |header| *header);
        tracing::warn!(kafka.position = %self.at, reason = reason.name, detail = reason.detail, "dead letter");
        metrics::counter!(
            "factfold_dead_letters_total", "service" => D::SERVICE.name(), "reason" => reason.name.clone()
        )
        .increment(1);
        let topic = D::SERVICE.dead_letters();
        let partition = self.at.partition % self.layout.partitions(topic);
        let record = dead_letter(self.record, self.at.topic, &reason);
        self.out.push(Produce { target: Target::Topic(topic), partition, record });

        let digest = Digest::of(&type_name, self.record.value.unwrap_or_default());
        let cause = Cause::of(&header, digest, self.at, timestamp(self.record.timestamp_ms));
        let stream = self.record.key.and_then(read::stream);
        let dead = DeadLettered { reason: reason.clone() };
        self.outcome(stream, cause, Outcome::DeadLettered(dead));
        self.answer(&header, digest, Answer::DeadLettered { reason }, false, None);
    }

    /// Writes the one outcome record of a command that gave no events.
    fn outcome(&mut self, stream: Option<StreamId>, cause: Cause, outcome: Outcome) {
        let after = self.partition.gave_events().map(|offset| Position { offset, ..self.at });
        let outcome = RecordedOutcome { stream, cause, after, outcome };
        self.note(outcome.outcome.type_name(), &outcome.cause);
        self.produce(D::SERVICE.outcomes(), outcome.record(D::SERVICE));
        self.partition.decided(self.at.offset, false);
    }

    fn reply(&mut self, id: D::Id, header: &Header, digest: Digest, answer: Answer, repeated: bool) {
        let resource = |desk: &Self| desk.partition.entry(id).map(|entry| D::resource(id, entry));
        let resource = header.reply_to.as_ref().and_then(|_| resource(self));
        self.answer(header, digest, answer, repeated, resource);
    }

    /// Tells whoever waits, if somebody does. A partition that the replies topic does not have is nobody: it must not
    /// keep the transaction from succeeding.
    fn answer(
        &mut self,
        header: &Header,
        digest: Digest,
        answer: Answer,
        repeated: bool,
        resource: Option<Value>,
    ) {
        let Some(to) = header.reply_to.as_ref().filter(|to| to.partition < self.layout.replies()) else {
            return;
        };
        let position = header.forwarded_from.unwrap_or(self.at);
        let mut reply = Reply { command_id: header.id.clone(), digest, position, answer, repeated, resource };
        let mut record = reply.record(&to.to_string());
        // What the broker does not take would keep the decision from ever being made.
        if record.value.as_ref().is_some_and(|value| value.len() > REPLY_BYTES_MAX) {
            reply.resource = None;
            record = reply.record(&to.to_string());
        }
        self.out.push(Produce { target: Target::Replies, partition: to.partition, record });
    }

    /// Counts a trace, and lets the one who follows a request find it: the event or outcome is in the open transaction.
    fn note(&mut self, type_name: &'static str, cause: &Cause) {
        *self.traces.entry(type_name).or_default() += 1;
        tracing::debug!(
            trace.parent = cause.traceparent, command.id = cause.command_id, kafka.position = %cause.decided,
            "decided: {type_name}"
        );
    }

    /// Into the partition of this number, which is where the key belongs, or where the record lay.
    fn produce(&mut self, topic: Topic, record: factfold_schemas::cloudevents::Outgoing) {
        self.out.push(Produce { target: Target::Topic(topic), partition: self.at.partition, record });
    }
}

/// The time of a command that is to be decided later, though not too late.
fn put_off(header: &Header, now: Timestamp) -> Option<Timestamp> {
    header.not_before.filter(|due| now < *due && *due <= now + NOT_BEFORE_MAX)
}

/// The beginning of a text from outside, for a message.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl From<factfold_schemas::codec::DecodeError> for Unreadable {
    fn from(error: factfold_schemas::codec::DecodeError) -> Self {
        use factfold_schemas::codec::DecodeError;
        let name = match error {
            DecodeError::UnknownType { .. } => "unknown-type",
            DecodeError::Invalid { .. } | DecodeError::Nul { .. } => "invalid-data",
        };
        Self::new(name, error.to_string())
    }
}

/// Why a record cannot be read, as it is stored.
fn reason(name: &str, detail: &str) -> DeadLetterReason {
    DeadLetterReason { name: name.to_owned(), detail: detail.chars().take(500).collect() }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
#[path = "scheduled_test.rs"]
mod scheduled_tests;
#[cfg(test)]
#[path = "stored_test.rs"]
mod stored_tests;
#[cfg(test)]
#[path = "deciding_test.rs"]
mod tests;
