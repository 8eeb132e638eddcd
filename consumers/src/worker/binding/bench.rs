//! A bound function's worker without its Kafka and without a sandbox: events go in, records come out, and what it kept is a
//! log that another worker can take over from. For tests.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use factfold_schemas::{
    cloudevents::{Incoming, Outgoing},
    functions::{FunctionBound, STATE},
    ids::OrderId,
    letter::LETTER,
    orders,
    partitioner::partition_of,
    topics::{Service, Topic},
};
use serde_json::{Value, json};

use super::{giving::Giving, *};
use crate::{
    given::recorded,
    worker::{
        processor::{Hydrate as _, Processor as _, Produce, Stop, Target, Written},
        takeover,
    },
};

pub(super) const PARTITIONS: i32 = 4;
/// The broker's time of the first event, in milliseconds.
pub(super) const BEGAN_MS: i64 = 1_700_000_000_000;

type Answer = Box<dyn FnMut(&Value, &Value) -> Result<String, Failed> + Send>;

/// A function in Rust, and what it was given.
pub(super) struct Fake {
    answer: Answer,
    given: Arc<Mutex<Vec<(Value, Value)>>>,
    rests: Arc<Mutex<usize>>,
}

impl Bound for Fake {
    fn give(&mut self, event: &str, context: &str) -> Result<Given, Failed> {
        let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
        let (event, context) = (read(event), read(context));
        let answer = (self.answer)(&event, &context);
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push((event, context));
        answer.map(|output| Given { output })
    }

    fn rest(&mut self) {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

pub(super) struct Bench {
    pub(super) giving: Giving<Fake>,
    binding: Binding,
    given: Arc<Mutex<Vec<(Value, Value)>>>,
    rests: Arc<Mutex<usize>>,
    pub(super) redeliveries: Arc<Redeliveries>,
    topic: Topic,
    /// The next offset of each partition.
    next: [i64; PARTITIONS as usize],
    /// What lies on the topic of states, by partition.
    pub(super) states: [Vec<Outgoing>; PARTITIONS as usize],
}

/// The function `counter`, bound to the orders for the second time.
pub(super) fn binding() -> Binding {
    let bound =
        FunctionBound { binding: 2, topic: "orders.events".to_owned(), types: Vec::new(), from: None };
    Binding { name: "counter".parse().expect("a name"), bound }
}

impl Bench {
    /// The function makes this of event and context.
    pub(super) fn new(make: impl FnMut(&Value, &Value) -> Value + Send + 'static) -> Self {
        Self::of(binding(), make)
    }

    pub(super) fn of(
        binding: Binding,
        mut make: impl FnMut(&Value, &Value) -> Value + Send + 'static,
    ) -> Self {
        Self::answering(binding, move |event, context| Ok(make(event, context).to_string()))
    }

    pub(super) fn answering(
        binding: Binding,
        answer: impl FnMut(&Value, &Value) -> Result<String, Failed> + Send + 'static,
    ) -> Self {
        let (given, rests) = (Arc::default(), Arc::default());
        let function =
            Fake { answer: Box::new(answer), given: Arc::clone(&given), rests: Arc::clone(&rests) };
        let topic = binding.topic().expect("a topic of events");
        let layout = Layout::even(PARTITIONS, PARTITIONS);
        let redeliveries = Arc::<Redeliveries>::default();
        let giving = Giving::new(binding.clone(), topic, function, redeliveries.clone(), layout, 1 << 20);
        let (next, states) = Default::default();
        let mut bench = Self { giving, binding, given, rests, redeliveries, topic, next, states };
        for partition in 0..PARTITIONS {
            bench.take_over(partition);
        }
        // The first thing that it does: it says that it has begun.
        let (_, out) = bench.act();
        bench.commit(&out);
        bench
    }

    /// Another worker, that takes over from what was committed.
    pub(super) fn successor(&self, make: impl FnMut(&Value, &Value) -> Value + Send + 'static) -> Self {
        let mut next =
            Self { states: self.states.clone(), next: self.next, ..Self::of(self.binding.clone(), make) };
        for partition in 0..PARTITIONS {
            next.take_over(partition);
        }
        next
    }

    /// Takes a partition over. Returns the highest offset that is known to be decided.
    pub(super) fn take_over(&mut self, partition: i32) -> Option<i64> {
        let of = (self.topic, partition);
        self.giving.forget(of);
        let mut states = self.giving.open(of);
        let log = &self.states[partition as usize];
        let extent: (Topic, Range<i64>) = (STATE, 0..log.len() as i64);
        let fold = |states: &mut States, from: Vec<i64>| {
            assert_eq!(from, [0]);
            (0..).zip(log).try_for_each(|(offset, record)| {
                states.fold(STATE, &Incoming { partition, offset, ..record.incoming() })
            })
        };
        let decided = takeover::hydrate(&mut states, 0, &[extent], fold).expect("it adds up");
        self.giving.adopt(of, states);
        decided
    }

    /// Processes the record that comes next in its partition, in an open transaction.
    pub(super) fn open(&mut self, record: &Outgoing, partition: i32) -> Vec<Produce> {
        let offset = self.next[partition as usize];
        self.next[partition as usize] += 1;
        let timestamp_ms = BEGAN_MS + offset;
        let mut out = Vec::new();
        let incoming = Incoming { partition, offset, timestamp_ms, ..record.incoming() };
        self.giving.process(self.topic, &incoming, &mut out).expect("it goes on");
        out
    }

    /// The transaction was committed. Where the worker stopped, it goes on from there.
    pub(super) fn commit(&mut self, out: &[Produce]) -> Vec<Stop> {
        let stops = self.stops();
        for Produce { target, partition, record } in out {
            if *target == Target::Topic(STATE) {
                self.states[*partition as usize].push(record.clone());
            }
        }
        self.giving.committed(&Written::new());
        stops
    }

    fn stops(&mut self) -> Vec<Stop> {
        let stops = self.giving.stops();
        for Stop { partition: (_, partition), offset, .. } in &stops {
            self.next[*partition as usize] = *offset;
        }
        stops
    }

    /// One event in a transaction of its own.
    pub(super) fn put(&mut self, record: &Outgoing, partition: i32) -> Vec<Produce> {
        let out = self.open(record, partition);
        assert_eq!(self.commit(&out), [], "it was taken");
        out
    }

    /// An event that waits: nothing came of it.
    pub(super) fn put_off(&mut self, record: &Outgoing, partition: i32) -> Stop {
        assert_eq!(self.open(record, partition), []);
        let stops = self.commit(&[]);
        let [stop] = stops.as_slice() else { panic!("it stopped: {stops:?}") };
        assert_eq!(stop.partition, (self.topic, partition));
        *stop
    }

    /// An operator publishes this dead letter, which lies there.
    pub(super) fn publish(&self, letter: &Outgoing, at: &str) {
        let mut letter = letter.clone();
        letter.headers.push(LETTER, at);
        self.redeliveries.put(&letter.incoming()).expect("it is one");
    }

    /// What the worker does by itself: in which partitions, and what it writes there.
    pub(super) fn act(&mut self) -> (Vec<i32>, Vec<Produce>) {
        let due = self.giving.due().into_iter().map(|(_, partition)| partition).collect();
        let mut out = Vec::new();
        self.giving.act(&mut out).expect("it goes on");
        (due, out)
    }

    /// What was processed since the last commit, from these offsets on, never was.
    pub(super) fn discard(&mut self, records: i64, partition: i32) {
        let stops = self.giving.stops();
        assert_eq!(stops, []);
        self.giving.discarded();
        self.next[partition as usize] -= records;
    }

    /// As if the time of the next try had come.
    pub(super) fn hurry(&mut self) {
        self.giving.tries.hurry(Instant::now());
    }

    /// What it was given until now.
    pub(super) fn given(&self) -> Vec<(Value, Value)> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rests(&self) -> usize {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it keeps for this order.
    pub(super) fn state(&self, order: OrderId) -> Option<Value> {
        let stream = order.stream();
        let partition = partition_of(stream.as_str().as_bytes(), PARTITIONS);
        let states = self.giving.partitions.get(&partition).expect("it was taken over");
        states.get(stream.as_str()).map(|state| serde_json::from_str(state.get()).expect("JSON"))
    }
}

pub(super) fn home(order: OrderId) -> i32 {
    partition_of(order.stream().as_str().as_bytes(), PARTITIONS)
}

/// Somebody cancelled this order.
pub(super) fn cancelled(order: OrderId) -> Outgoing {
    let data = orders::OrderCancelled { reason: "a mistake".to_owned(), lines: Vec::new() };
    recorded(Service::Orders, order.stream(), orders::Event::OrderCancelled(data)).record(Service::Orders)
}

/// Nobody paid this order.
pub(super) fn expired(order: OrderId) -> Outgoing {
    let data = orders::OrderExpired { lines: Vec::new() };
    recorded(Service::Orders, order.stream(), orders::Event::OrderExpired(data)).record(Service::Orders)
}

/// The records for this topic.
pub(super) fn on(out: &[Produce], topic: Topic) -> Vec<&Produce> {
    out.iter().filter(|produce| produce.target == Target::Topic(topic)).collect()
}

/// A header, as a text.
pub(super) fn header<'a>(record: &'a Outgoing, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().find(|(known, _)| *known == name)?;
    Some(std::str::from_utf8(value).expect("a text"))
}

/// A function that counts the events of each key.
pub(super) fn counting(_: &Value, context: &Value) -> Value {
    json!({ "state": { "count": context["state"]["count"].as_i64().unwrap_or(0) + 1 } })
}
