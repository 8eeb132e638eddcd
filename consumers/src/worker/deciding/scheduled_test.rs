//! Commands that are to wait for their time: put off once, decided once, never early.

use factfold_schemas::{
    cloudevents::Outgoing,
    command::ReplyTo,
    goods::{Command, Event},
    ids::GoodsId,
    record::Recorded,
    timer::published,
    topics::Service,
};
use jiff::SignedDuration;

use super::{
    bench::{Bench, add, home, incoming, take},
    *,
};
use crate::worker::processor::Hydrate;

/// Goods that are there, and a command about them that waits for so many milliseconds.
fn waiting(bench: &mut Bench, ms: i64) -> (GoodsId, Header) {
    let goods = GoodsId::generate();
    bench.send("add", goods, &add());
    (goods, Header { not_before: Some(timestamp(bench.now_ms + ms)), ..Header::new("later", "/clients/u") })
}

fn put(bench: &mut Bench, goods: GoodsId, header: &Header, command: &Command) -> Vec<Produce> {
    bench.put(&header.record_of(Service::Goods, &goods.stream(), command), home(goods))
}

fn on(out: &[Produce], topic: Topic) -> Option<Outgoing> {
    let mut found = out.iter().filter(|produce| produce.target == Target::Topic(topic));
    let record = found.next().map(|produce| produce.record.clone());
    assert_eq!(found.next(), None, "one on {topic} at most");
    record
}

fn outcome(out: &[Produce]) -> Outcome {
    assert_eq!(on(out, Service::Goods.events()), None, "one trace only");
    let record = on(out, Service::Goods.outcomes()).expect("a trace");
    RecordedOutcome::read(&record.incoming()).expect("an outcome").outcome
}

/// What its timer publishes of a command that was put off.
fn copy(out: &[Produce]) -> Outgoing {
    assert!(matches!(outcome(out), Outcome::Scheduled(_)), "{:?}", outcome(out));
    let timer = on(out, Service::Goods.timers()).expect("a timer");
    published(timer.headers, timer.value.expect("a value")).expect("a command")
}

fn event(out: &[Produce], partition: i32) -> Recorded<Event> {
    let record = on(out, Service::Goods.events()).expect("an event");
    Recorded::read(&incoming(&record, partition)).expect("an event")
}

/// It has no effect before its time by the broker's clock, whoever publishes it too early; then it has one, which names where
/// the client stored it. So it is also for a successor, which knows of it from the outcomes. (Seen failing when whatever a
/// timer publishes is decided at once, and when the copy counts as a repeat.)
#[test]
fn what_waits_is_decided_once_and_not_before_its_time() {
    let mut bench = Bench::new();
    let (goods, header) = waiting(&mut bench, 100);
    let first = Position::new(Service::Goods.commands(), home(goods), bench.offset);
    let early = copy(&put(&mut bench, goods, &header, &take(1)));
    let mut successor = bench.successor();
    for bench in [&mut bench, &mut successor] {
        // A keeper whose clock is fast.
        let again = copy(&bench.put(&early, home(goods)));
        bench.now_ms += 100;
        let event = event(&bench.put(&again, home(goods)), home(goods));
        assert_eq!((event.version, event.cause.stored), (2, first));
        assert!(event.cause.time >= header.not_before.expect("a time"));
        assert!(matches!(outcome(&put(bench, goods, &header, &take(1))), Outcome::Repeated(_)));
        let Outcome::Repeated(_) = outcome(&bench.put(&again, home(goods))) else { panic!("twice is once") };
    }
}

/// A takeover reads events and outcomes side by side: what it met as waiting, and then as decided, had one effect. (Seen
/// failing when it counts as two.)
#[test]
fn to_wait_is_no_effect() {
    let mut bench = Bench::new();
    let (goods, header) = waiting(&mut bench, 1);
    let copy = copy(&put(&mut bench, goods, &header, &take(1)));
    bench.put(&copy, home(goods));
    let mut partition = bench.deciding.open((Service::Goods.commands(), home(goods)));
    for topic in [Service::Goods.outcomes(), Service::Goods.events()] {
        for (produce, mark) in bench.log.records.iter().filter(|(p, _)| p.target == Target::Topic(topic)) {
            let record = Incoming { offset: mark.offset, ..incoming(&produce.record, produce.partition) };
            partition.fold(topic, &record).expect("it adds up");
        }
    }
}

/// A repeat of what waits gets the first one's answer, and sets no second timer. (Seen failing when it is put off again.)
#[test]
fn a_repeat_of_what_waits_is_told_when_it_is_due() {
    let mut bench = Bench::new();
    let (goods, header) = waiting(&mut bench, 100);
    let header = Header { reply_to: Some(ReplyTo { partition: 0, gateway: "g".into() }), ..header };
    let answer = |out: &[Produce]| {
        let reply = out.iter().find(|produce| produce.target == Target::Replies).expect("a reply");
        serde_json::from_slice::<Reply>(reply.record.value.as_deref().expect("a value"))
            .expect("a reply")
            .answer
    };
    let due = header.not_before.expect("a time");
    let out = put(&mut bench, goods, &header, &take(1));
    assert_eq!(answer(&out), Answer::Scheduled { due });
    assert!(copy(&out).headers.iter().all(|(name, _)| name != "ce_replyto"), "nobody waits so long");
    let mut successor = bench.successor();
    for bench in [&mut bench, &mut successor] {
        let later = Header { not_before: Some(due + SignedDuration::from_secs(1)), ..header.clone() };
        let out = put(bench, goods, &later, &take(1));
        assert!(matches!(outcome(&out), Outcome::Repeated(_)));
        assert_eq!((answer(&out), on(&out, Service::Goods.timers())), (Answer::Scheduled { due }, None));
        let Outcome::Rejected(rejected) = outcome(&put(bench, goods, &header, &take(2))) else { panic!() };
        assert_eq!(rejected.rejection.name, COMMAND_ID_REUSED);
    }
}

#[test]
fn a_time_that_has_come_is_no_reason_to_wait_and_one_beyond_a_year_is_refused() {
    let mut bench = Bench::new();
    let (goods, header) = waiting(&mut bench, 0);
    assert_eq!(event(&put(&mut bench, goods, &header, &take(1)), home(goods)).version, 2);

    let latest = timestamp(bench.now_ms) + NOT_BEFORE_MAX;
    let at = |not_before| Header { not_before: Some(not_before), ..Header::new("in a year", "/clients/u") };
    let out = put(&mut bench, goods, &at(latest + SignedDuration::from_millis(1)), &take(1));
    let Outcome::Rejected(rejected) = outcome(&out) else { panic!("{out:?}") };
    assert_eq!(rejected.rejection.name, "too-far-ahead");
    assert_eq!(on(&out, Service::Goods.timers()), None);
    let header = Header { id: "in a year, then".into(), ..at(latest) };
    copy(&put(&mut bench, goods, &header, &take(1)));
}

/// What nobody could decide in a year is not kept for a year.
#[test]
fn what_cannot_be_read_does_not_wait() {
    let mut bench = Bench::new();
    let (goods, header) = waiting(&mut bench, 100);
    let record = header.record(Service::Goods, &goods.stream(), "SellGoods", b"{}".to_vec());
    let out = bench.put(&record, home(goods));
    assert!(matches!(outcome(&out), Outcome::DeadLettered(_)));
}
