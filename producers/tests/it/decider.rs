//! A decider that is no decider: it answers each command as the command's own text asks, transactionally, as the worker
//! does. It remembers ids, so that a repeat gets the first answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use factfold_schemas::{
    cloudevents::CloudEvent,
    command::{Digest, Header},
    kafka::{Cluster, headers, incoming},
    orders,
    position::Position,
    record::{Answer, DeadLetterReason, Reply},
    rejection::{Common, Reject, Rejection, RejectionKind},
    topics::{REPLIES, Service},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};

use crate::stack::PARTITIONS;

const TIME: Duration = Duration::from_secs(10);

/// A command as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) key: String,
    pub(crate) type_name: String,
    pub(crate) value: Value,
    pub(crate) header: Header,
    pub(crate) position: Position,
}

type Remembered = HashMap<(String, String, String), (Digest, Reply)>;

pub(crate) struct Decider {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Decider {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let of_thread = (cluster.clone(), Arc::clone(&seen), stop.clone());
        let thread = thread::spawn(move || run(&of_thread.0, &of_thread.1, &of_thread.2));
        Self { seen, stop, thread: Some(thread) }
    }

    /// All commands that were stored so far, once there are so many.
    pub(crate) async fn seen(&self, count: usize) -> Vec<Seen> {
        let enough = async {
            loop {
                let seen = self.seen.lock().expect("no panic").clone();
                if seen.len() >= count {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(TIME, enough).await.expect("the commands arrive in time")
    }
}

impl Drop for Decider {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

fn run(cluster: &Cluster, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    let consumer = consumer(cluster);
    let producer: BaseProducer = ClientConfig::clone(&cluster.client())
        .set("transactional.id", cluster.namespace.qualify("decider"))
        .set("retry.backoff.ms", "1")
        .create()
        .expect("a producer");
    producer.init_transactions(TIME).expect("a transactional producer");
    let replies = cluster.namespace.qualify(REPLIES);
    let mut remembered = Remembered::new();
    while !stop.load(Ordering::Acquire) {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let service =
            if message.topic().ends_with("goods.commands") { Service::Goods } else { Service::Orders };
        let position = Position::new(service.commands(), message.partition(), message.offset());
        let record = incoming(&message);
        let event = CloudEvent::read(&record).expect("a CloudEvent");
        let command = Seen {
            key: String::from_utf8_lossy(record.key.expect("a key")).into_owned(),
            type_name: event.get("type").expect("a type").to_owned(),
            value: serde_json::from_slice(&event.data).expect("JSON"),
            header: Header::read(&event, position).expect("a header"),
            position,
        };
        seen.lock().expect("no panic").push(command.clone());
        let digest = Digest::of(&command.type_name, &event.data);
        let Some(reply) = decide(&command, digest, &mut remembered) else { continue };
        let Some(to) = &command.header.reply_to else { continue };

        let outgoing = reply.record(&to.to_string());
        let (key, value) = (outgoing.key.clone().expect("a key"), outgoing.value.clone().expect("a value"));
        producer.begin_transaction().expect("a transaction");
        let record = BaseRecord::to(&replies).partition(to.partition).key(&key).payload(&value);
        producer.send(record.headers(headers(&outgoing))).map_err(|(error, _)| error).expect("sent");
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        producer.commit_transaction(TIME).expect("committed");
    }
}

fn consumer(cluster: &Cluster) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::clone(&cluster.client())
        .set("group.id", cluster.namespace.qualify("decider"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    for service in Service::ALL {
        for partition in 0..PARTITIONS {
            all.add_partition_offset(&cluster.topic(service.commands()), partition, Offset::Beginning)
                .expect("a partition");
        }
    }
    consumer.assign(&all).expect("assigned");
    consumer
}

/// `None` when the command asks for silence.
fn decide(command: &Seen, digest: Digest, remembered: &mut Remembered) -> Option<Reply> {
    let instruction = command.value["reason"].as_str().unwrap_or_default();
    if instruction == "silence" {
        return None;
    }
    let header = &command.header;
    let identity = (command.key.clone(), header.source.clone(), header.id.clone());
    let reply = |answer, resource| Reply {
        command_id: header.id.clone(),
        digest,
        position: command.position,
        answer,
        repeated: false,
        resource,
    };
    if let Some((first_digest, first)) = remembered.get(&identity) {
        return Some(if *first_digest == digest {
            Reply { repeated: true, position: command.position, ..first.clone() }
        } else {
            reply(Answer::Rejected { rejection: Common::CommandIdReused.to_rejection() }, None)
        });
    }
    let resource = Some(resource(&command.key));
    let rejected = |rejection: Rejection| reply(Answer::Rejected { rejection }, None);
    let no_change =
        || Rejection { kind: RejectionKind::NoChange, ..orders::Rejection::NoChange.to_rejection() };
    let decided = match instruction {
        "invalid" => rejected(orders::Rejection::QuantityOutOfRange { line: 0, given: 0 }.to_rejection()),
        "conflict" => rejected(orders::Rejection::AlreadyPaid.to_rejection()),
        "not-found" => rejected(orders::Rejection::OrderNotFound.to_rejection()),
        "not-yours" => rejected(orders::Rejection::NotYourOrder.to_rejection()),
        "precondition" => rejected(Common::VersionMismatch { expected: 1, actual: 2 }.to_rejection()),
        "no-change" => Reply { resource, ..rejected(no_change()) },
        "dead-letter" => {
            let reason = DeadLetterReason { name: "unknown-type".into(), detail: "no such type".into() };
            reply(Answer::DeadLettered { reason }, None)
        }
        _ => reply(Answer::Accepted { version: 1 }, resource),
    };
    remembered.insert(identity, (digest, decided.clone()));
    Some(decided)
}

/// What could be there after the decision.
fn resource(stream: &str) -> Value {
    let (kind, id) = stream.split_once('-').expect("a stream");
    let time = "2026-11-25T10:00:00.5Z";
    let mut resource = json!({ "id": id, "version": 1, "created_at": time, "updated_at": time });
    let own = match kind {
        "goods" => {
            json!({ "name": "Tea", "price": { "amount": 250, "currency": "EUR" }, "stock": 3, "discontinued": false })
        }
        _ => {
            json!({ "user_id": id, "status": "created", "lines": [{ "goods_id": id, "quantity": 2, "unit_price": null }],
                     "total": null, "paid": null, "refunded": null, "rejection": null })
        }
    };
    resource.as_object_mut().expect("an object").extend(own.as_object().expect("an object").clone());
    resource
}
