//! A bound function's worker on a real broker: what it keeps and writes over restarts and rebalances, where it begins, and that
//! an event that waits keeps nobody else waiting. The function is one of ours, in no sandbox.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factfold_checker::log::Record;
use factfold_consumers::worker::{
    Error,
    binding::{self, Binding, Bound, Failed, Given},
};
use factfold_schemas::{
    command::{Digest, Header},
    functions::{EMITTED, FunctionBound, STATE},
    ids::{OrderId, StreamId},
    orders::{Event, OrderExpired},
    position::Position,
    record::{Cause, Recorded},
    topics::Service,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{PARTITIONS, World, home, settings, wait_until};

const SERVICE: Service = Service::Orders;

/// What a function makes of the context of its event.
struct Counter<F>(F);

impl<F: FnMut(&Value) -> Result<(), Failed> + Send + 'static> Bound for Counter<F> {
    /// Counts the events of each key, and says each number.
    fn give(&mut self, _: &str, context: &str) -> Result<Given, Failed> {
        let context: Value = serde_json::from_str(context).expect("JSON");
        (self.0)(&context)?;
        let number = context["state"].as_u64().unwrap_or(0) + 1;
        let output =
            json!({ "state": number, "events": [{ "type": "Counted", "data": { "number": number } }] });
        Ok(Given { output: output.to_string() })
    }
}

/// Says something of each event, and keeps nothing.
struct Sayer;

impl Bound for Sayer {
    fn give(&mut self, _: &str, _: &str) -> Result<Given, Failed> {
        Ok(Given { output: json!({ "events": [{ "type": "Said", "data": {} }] }).to_string() })
    }
}

fn counter() -> impl Bound {
    Counter(|_: &Value| Ok(()))
}

fn bound(number: u32, from: Option<Timestamp>) -> Binding {
    let bound =
        FunctionBound { binding: number, topic: SERVICE.events().to_string(), types: Vec::new(), from };
    Binding { name: "counter".parse().expect("a name"), bound }
}

fn group(number: u32) -> String {
    binding::group("counter".parse().expect("a name"), number)
}

/// So many streams, in each partition as many.
pub(crate) fn streams(number: usize) -> Vec<StreamId> {
    let all = || (1..).map(|n| OrderId::new(Uuid::from_u128(n)).stream());
    let of = |partition| all().filter(move |stream| home(stream) == partition);
    let mut partitions: Vec<_> = (0..PARTITIONS).map(of).collect();
    (0..number).filter_map(|n| partitions[n % PARTITIONS as usize].next()).collect()
}

/// Something happens to each of these orders, once in each version.
pub(crate) async fn happen(world: &World, streams: &[StreamId], versions: std::ops::Range<u64>) {
    for version in versions {
        for stream in streams {
            let decided = Position::new(SERVICE.commands(), home(stream), version as i64);
            let header = Header::new(version.to_string(), "/tests");
            let cause = Cause::of(&header, Digest::of("ExpireOrder", b"{}"), decided, Timestamp::now());
            let data = Event::OrderExpired(OrderExpired { lines: Vec::new() });
            let event = Recorded { stream: stream.clone(), version, cause, data };
            world.write(SERVICE.events(), home(stream), &event.record(SERVICE)).await;
        }
    }
}

/// What was said about this stream, in order.
pub(crate) fn counted(world: &World, stream: &StreamId) -> Vec<u64> {
    let said = world.read(EMITTED).into_iter().filter(|record| key(record) == stream.as_str());
    said.map(|record| {
        let data: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        data["number"].as_u64().expect("a number")
    })
    .collect()
}

pub(crate) fn key(record: &Record) -> &str {
    str::from_utf8(record.key.as_deref().unwrap_or_default()).expect("a text")
}

/// Waits until so much was said, and looks that it is no more.
fn wait_for_counted(world: &World, number: usize) {
    wait_until("every event has been counted", || world.read(EMITTED).len() >= number);
    assert_eq!(world.read(EMITTED).len(), number);
}

/// Each event counts once, in the order of its key, whoever is given it: over restarts, and with a slow function when somebody
/// else joins in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_over_restarts_and_rebalances() {
    let (world, streams) = (World::new().await, streams(8));
    happen(&world, &streams, 1..4).await;
    let worker = world.bind(bound(1, None), counter(), settings("one"));
    wait_for_counted(&world, 24);
    worker.stop().expect("stopped");

    happen(&world, &streams, 4..10).await;
    let slow = || {
        Counter(|_: &Value| {
            thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    };
    let first = world.bind(bound(1, None), slow(), settings("one"));
    wait_until("the first has begun", || world.read(EMITTED).len() > 24);
    let second = world.bind(bound(1, None), slow(), settings("two"));
    wait_for_counted(&world, 72);
    wait_until("they share the work", || second.status.live_partitions() > 0);
    for stream in &streams {
        assert_eq!(counted(&world, stream), (1..=9).collect::<Vec<_>>());
    }
    let states = world.read(STATE);
    let last = states.iter().rfind(|record| key(record) == format!("{}/{}", group(1), streams[0]));
    assert_eq!(last.and_then(|record| record.value.as_deref()), Some(&b"9"[..]));
    first.stop().expect("stopped");
    second.stop().expect("stopped");
}

/// An event with which the function fails is tried four times and then put aside. Meanwhile other partitions go on, and what is
/// behind it in its own comes after it. (Seen failing when the worker does not go back to where its processor stopped, commits
/// what is behind it, or does not wake the partition.)
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_put_aside_and_keeps_only_its_own_partition_waiting() {
    let (world, streams) = (World::new().await, streams(PARTITIONS as usize));
    let (bad, good) = (streams[0].clone(), streams[1].clone());
    happen(&world, &streams, 1..2).await;
    let (tries, fails) = (Arc::new(AtomicUsize::new(0)), format!("orders.events/{}@0", home(&bad)));
    let tried = Arc::clone(&tries);
    let function = Counter(move |context: &Value| {
        if context["position"] != fails.as_str() {
            return Ok(());
        }
        tried.fetch_add(1, Ordering::Relaxed);
        Err(Failed { message: "it is bad".to_owned(), is_lasting: true })
    });
    let worker = world.bind(bound(1, None), function, settings("one"));
    wait_until("it was tried", || tries.load(Ordering::Relaxed) > 0);
    happen(&world, &streams, 2..4).await;
    wait_until("the others are counted", || counted(&world, &good).len() == 3);
    let letters = || world.read(Service::Functions.dead_letters());
    if letters().is_empty() {
        assert!(counted(&world, &bad).is_empty(), "what is behind it waits");
    }
    wait_until("it is put aside", || !letters().is_empty());
    wait_for_counted(&world, 11);
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    assert_eq!(counted(&world, &bad), [1, 2]);
    let letter = letters().remove(0);
    assert_eq!((key(&letter), letter.header("factfold_reason")), (bad.as_str(), Some("function-failed")));
    worker.stop().expect("stopped");
}

/// What is not the function's fault passes, and nothing is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_function_cannot_be_run_its_events_wait() {
    let (world, streams) = (World::new().await, streams(2));
    happen(&world, &streams, 1..3).await;
    let comes = Instant::now() + Duration::from_secs(3);
    let function = Counter(move |_: &Value| match Instant::now() < comes {
        true => Err(Failed { message: "its code is not here".to_owned(), is_lasting: false }),
        false => Ok(()),
    });
    let worker = world.bind(bound(1, None), function, settings("one"));
    wait_for_counted(&world, 4);
    assert!(world.read(Service::Functions.dead_letters()).is_empty());
    worker.stop().expect("stopped");
}

/// Rule 6: a binding begins at its beginning, or at a time; and its start is committed at once. (Seen failing when a time is taken
/// for the beginning, and when only the offset counts.)
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_begins_where_it_was_told() {
    let (world, streams) = (World::new().await, streams(PARTITIONS as usize));
    happen(&world, &streams, 1..3).await;
    wait_until("the clock has moved on", {
        let now = Timestamp::now();
        move || Timestamp::now().as_millisecond() > now.as_millisecond() + 1
    });
    let between = Timestamp::now();
    happen(&world, &streams[1..], 3..4).await;
    let worker = world.bind(bound(1, Some(between)), counter(), settings("one"));
    wait_for_counted(&world, 3);
    for stream in &streams[1..] {
        assert_eq!(counted(&world, stream), [1], "what was before is not given");
    }
    let starts = || world.committed(&group(1), SERVICE.events());
    wait_until("every place is committed", || starts().iter().all(Option::is_some));
    assert_eq!(starts()[home(&streams[0]) as usize], Some(2), "also where nothing has come since");
    worker.stop().expect("stopped");

    let later = Timestamp::now() + Duration::from_secs(3600);
    let worker = world.bind(bound(2, Some(later)), counter(), settings("one"));
    wait_until("every place is committed", || {
        world.committed(&group(2), SERVICE.events()).iter().all(Option::is_some)
    });
    happen(&world, &streams, 4..5).await;
    wait_until("what came was passed over", || worker.status.records() == PARTITIONS as u64);
    worker.stop().expect("stopped");
    assert_eq!(world.read(EMITTED).len(), 3);

    let worker = world.bind(bound(3, None), counter(), settings("one"));
    wait_for_counted(&world, 3 + 15);
    worker.stop().expect("stopped");
}

/// Rule 6: one that lost its place does not begin again, also when it keeps nothing: everything would count twice. (Seen failing
/// when it is not written that it has begun.)
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_lost_its_place_does_not_begin_again() {
    let (world, streams) = (World::new().await, streams(1));
    happen(&world, &streams, 1..3).await;
    let worker = world.bind(bound(1, None), Sayer, settings("one"));
    wait_for_counted(&world, 2);
    worker.stop().expect("stopped");
    world.delete_group(&group(1)).await;
    let worker = world.bind(bound(1, None), Sayer, settings("one"));
    let error = worker.wait_for_error();
    assert!(matches!(&error, Error::NoOffset { history, .. } if *history == STATE), "{error}");
    assert_eq!(world.read(EMITTED).len(), 2);
}
