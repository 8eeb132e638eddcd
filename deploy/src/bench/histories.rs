//! Histories of orders, as a worker would have written them: what the decider says, in transactions.

use std::time::Duration;

use anyhow::{Context as _, Result};
use factfold_consumers::{
    decider::{Asked, Decider as _, Events},
    orders::{OrdersDecider, State},
};
use factfold_schemas::{
    codec::{Named as _, encode},
    command::{Auth, Digest, Header},
    ids::{GoodsId, OrderId, UserId},
    kafka::headers,
    money::Money,
    orders::{Command, CreateOrder, PayOrder, RecordReservation, RefundOrder, RequestedLine},
    partitioner::partition_of,
    position::Position,
    record::{Cause, Recorded},
    topics::Service,
};
use jiff::Timestamp;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use uuid::Uuid;

use super::ground::{Ground, send};

/// How many orders are under way at the same time.
const UNDER_WAY: usize = 1_000;
/// About how many events come in one transaction: each waits for librdkafka's flush.
const TRANSACTION: usize = 80_000;
/// How many goods there are.
const GOODS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// An order that is under way.
struct Order {
    id: OrderId,
    user: UserId,
    partition: i32,
    version: u64,
    state: Option<State>,
}

/// Writes at least so many events: orders of two lines that are confirmed and paid, some of which are given back. Says how many.
pub(super) async fn fill(ground: &Ground, events: usize) -> Result<usize> {
    let (cluster, partitions) = (ground.cluster.clone(), ground.partitions);
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = cluster
            .client()
            .set("transactional.id", cluster.namespace.qualify(format_args!("history-{}", Uuid::new_v4())))
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "400000")
            .create()?;
        producer.init_transactions(PATIENCE)?;
        let mut writer = Writer {
            producer,
            topic: cluster.topic(Service::Orders.events()),
            decided: vec![0; partitions.unsigned_abs() as usize],
            events: 0,
        };
        let goods: Vec<_> = (0..GOODS).map(|_| GoodsId::generate()).collect();
        while writer.events < events {
            let end = events.min(writer.events + TRANSACTION);
            writer.producer.begin_transaction()?;
            while writer.events < end {
                writer.some_orders(&goods, partitions)?;
            }
            writer.producer.commit_transaction(PATIENCE)?;
        }
        Ok(writer.events)
    })
    .await?
}

struct Writer {
    producer: BaseProducer,
    topic: String,
    /// The next decided position of each partition.
    decided: Vec<i64>,
    events: usize,
}

impl Writer {
    /// Takes some orders through their lives, step by step.
    fn some_orders(&mut self, goods: &[GoodsId], partitions: i32) -> Result<()> {
        let price = Money::new(499, "EUR".parse()?);
        let mut orders: Vec<_> = (0..UNDER_WAY)
            .map(|_| {
                let id = OrderId::generate();
                let partition = partition_of(id.stream().as_str().as_bytes(), partitions);
                Order { id, user: UserId::generate(), partition, version: 0, state: None }
            })
            .collect();
        let line = |number: usize| RequestedLine { goods_id: goods[number % goods.len()], quantity: 1 };
        let reserved = |line| Command::RecordReservation(RecordReservation { line, unit_price: price });
        let total = Money::new(998, price.currency);
        let paid = Command::PayOrder(PayOrder { amount: total, method: "card".to_owned() });
        let refund = RefundOrder { amount: None, reason: "broken".to_owned() };
        self.step(&mut orders, |number, order| {
            let lines = vec![line(number), line(number + 1)];
            Some(Command::CreateOrder(CreateOrder { user_id: order.user, lines }))
        })?;
        self.step(&mut orders, |_, _| Some(reserved(0)))?;
        self.step(&mut orders, |_, _| Some(reserved(1)))?;
        self.step(&mut orders, |_, _| Some(paid.clone()))?;
        self.step(&mut orders, |number, _| {
            number.is_multiple_of(10).then(|| Command::RefundOrder(refund.clone()))
        })
    }

    fn step(
        &mut self,
        orders: &mut [Order],
        command: impl Fn(usize, &Order) -> Option<Command>,
    ) -> Result<()> {
        for (number, order) in orders.iter_mut().enumerate() {
            if let Some(command) = command(number, order) {
                self.decide(order, &command)?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, order: &mut Order, command: &Command) -> Result<()> {
        let time = Timestamp::now();
        let auth = Auth::User(order.user.to_string());
        let by = Some(&auth).filter(|_| !Command::INTERNAL.contains(&command.type_name()));
        let header = Header {
            auth: Some(auth.clone()),
            ..Header::new(Uuid::now_v7().to_string(), format!("/clients/{}", order.user))
        };
        let next = &mut self.decided[order.partition.unsigned_abs() as usize];
        let decided = Position::new(Service::Orders.commands(), order.partition, *next);
        *next += 1;
        let digest = Digest::of(command.type_name(), &encode(command));
        let cause = Cause::of(&header, digest, decided, time);
        let asked = Asked { by, at: time };
        let events: Events<_> = OrdersDecider::decide(order.id, order.state.as_ref(), command, asked)
            .ok()
            .context("the decider refuses what the bench orders")?;
        for data in events {
            order.version += 1;
            order.state = OrdersDecider::evolve(order.state.take(), &data);
            let recorded =
                Recorded { stream: order.id.stream(), version: order.version, cause: cause.clone(), data };
            let record = recorded.record(Service::Orders);
            let message = BaseRecord::<[u8], [u8]>::to(&self.topic)
                .partition(order.partition)
                .key(recorded.stream.as_str().as_bytes())
                .headers(headers(&record))
                .payload(record.value.as_deref().unwrap_or_default());
            send(&self.producer, message)?;
            self.events += 1;
        }
        Ok(())
    }
}
