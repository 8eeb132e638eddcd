//! The whole system in pure code: the deciders and reactors of both services, connected by logs in memory, with clients
//! that do what they like. What is random is who goes next; the order within a partition is kept, and now and then a
//! reactor looks twice at the same fact. When nobody has anything left to do, everything must add up.
//!
//! Every record goes through the codec. The worker protocol is not here: it makes true what is assumed, that each
//! record is decided once.

use std::collections::{BTreeMap, BTreeSet};

use factfold_schemas::{
    cloudevents::{CloudEvent, Incoming, Outgoing},
    codec::{Message, decode},
    command::{Auth, Digest, Header},
    goods::{self, Reservation},
    ids::{GoodsId, StreamId},
    money::Money,
    orders::{self, Order, Status},
    partitioner::partition_of,
    position::Position,
    record::{Cause, NoChange, Outcome, Recorded, RecordedOutcome, Rejected},
    rejection::{Reject, RejectionKind},
    topics::{Service, Topic},
    users::{self, User},
};

use crate::{
    decider::Decider,
    functions::FunctionsDecider,
    given::{History, Rules, time},
    goods::GoodsDecider,
    orders::OrdersDecider,
    reactors::{
        Fact, Reactor, erasures::Erasures, order_stock::OrderStock, registrations::Registrations,
        reservations::Reservations,
    },
    users::{Id, UsersDecider},
};

#[path = "simulation_test.rs"]
mod tests;

const PARTITIONS: usize = 3;

/// A record, and the topic of a service that it is for; `None`: it says who is to be forgotten.
type Written = (Option<Topic>, Outgoing);

/// Whoever reads a topic and writes to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Decider,
    OrderStock,
    Reservations,
    Registrations,
    Erasures,
}

/// Logs, and who has read how far.
struct System {
    logs: BTreeMap<Topic, [Vec<Outgoing>; PARTITIONS]>,
    read: BTreeMap<(Role, Topic, usize), usize>,
    functions: Worker<FunctionsDecider>,
    goods: Worker<GoodsDecider>,
    orders: Worker<OrdersDecider>,
    users: Worker<UsersDecider>,
    /// Who is forgotten.
    forgotten: BTreeSet<StreamId>,
    /// How often a reactor will still look twice.
    repeats_left: u32,
}

impl System {
    fn new() -> Self {
        let of = |role, topics: &[Topic]| topics.iter().map(|topic| (role, *topic)).collect::<Vec<_>>();
        let roles = [
            of(Role::Decider, &Service::ALL.map(Service::commands)),
            of(Role::OrderStock, OrderStock::INPUTS),
            of(Role::Reservations, Reservations::INPUTS),
            of(Role::Registrations, Registrations::INPUTS),
            of(Role::Erasures, Erasures::INPUTS),
        ];
        let read = roles
            .concat()
            .into_iter()
            .flat_map(|(role, topic)| (0..PARTITIONS).map(move |partition| ((role, topic, partition), 0)));
        Self {
            logs: Topic::all().map(|topic| (topic, Default::default())).collect(),
            read: read.collect(),
            functions: Worker::new(),
            goods: Worker::new(),
            orders: Worker::new(),
            users: Worker::new(),
            forgotten: BTreeSet::new(),
            repeats_left: 20,
        }
    }

    fn append(&mut self, topic: Topic, record: Outgoing) {
        let partition = partition_of(key(&record).as_str().as_bytes(), PARTITIONS as i32) as usize;
        self.logs.get_mut(&topic).expect("a topic")[partition].push(record);
    }

    /// Who has something to read, and where.
    fn ready(&self) -> Vec<(Role, Topic, usize)> {
        let unread = |(_, topic, partition): &(Role, Topic, usize), read: usize| {
            read < self.logs[topic][*partition].len()
        };
        self.read.iter().filter(|(reader, read)| unread(reader, **read)).map(|(reader, _)| *reader).collect()
    }

    /// This one reads its next record there, and writes what follows from it.
    fn step(&mut self, reader: (Role, Topic, usize), twice: bool) {
        let (role, topic, partition) = reader;
        let offset = self.read[&reader];
        let record = self.logs[&topic][partition][offset].clone();
        let record = incoming(&record, partition, offset);
        let written = match (role, topic.service) {
            (Role::Decider, Service::Functions) => self.functions.decide(topic, &record),
            (Role::Decider, Service::Goods) => self.goods.decide(topic, &record),
            (Role::Decider, Service::Orders) => self.orders.decide(topic, &record),
            (Role::Decider, Service::Users) => self.users.decide(topic, &record),
            (Role::OrderStock, _) => react(&OrderStock, topic, &record),
            (Role::Reservations, _) => react(&Reservations, topic, &record),
            (Role::Registrations, _) => react(&Registrations, topic, &record),
            (Role::Erasures, _) => react(&Erasures, topic, &record),
        };
        for (topic, record) in written {
            match topic {
                Some(topic) => self.append(topic, record),
                None => drop(self.forgotten.insert(key(&record))),
            }
        }
        if twice && role != Role::Decider && self.repeats_left > 0 {
            self.repeats_left -= 1;
        } else {
            *self.read.get_mut(&reader).expect("a reader") += 1;
        }
    }

    /// All go on, in turns that `choose` picks, until nobody has anything left to do.
    fn settle(&mut self, choose: &mut impl FnMut() -> u8) {
        loop {
            let ready = self.ready();
            if ready.is_empty() {
                return;
            }
            self.step_any(&ready, choose());
        }
    }

    fn step_any(&mut self, ready: &[(Role, Topic, usize)], choice: u8) {
        self.step(ready[usize::from(choice) % ready.len()], choice >= 240);
    }

    /// Every event of this service, in the order of its partitions.
    fn events<M: Message>(&self, service: Service) -> impl Iterator<Item = Recorded<M>> {
        let records = self.logs[&service.events()].iter().flatten();
        records.map(|record| Recorded::read(&incoming(record, 0, 0)).expect("an event"))
    }

    /// Every outcome of this service that is a rejection, with the source of its command.
    fn rejections(&self, service: Service) -> impl Iterator<Item = (String, Rejected)> {
        let records = self.logs[&service.outcomes()].iter().flatten();
        records.filter_map(|record| {
            let read = RecordedOutcome::read(&incoming(record, 0, 0)).expect("an outcome");
            match read.outcome {
                Outcome::Rejected(rejected) => Some((read.cause.source, rejected)),
                _ => None,
            }
        })
    }
}

/// One that decides, for all partitions of its service.
struct Worker<D: Rules> {
    histories: BTreeMap<D::Id, History<D>>,
    /// The commands that were decided, by stream, source and id.
    seen: BTreeSet<(String, String, String)>,
}

impl<D: Rules<Id: Ord>> Worker<D> {
    const fn new() -> Self {
        Self { histories: BTreeMap::new(), seen: BTreeSet::new() }
    }

    /// What the command in this record leaves behind.
    fn decide(&mut self, topic: Topic, record: &Incoming<'_>) -> Vec<Written> {
        let position = Position::new(topic, record.partition, record.offset);
        let event = CloudEvent::read(record).expect("an event");
        let header = Header::read(&event, position).expect("a header");
        let type_name = event.get("type").expect("a type");
        let command: D::Command = decode(type_name, &event.data).expect("a command");
        let stream = event.get("subject").expect("a subject");
        if !self.seen.insert((stream.to_owned(), header.source.clone(), header.id.clone())) {
            return Vec::new();
        }
        let cause = Cause::of(&header, Digest::of(type_name, &event.data), position, time(0));
        let id = D::aggregate(stream).expect("a stream of this service");
        let stream = StreamId::new(stream);
        let history = self.histories.entry(id).or_insert_with(|| History::new(id));
        let version = history.events.len() as u64;
        match history.send(&command, header.auth.as_ref()) {
            Ok(events) => (version + 1..)
                .zip(events)
                .map(|(version, data)| {
                    let recorded = Recorded { stream: stream.clone(), version, cause: cause.clone(), data };
                    (Some(D::SERVICE.events()), recorded.record(D::SERVICE))
                })
                .collect(),
            Err(rejection) => {
                let command = type_name.to_owned();
                let outcome = match rejection.kind() {
                    RejectionKind::NoChange => Outcome::NoChange(NoChange { command }),
                    _ => Outcome::Rejected(Rejected { command, rejection: rejection.to_rejection() }),
                };
                let outcome = RecordedOutcome { stream: Some(stream), cause, after: None, outcome };
                vec![(Some(D::SERVICE.outcomes()), outcome.record(D::SERVICE))]
            }
        }
    }
}

fn react<R: Reactor>(reactor: &R, topic: Topic, record: &Incoming<'_>) -> Vec<Written> {
    let fact = Fact::read(topic, record).expect("a fact");
    let requests = reactor.react(&fact).into_iter().enumerate();
    requests
        .map(|(ordinal, request)| {
            let topic = request.target().map(|(service, _)| service.commands());
            (topic, request.record(R::NAME, &fact, ordinal))
        })
        .collect()
}

fn key(record: &Outgoing) -> StreamId {
    let key = record.key.clone().expect("all that is written here has a key");
    StreamId::new(String::from_utf8(key).expect("a stream"))
}

fn incoming(record: &Outgoing, partition: usize, offset: usize) -> Incoming<'_> {
    Incoming { partition: partition as i32, offset: offset as i64, ..record.incoming() }
}

/// What must be true when nobody has anything left to do.
fn check_settled(system: &System) {
    let mut ordered = BTreeMap::new();
    for (id, history) in &system.orders.histories {
        history.check_refolded();
        let Some(order) = history.resource::<Order>() else { continue };
        assert_ne!(order.status, Status::Created, "no order is left waiting: {order:?}");
        if matches!(order.status, Status::Confirmed | Status::Paid | Status::Refunded) {
            for (line, ordered_line) in (0..).zip(order.lines) {
                let price = ordered_line.unit_price.expect("a live order has all its prices");
                let reservation = Reservation { order_id: *id, line };
                ordered.insert((ordered_line.goods_id, reservation), (ordered_line.quantity, price));
            }
        }
    }
    let (counted, reserved) = shelves(system);
    assert_eq!(reserved, ordered, "what is set aside is what the live orders hold, at their price");

    for (id, history) in &system.goods.histories {
        history.check_refolded();
        let Some(state) = history.state() else { continue };
        let of_these = reserved.iter().filter(|((goods_id, _), _)| goods_id == id);
        let set_aside = of_these.map(|(_, (quantity, _))| i64::from(*quantity)).sum();
        assert_eq!(state.pieces(), (counted[id] - set_aside, set_aside), "every piece is somewhere");
        assert!(state.pieces().0 >= 0, "no piece is sold twice");
    }

    check_addresses(system);

    for service in Service::ALL {
        for (source, rejected) in system.rejections(service) {
            let refusal = rejected.rejection.typed().as_ref().and_then(goods::Rejection::refused_reservation);
            let is_taken = matches!(rejected.rejection.typed(), Some(users::Rejection::EmailTaken { .. }));
            assert!(
                !source.starts_with("/reactors/") || refusal.is_some() || is_taken,
                "a reactor asks for nothing that is wrong: {rejected:?}"
            );
        }
    }
}

/// Whoever is a user holds an address, alone; whoever is not holds none, and is forgotten where that was asked for.
fn check_addresses(system: &System) {
    let mut held = BTreeSet::new();
    for event in system.events::<users::Event>(Service::Users) {
        let address = event.stream.clone();
        match event.data {
            users::Event::EmailClaimed(claimed) => {
                assert!(!held.iter().any(|(other, _)| *other == address), "{address} is claimed twice");
                held.insert((address, claimed.user_id));
            }
            users::Event::EmailReleased(released) => {
                assert!(held.remove(&(address, released.user_id)), "only who holds it gives it back");
            }
            _ => {}
        }
    }
    for (id, history) in &system.users.histories {
        history.check_refolded();
        let Id::Account(id) = *id else { continue };
        let Some(user) = history.resource::<User>() else { continue };
        assert_ne!(user.status, users::Status::Registering, "nobody is left waiting: {user:?}");
        let holds = held.iter().filter(|(_, holder)| *holder == id).count();
        assert_eq!(holds, usize::from(user.status == users::Status::Active), "{user:?}");
        let is_forgotten = matches!(user.status, users::Status::Rejected | users::Status::Erased);
        assert_eq!(system.forgotten.contains(&id.stream()), is_forgotten, "{user:?}");
    }
}

/// The pieces that were counted of each goods.
type Counted = BTreeMap<GoodsId, i64>;
/// What is set aside for each line, at which price.
type SetAside = BTreeMap<(GoodsId, Reservation), (u32, Money)>;

/// From the log of goods events alone.
fn shelves(system: &System) -> (Counted, SetAside) {
    let (mut counted, mut reserved) = (Counted::new(), SetAside::new());
    for event in system.events::<goods::Event>(Service::Goods) {
        let id = GoodsDecider::aggregate(event.stream.as_str()).expect("goods");
        match event.data {
            goods::Event::GoodsAdded(event) => *counted.entry(id).or_default() += event.stock,
            goods::Event::StockAdjusted(event) => *counted.entry(id).or_default() += event.delta,
            goods::Event::StockReserved(event) => {
                let line = Reservation { order_id: event.order_id, line: event.line };
                let before = reserved.insert((id, line), (event.quantity, event.unit_price));
                assert_eq!(before, None, "a line is reserved once");
            }
            goods::Event::StockReleased(event) => {
                let line = Reservation { order_id: event.order_id, line: event.line };
                reserved.remove(&(id, line)).expect("only what is reserved is given back");
            }
            _ => {}
        }
    }
    (counted, reserved)
}
