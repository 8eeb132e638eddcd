//! A small log in memory in which everything adds up, with a bit of everything in it: for tests that then spoil it, and
//! see the spoiled place found.

use std::collections::{BTreeMap, HashSet};

use factfold_consumers::decider::Decider;
use factfold_schemas::{
    cloudevents::Outgoing,
    codec::Message,
    command::Header,
    goods::{self, AddGoods, AdjustStock, UpdateGoods},
    ids::{GoodsId, OrderId, StreamId, UserId},
    letter::dead_letter,
    money::Money,
    orders::{self, CancelOrder, CreateOrder, PayOrder, RefundOrder, RequestedLine},
    partitioner::partition_of,
    position::Position,
    record::{DeadLettered, Outcome, Recorded, RecordedOutcome},
    timer::{Timer, published},
    topics::{Service, Topic},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::{
    checks::{outcome_rows::rows_of, read_models::newest, requests::requests, told::Answer, told::Told},
    fold::fold,
    history::{At, Log, ServiceLog},
    log::Record,
    read::{Command, Readable, stream_of},
    replay::{Replay, Verdict},
    report::Report,
    shown::{Resources, Shown},
};

const PARTITIONS: i32 = 2;

/// This check finds something.
#[track_caller]
pub(crate) fn finds(name: &str, check: impl Fn(&mut Report)) {
    let mut report = Report::default();
    check(&mut report);
    assert!(report.findings.iter().any(|finding| finding.check == name), "{report}");
}

/// This check finds something at this place.
#[track_caller]
pub(crate) fn finds_at(name: &str, at: Position, check: impl Fn(&mut Report)) {
    let mut report = Report::default();
    check(&mut report);
    let found = report.findings.iter().any(|finding| finding.check == name && finding.at == Some(at));
    assert!(found, "nothing at {at}: {report}");
}

/// A log in which everything adds up.
pub(crate) fn sound() -> Log {
    let mut world = World::new();
    let (tea, cups) = (GoodsId::new(Uuid::from_u128(1)), GoodsId::new(Uuid::from_u128(2)));
    world.goods(
        "tea",
        tea,
        goods::Command::AddGoods(AddGoods { name: "Tea".into(), price: eur(250), stock: 10 }),
    );
    world.goods(
        "cups",
        cups,
        goods::Command::AddGoods(AddGoods { name: "Cup".into(), price: eur(100), stock: 5 }),
    );
    for (id, delta) in [("take", -1), ("take", -1), ("take", -2), ("much", -100)] {
        let reason = "counted".to_owned();
        world.goods(id, tea, goods::Command::AdjustStock(AdjustStock { delta, reason }));
    }
    let both = UpdateGoods { name: Some("Green tea".into()), price: Some(eur(300)) };
    world.goods("both", tea, goods::Command::UpdateGoods(both.clone()));
    world.goods("same", tea, goods::Command::UpdateGoods(both));
    world.garbage(tea);
    world.later("later", tea, 2);
    world.later("later", tea, 2);

    let order = |n| OrderId::new(Uuid::from_u128(n));
    let lines = |quantity| vec![(tea, quantity), (cups, 1)];
    for (n, lines) in [(10, lines(2)), (11, lines(1)), (12, lines(50)), (13, vec![(order_as_goods(), 1)])] {
        let lines =
            lines.into_iter().map(|(goods_id, quantity)| RequestedLine { goods_id, quantity }).collect();
        let create = CreateOrder { user_id: UserId::new(Uuid::from_u128(9)), lines };
        world.orders("create", order(n), orders::Command::CreateOrder(create));
        world.settle();
    }
    for (id, amount) in [("wrong", 1), ("pay", 700), ("again", 700)] {
        let pay = PayOrder { amount: eur(amount), method: "card".into() };
        world.orders(id, order(10), orders::Command::PayOrder(pay));
    }
    for (id, amount) in [("part", Some(eur(300))), ("rest", None)] {
        let refund = RefundOrder { amount, reason: "broken".into() };
        world.orders(id, order(10), orders::Command::RefundOrder(refund));
    }
    world.orders("cancel", order(11), orders::Command::CancelOrder(CancelOrder { reason: "late".into() }));
    world.settle();
    let reason = "found".to_owned();
    world.goods("last", tea, goods::Command::AdjustStock(AdjustStock { delta: 1, reason }));
    world.settle();
    world.log
}

/// What clients of this log were told.
pub(crate) fn told(log: &Log) -> Vec<Told> {
    let mut told = told_of(&log.goods);
    told.extend(told_of(&log.orders));
    told
}

/// What read models that are right show of this log.
pub(crate) fn shown(log: &Log) -> Shown {
    let mut shown = Shown {
        goods: resources(&log.goods),
        orders: resources(&log.orders),
        outcomes: rows_of(&log.goods).into_values().chain(rows_of(&log.orders).into_values()).collect(),
        ..Shown::default()
    };
    for event in log.orders.events.iter().map(|event| &event.record) {
        let type_name: &str = (&event.data).into();
        let value = serde_json::from_slice(&factfold_schemas::codec::encode(&event.data));
        let entry = factfold_projections::TimelineEntry {
            version: event.version,
            event: type_name.to_owned(),
            data: value.expect("JSON"),
            at: event.cause.time,
            auth: event.cause.auth.clone(),
            correlation: event.cause.correlation.clone(),
            command_id: event.cause.command_id.clone(),
            decided: event.cause.decided,
        };
        shown.timelines.entry(event.stream.clone()).or_default().push(entry);
    }
    shown
}

#[test]
fn nothing_is_found_where_everything_adds_up() {
    let log = sound();
    let report = crate::check(&log, Some(&shown(&log)), &told(&log));
    assert!(report.is_sound(), "{report}");
    for outcome in ["Rejected", "NoChange", "Repeated", "Forwarded", "DeadLettered", "Scheduled"] {
        let of_type = |at: &At<RecordedOutcome>| <&str>::from(&at.record.outcome) == outcome;
        assert!(log.goods.outcomes.iter().any(of_type), "{outcome} is among it");
    }
}

fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

/// Goods that nobody added.
fn order_as_goods() -> GoodsId {
    GoodsId::new(Uuid::from_u128(99))
}

struct World {
    log: Log,
    clock_ms: i64,
}

impl World {
    fn new() -> Self {
        let log = Log {
            goods: ServiceLog::nothing(),
            orders: ServiceLog::nothing(),
            users: ServiceLog::nothing(),
            functions: ServiceLog::nothing(),
            quiet: true,
        };
        Self { log, clock_ms: 1_700_000_000_000 }
    }

    fn goods(&mut self, id: &str, goods: GoodsId, command: goods::Command) {
        self.send(Service::Goods, id, &goods.stream(), &command);
    }

    fn orders(&mut self, id: &str, order: OrderId, command: orders::Command) {
        self.send(Service::Orders, id, &order.stream(), &command);
    }

    fn send<M: Message>(&mut self, service: Service, id: &str, stream: &StreamId, command: &M) {
        let record = Header::new(id, "/tests").record_of(service, stream, command);
        self.write(service, home(stream), record);
    }

    /// So many pieces more, in a second.
    fn later(&mut self, id: &str, goods: GoodsId, delta: i64) {
        let due = Timestamp::from_millisecond(self.clock_ms + 1_000).expect("a time");
        let header = Header { not_before: Some(due), ..Header::new(id, "/tests") };
        let command = goods::Command::AdjustStock(AdjustStock { delta, reason: "found".to_owned() });
        let (stream, service) = (goods.stream(), Service::Goods);
        self.write(service, home(&stream), header.record_of(service, &stream, &command));
    }

    /// A misplaced plain command, and what nobody can read.
    fn garbage(&mut self, tea: GoodsId) {
        let (mate, key) = (GoodsId::new(Uuid::from_u128(3)).stream(), tea.stream());
        let value = json!({ "name": "Mate", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
        let plain = |key: Option<&StreamId>, type_name: &str, value: &str| Outgoing {
            key: key.map(|key| key.as_str().into()),
            value: Some(value.into()),
            headers: [("ce_type", type_name)].into_iter().collect(),
        };
        self.write(Service::Goods, 1 - home(&mate), plain(Some(&mate), "AddGoods", &value.to_string()));
        self.write(Service::Goods, 0, plain(None, "AddGoods", "{}"));
        self.write(Service::Goods, home(&key), plain(Some(&key), "EatGoods", "{}"));
        self.write(Service::Goods, home(&key), plain(Some(&key), "AddGoods", "{"));
        let other = StreamId::new("something-else");
        self.write(Service::Goods, home(&other), plain(Some(&other), "AddGoods", "{}"));
    }

    fn write(&mut self, service: Service, partition: i32, record: Outgoing) {
        self.clock_ms += 1;
        match service {
            Service::Goods => self.log.goods.write(partition, record, self.clock_ms),
            Service::Orders => self.log.orders.write(partition, record, self.clock_ms),
            Service::Users => self.log.users.write(partition, record, self.clock_ms),
            Service::Functions => self.log.functions.write(partition, record, self.clock_ms),
        }
    }

    /// Decides and reacts until nothing is left to do.
    fn settle(&mut self) {
        loop {
            self.log.goods.decide_all();
            self.log.orders.decide_all();
            let commands = self.log.goods.commands.iter().chain(&self.log.orders.commands);
            let ids: HashSet<String> = commands.map(|command| command.header().id).collect();
            let missing: Vec<_> = requests(&self.log)
                .into_iter()
                .filter(|request| {
                    let id = request.record.headers.iter().find(|(name, _)| *name == "ce_id");
                    !ids.contains(&String::from_utf8_lossy(id.expect("an id").1).into_owned())
                })
                .collect();
            if missing.is_empty() {
                return;
            }
            for request in missing {
                self.write(request.service, home(&request.stream), request.record);
            }
        }
    }
}

impl<D: Decider> ServiceLog<D> {
    fn nothing() -> Self {
        Self {
            partitions: PARTITIONS,
            progress: BTreeMap::new(),
            commands: Vec::new(),
            events: Vec::new(),
            outcomes: Vec::new(),
            dead_letters: Vec::new(),
            timers: Vec::new(),
        }
    }

    fn write(&mut self, partition: i32, record: Outgoing, timestamp_ms: i64) {
        let offset = self.commands.iter().filter(|command| command.at.partition == partition).count() as i64;
        let record = stored(record, partition, offset, timestamp_ms);
        self.commands.push(Command::new(Position::new(D::SERVICE.commands(), partition, offset), record));
        self.commands.sort_by_key(|command| command.at);
        self.progress.insert(partition, offset + 1);
    }

    fn decide_all(&mut self) {
        while let Some(command) = self.undecided() {
            self.decide(&command);
        }
    }

    fn undecided(&self) -> Option<Command> {
        let traces = self.traces();
        self.commands.iter().find(|command| !traces.contains_key(&command.at)).cloned()
    }

    fn decide(&mut self, command: &Command) {
        let traces = self.traces();
        let mut replay = Replay::<D>::new(PARTITIONS);
        for before in &self.commands {
            traces.get(&before.at).into_iter().for_each(|trace| replay.follow(before, trace));
        }
        let (verdict, digest) = replay.verdict(command, None);
        let (cause, stream) = (command.cause(digest), stream_of(command.record.key.as_deref()));
        match verdict {
            Verdict::Events(events) => {
                let stream = stream.expect("what was decided has a stream");
                for data in events {
                    let last =
                        self.events.iter().filter(|event| event.record.stream == stream).count() as u64;
                    let at = next(D::SERVICE.events(), command, self.events.iter().map(|event| event.at));
                    let (stream, cause) = (stream.clone(), cause.clone());
                    let record = Recorded { stream, version: last + 1, cause, data };
                    self.events.push(At { at, record });
                }
                self.events.sort_by_key(|event| event.at);
            }
            Verdict::Outcome(mut outcome) => {
                if let Outcome::DeadLettered(DeadLettered { reason }) = &mut outcome {
                    reason.detail = "it cannot be read".to_owned();
                    let letter = dead_letter(&command.record.incoming(), D::SERVICE.commands(), reason);
                    let offset = self.dead_letters.len() as i64;
                    let headers = letter.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
                    self.dead_letters.push(Record {
                        partition: 0,
                        offset,
                        headers,
                        ..command.record.clone()
                    });
                }
                if let (Outcome::Forwarded(forwarded), Ok(readable)) = (&outcome, &command.read) {
                    let header = Header { forwarded_from: Some(command.at), ..readable.header.clone() };
                    let value = readable.value.clone();
                    let copy = header.record(D::SERVICE, &readable.stream, &readable.type_name, value);
                    self.write(forwarded.to, copy, command.record.timestamp_ms + 1);
                }
                if let (Outcome::Scheduled(scheduled), Ok(readable)) = (&outcome, &command.read) {
                    self.publish(command, readable, scheduled.due);
                }
                let gave_events = self.events.iter().map(|event| event.record.cause.decided);
                let before = gave_events.filter(|at| at.partition == command.at.partition);
                let after = before.filter(|at| *at < command.at).max();
                let at = next(D::SERVICE.outcomes(), command, self.outcomes.iter().map(|outcome| outcome.at));
                self.outcomes.push(At { at, record: RecordedOutcome { stream, cause, after, outcome } });
                self.outcomes.sort_by_key(|outcome| outcome.at);
            }
        }
    }
}

impl<D: Decider> ServiceLog<D> {
    /// The timer of a command that was put off, and what becomes of it when its time has come. (That of an order has not.)
    fn publish(&mut self, command: &Command, readable: &Readable, due: Timestamp) {
        let timer = Timer { due, scheduled: command.at };
        let (header, value) = (readable.header.clone(), readable.value.clone());
        let set = timer.record(header, D::SERVICE, &readable.stream, &readable.type_name, value);
        let copy = published(set.headers.clone(), set.value.clone().expect("a value")).expect("a command");
        let (partition, now_ms) = (command.at.partition, command.record.timestamp_ms);
        let mut write = |record| {
            let offset = self.timers.len() as i64;
            self.timers.push(stored(record, partition, offset, now_ms));
        };
        write(set);
        if due <= command.time() + SignedDuration::from_secs(1) {
            write(timer.tombstone());
            self.write(partition, copy, due.as_millisecond());
        }
    }
}

/// This record, as it lies there.
fn stored(record: Outgoing, partition: i32, offset: i64, timestamp_ms: i64) -> Record {
    Record {
        partition,
        offset,
        timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    }
}

fn next(topic: Topic, command: &Command, there: impl Iterator<Item = Position>) -> Position {
    let partition = command.at.partition;
    Position::new(topic, partition, there.filter(|at| at.partition == partition).count() as i64)
}

fn home(stream: &StreamId) -> i32 {
    partition_of(stream.as_str().as_bytes(), PARTITIONS)
}

fn resources<D: Decider>(log: &ServiceLog<D>) -> Resources {
    let found = fold(log, &HashSet::new()).last;
    let mut listed: Vec<_> = found.clone().into_iter().collect();
    listed.sort_by_key(|(_, resource)| newest(resource));
    Resources { found, listed }
}

fn told_of<D: Decider>(log: &ServiceLog<D>) -> Vec<Told> {
    let traces = log.traces();
    let stand = |stream: &StreamId, at: Position| {
        let of_stream = log.events.iter().filter(|event| event.record.stream == *stream);
        let before = of_stream.filter(|event| event.record.cause.decided <= at);
        before.map(|event| (stream.clone(), event.record.version)).last()
    };
    let told = |command: &Command| {
        let trace = &traces[&command.at];
        let answer = |outcome: Option<&Outcome>| match outcome {
            None | Some(Outcome::NoChange(_)) => {
                let stand = stand(&command.read.as_ref().ok()?.stream, command.at)?;
                let folded = fold(log, &HashSet::from([stand.clone()]));
                Some(Answer::Done { resource: folded.at.get(&stand).cloned() })
            }
            Some(Outcome::Rejected(rejected)) => {
                let (name, detail) = (rejected.rejection.name.clone(), rejected.rejection.detail.clone());
                Some(Answer::Rejected { name, detail })
            }
            Some(Outcome::DeadLettered(dead)) => {
                Some(Answer::DeadLettered { reason: dead.reason.name.clone() })
            }
            Some(Outcome::Forwarded(_) | Outcome::Scheduled(_)) => Some(Answer::Stored),
            Some(Outcome::Repeated(_)) => None,
        };
        let first = match trace.outcome() {
            Some(Outcome::Repeated(repeated)) => traces[&repeated.first].outcome(),
            outcome => outcome,
        };
        let answer = answer(first).unwrap_or(Answer::Done { resource: None });
        Told { position: command.at, command_id: Some(command.header().id), answer }
    };
    log.commands.iter().map(told).collect()
}
