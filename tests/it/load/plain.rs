//! What plain Kafka clients do: write straight onto the topics, with librdkafka's own partitioner, which is not ours; with
//! and without ids, twice, and things that nobody can read.

use std::time::Duration;

use factfold_checker::checks::told::{Answer, Told};
use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    kafka::{Cluster, headers},
    position::Position,
    topics::Service,
};
use jiff::{SignedDuration, Timestamp};
use rdkafka::{
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Dice, Load};

/// Longer than the system is ever away here.
const PATIENCE: Duration = Duration::from_secs(240);
/// How many records are on their way at once.
const AT_ONCE: usize = 5;

/// A record to write.
#[derive(Debug, Clone)]
struct Plain {
    service: Service,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Plain {
    fn new(service: Service, key: impl ToString, type_name: &str, value: &Value) -> Self {
        let key = Some(key.to_string().into_bytes());
        let value = Some(value.to_string().into_bytes());
        Self { service, key, value, headers: vec![("ce_type", type_name.into())] }
    }

    fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn id(&self) -> Option<String> {
        let (_, id) = self.headers.iter().find(|(name, _)| *name == "ce_id")?;
        String::from_utf8(id.clone()).ok()
    }
}

/// Writes until the load is over.
pub(crate) async fn plain_client(load: &Load, cluster: &Cluster) {
    let producer: FutureProducer = cluster.client().create().expect("a producer");
    let mut dice = load.dice();
    let mut written = 0;
    while !load.is_over() {
        load.pace(written).await;
        let records: Vec<Plain> = (0..AT_ONCE).flat_map(|_| make(load, &mut dice)).collect();
        written += records.len();
        let writes = records.iter().map(|record| write(load, cluster, &producer, record));
        futures::future::join_all(writes).await;
    }
}

/// Writes a record; what is delivered must have a trace in the end.
async fn write(load: &Load, cluster: &Cluster, producer: &FutureProducer, plain: &Plain) {
    let topic = plain.service.commands();
    let name = cluster.topic(topic);
    let outgoing = factfold_schemas::cloudevents::Outgoing {
        headers: plain.headers.iter().cloned().collect(),
        ..Default::default()
    };
    let own: OwnedHeaders = headers(&outgoing);
    let mut record = FutureRecord::<[u8], [u8]>::to(&name).headers(own);
    record.key = plain.key.as_deref();
    record.payload = plain.value.as_deref();
    match producer.send(record, PATIENCE).await {
        Ok(delivery) => {
            let position = Position::new(topic, delivery.partition, delivery.offset);
            load.delivered(Told { position, command_id: plain.id(), answer: Answer::Stored });
        }
        Err((error, _)) => load.surprise(format!("{plain:?} was not delivered: {error}")),
    }
}

/// One record, or a few that belong together.
fn make(load: &Load, dice: &mut Dice) -> Vec<Plain> {
    match dice.roll(10) {
        0..3 => vec![adjust(load, dice)],
        3 => vec![add(load)],
        4..6 => order(load, dice),
        6 => vec![garbage(load, dice)],
        7 => meddle(load, dice).into_iter().collect(),
        _ => again(load, dice),
    }
}

fn adjust(load: &Load, dice: &mut Dice) -> Plain {
    let value = json!({ "delta": dice.roll(9) as i64 - 3, "reason": "counted" });
    Plain::new(Service::Goods, load.any_goods(dice).stream(), "AdjustStock", &value)
}

fn add(load: &Load) -> Plain {
    let id = GoodsId::generate();
    load.book(|book| book.goods.push(id));
    let value = json!({ "name": "Cup", "price": { "amount": 100, "currency": "EUR" }, "stock": 50 });
    Plain::new(Service::Goods, id.stream(), "AddGoods", &value)
}

fn order(load: &Load, dice: &mut Dice) -> Vec<Plain> {
    let id = OrderId::generate();
    load.book(|book| book.orders.push(id));
    let line = json!({ "goods_id": load.any_goods(dice), "quantity": dice.roll(4) });
    let value = json!({ "user_id": UserId::generate(), "lines": [line] });
    let create = Plain::new(Service::Orders, id.stream(), "CreateOrder", &value);
    let pay = json!({ "amount": { "amount": 100, "currency": "EUR" }, "method": "cash" });
    let pay = Plain::new(Service::Orders, id.stream(), "PayOrder", &pay);
    if dice.one_in(2) { vec![create, pay] } else { vec![create] }
}

fn meddle(load: &Load, dice: &mut Dice) -> Option<Plain> {
    let stream = load.any_order(dice)?.stream();
    Some(match dice.roll(3) {
        0 => Plain::new(Service::Orders, stream, "CancelOrder", &json!({ "reason": "no more" })),
        1 => Plain::new(Service::Orders, stream, "RefundOrder", &json!({ "reason": "broken" })),
        _ => Plain::new(Service::Orders, stream, "ExpireOrder", &json!({})),
    })
}

/// The same command two or three times, or another under its name, or one that comes too late, or too early.
fn again(load: &Load, dice: &mut Dice) -> Vec<Plain> {
    let first = adjust(load, dice).with("ce_id", Uuid::new_v4().to_string());
    let soon = Timestamp::now() + SignedDuration::from_millis(dice.roll(3_000) as i64);
    match dice.roll(8) {
        0 => {
            let mut other = first.clone();
            other.value = Some(json!({ "delta": 77, "reason": "another" }).to_string().into_bytes());
            vec![first, other]
        }
        1 => vec![first.with("ce_expirytime", "2020-01-01T00:00:00Z")],
        2 => vec![first.with("ce_expectedversion", dice.roll(20).to_string())],
        3 => vec![first.clone(), first.clone(), first],
        4 => vec![first.with("ce_notbefore", soon.to_string())],
        5 => vec![first.with("ce_notbefore", soon.to_string()); 2],
        _ => vec![first.clone(), first],
    }
}

/// What nobody can read, in every way; and an event in the other mode, which everybody can.
fn garbage(load: &Load, dice: &mut Dice) -> Plain {
    let mut plain = adjust(load, dice);
    match dice.roll(12) {
        0 => plain.key = None,
        1 => plain.key = Some(b"a key of nobody".to_vec()),
        2 => plain.key = Some(vec![0xff, 0xfe]),
        3 => plain.value = None,
        4 => plain.value = Some(b"{ \"delta\": ".to_vec()),
        5 => plain.value = Some(b"{\"delta\":\"many\",\"reason\":\"counted\"}".to_vec()),
        6 => plain.headers.clear(),
        7 => plain.headers[0].1 = b"EatGoods".to_vec(),
        8 => plain.headers[0].1 = vec![0xff],
        9 => plain = plain.with("ce_expirytime", "soon"),
        10 => plain.value = Some(vec![b' '; 300 * 1024]),
        _ => {
            let data = json!({ "delta": 1, "reason": "counted" });
            let event = json!({ "specversion": "1.0", "type": "AdjustStock", "id": Uuid::new_v4(),
                                "source": "/structured", "data": data });
            plain.value = Some(event.to_string().into_bytes());
            plain.headers = vec![("content-type", b"application/cloudevents+json".to_vec())];
        }
    }
    plain
}
