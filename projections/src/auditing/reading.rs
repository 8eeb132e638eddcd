//! One record, as far as it can be read, and what is wrong with it alone.

use factfold_schemas::{
    cloudevents::{CloudEvent, Incoming, Outgoing},
    command::Digest,
    partitioner::partition_of,
    position::Position,
    topics::{Service, TopicKind},
};
use serde_json::Value;

use crate::{log_reader::Record as Kafka, projector::Record};

/// A record, as far as it could be read.
pub(super) struct Item {
    pub(super) at: Position,
    pub(super) what: What,
    /// What is wrong with it alone.
    pub(super) wrong: Vec<String>,
}

pub(super) enum What {
    Command {
        id: Option<String>,
        digest: Option<Digest>,
    },
    Trace(Box<Record>),
    /// It cannot be read.
    Nothing,
}

/// Which command a record is, or follows from: records are read in the order of these. What does not say it comes first.
pub(super) fn turn(record: &Kafka<'_>) -> i64 {
    if record.topic.kind == TopicKind::Commands {
        return record.position().offset;
    }
    let decided = record.header("ce_decidedposition").and_then(|text| text.parse::<Position>().ok());
    decided.map_or(i64::MIN, |position| position.offset)
}

/// Reads a record of this service.
pub(super) fn read(service: Service, record: &Kafka<'_>, partitions: i32) -> Item {
    item(service, record.position(), &record.incoming(), partitions)
}

fn item(service: Service, at: Position, record: &Incoming<'_>, partitions: i32) -> Item {
    if at.topic.kind == TopicKind::Commands {
        let event = CloudEvent::read(record).ok();
        let id = event.as_ref().and_then(|event| event.get("id").map(str::to_owned));
        let digest = event.and_then(|event| Some(Digest::of(event.get("type")?, &event.data)));
        return Item { at, what: What::Command { id, digest }, wrong: Vec::new() };
    }
    let read = match Record::read(at.topic, record) {
        Ok(read) => read,
        Err(error) => {
            return Item { at, what: What::Nothing, wrong: vec![format!("it cannot be read: {error}")] };
        }
    };
    let mut wrong = Vec::new();
    let decided = read.cause().decided;
    if decided.topic != service.commands() || decided.partition != at.partition {
        wrong.push(format!("it says that it was decided at {decided}, which is elsewhere"));
    }
    if !matches!(read, Record::Outcome(_))
        && partition_of(record.key.unwrap_or_default(), partitions) != at.partition
    {
        wrong.push("its key belongs in another partition".to_owned());
    }
    if !says_the_same(&written(service, &read), record) {
        wrong.push("what is read of it is not all that it says".to_owned());
    }
    Item { at, what: What::Trace(Box::new(read)), wrong }
}

/// The record as it would be written now.
fn written(service: Service, read: &Record) -> Outgoing {
    match read {
        Record::Functions(event) => event.record(service),
        Record::Goods(event) => event.record(service),
        Record::Orders(event) => event.record(service),
        Record::Users(event) => event.record(service),
        Record::Outcome(outcome) => outcome.record(service),
    }
}

/// Nearly always they are the same to the byte.
fn says_the_same(written: &Outgoing, stored: &Incoming<'_>) -> bool {
    let value = written.value.as_deref();
    let parsed = |value: Option<&[u8]>| value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
    written.key.as_deref() == stored.key
        && (value == stored.value || parsed(value) == parsed(stored.value))
        && written.headers.iter().all(|header| stored.headers.contains(&header))
}
