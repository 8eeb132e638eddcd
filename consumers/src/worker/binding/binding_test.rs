//! What a worker makes of events and a function, without a broker and a sandbox.

use std::sync::{Arc, Mutex};

use factfold_schemas::{
    cloudevents::{CloudEvent, Outgoing},
    command::{Auth, Header},
    functions::{self, EMITTED, FunctionBound, FunctionTicked, STATE},
    ids::{OrderId, UserId},
    position::Position,
    topics::Service,
    users,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{bench::*, *};
use crate::{
    given::{id, recorded},
    worker::processor::{Hydrate as _, Processor as _, Start},
};

const ORDER: OrderId = id(1);

fn failing(message: &str, is_lasting: bool) -> Failed {
    Failed { message: message.to_owned(), is_lasting }
}

fn dead_letters(out: &[crate::worker::Produce]) -> Vec<&Outgoing> {
    on(out, Service::Functions.dead_letters()).into_iter().map(|produce| &produce.record).collect()
}

#[test]
fn an_event_is_given_as_people_see_it_with_its_context() {
    let mut bench = Bench::new(|_, _| Value::Null);
    assert_eq!(bench.put(&cancelled(ORDER), home(ORDER)), []);
    let (event, context) = bench.given().remove(0);
    let stream = ORDER.stream().to_string();
    let attributes = event.as_object().expect("an object").keys().take(6).map(String::as_str);
    assert_eq!(attributes.collect::<Vec<_>>(), ["id", "type", "source", "subject", "time", "recordedtime"]);
    assert_eq!(event["id"], format!("{stream}@3"));
    assert_eq!(event["type"], "OrderCancelled");
    assert_eq!((&event["source"], &event["subject"]), (&json!("/orders"), &json!(stream)));
    assert_eq!(event["recordedtime"], "2023-11-14T22:13:20Z");
    assert_eq!((&event["streamversion"], &event["specversion"]), (&json!("3"), &json!("1.0")));
    assert_eq!(event["data"], json!({ "reason": "a mistake", "lines": [] }));
    let position = format!("orders.events/{}@0", home(ORDER));
    let expected =
        json!({ "function": "counter", "binding": 2, "key": stream, "position": position, "state": null });
    assert_eq!(context, expected);
}

/// (Seen failing when the data is given as it lies on the topic.)
#[test]
fn nobody_is_given_the_hash_of_a_password() {
    let user: UserId = id(7);
    let changed = users::PasswordChanged { password_hash: "$argon2id$secret".to_owned(), password_number: 2 };
    let event = recorded(Service::Users, user.stream(), users::Event::PasswordChanged(changed));
    let bound = FunctionBound { topic: "users.events".to_owned(), ..binding().bound };
    let mut bench = Bench::of(Binding { bound, ..binding() }, |_, _| json!("wrong"));
    for _ in 0..3 {
        bench.put_off(&event.record(Service::Users), 0);
        bench.hurry();
    }
    let out = bench.put(&event.record(Service::Users), 0);
    assert_eq!(bench.given()[0].0["data"]["password_hash"], "[hidden]");
    let letter = dead_letters(&out)[0];
    let value = String::from_utf8_lossy(letter.value.as_deref().expect("a value"));
    assert!(value.contains("password_number") && !value.contains("secret"), "{value}");
}

#[test]
fn what_it_returns_is_written_with_what_it_follows_from() {
    let other: OrderId = id(2);
    let mut bench = Bench::new(move |event, _| {
        let cancel = json!({
            "type": "CancelOrder", "stream": other.stream().as_str(), "data": { "reason": "as the other" },
            "notbefore": "2030-01-01T00:00:00Z",
        });
        json!({
            "state": { "seen": event["id"] },
            "commands": [cancel],
            "events": [
                { "type": "Suspected", "subject": "customer-5", "data": { "points": 3 } },
                { "type": "Seen", "data": null },
            ],
        })
    });
    let out = bench.put(&cancelled(ORDER), home(ORDER));

    let [command] = on(&out, Service::Orders.commands())[..] else { panic!("{out:?}") };
    assert_eq!(command.partition, home(other));
    let read = CloudEvent::read(&command.record.incoming()).expect("an event");
    let header = Header::read(&read, Position::new(Service::Orders.commands(), 0, 0)).expect("a header");
    let expected = Header {
        correlation: Some(ORDER.stream().to_string()),
        causation: Some(format!("{}@3", ORDER.stream())),
        traceparent: crate::given::cause(Service::Orders).traceparent,
        auth: Some(Auth::System("function:counter".to_owned())),
        not_before: Some("2030-01-01T00:00:00Z".parse().expect("a time")),
        ..Header::new(header.id.clone(), "/functions/counter")
    };
    assert_eq!(header, expected);
    assert_eq!(&*read.data, br#"{"reason":"as the other"}"#);

    let [suspected, seen] = on(&out, EMITTED)[..] else { panic!("{out:?}") };
    assert_eq!(suspected.record.key.as_deref(), Some(&b"customer-5"[..]));
    assert_eq!(seen.record.key.as_deref(), Some(ORDER.stream().as_str().as_bytes()));
    assert_eq!(seen.partition, home(ORDER));
    let position = format!("orders.events/{}@0", home(ORDER));
    for (name, value) in [
        ("ce_type", "Suspected"),
        ("ce_source", "/functions/counter"),
        ("ce_subject", "customer-5"),
        ("ce_time", "2023-11-14T22:13:20Z"),
        ("ce_causationid", expected.causation.as_deref().expect("a cause")),
        ("ce_causationposition", &position),
        ("ce_correlationid", ORDER.stream().as_str()),
        ("ce_authid", "function:counter"),
    ] {
        assert_eq!(bench::header(&suspected.record, name), Some(value), "{name}");
    }

    let [state] = on(&out, STATE)[..] else { panic!("{out:?}") };
    assert_eq!(state.partition, home(ORDER), "where the event lies");
    let key = format!("factfold.function.counter.2/{}", ORDER.stream());
    assert_eq!(state.record.key.as_deref(), Some(key.as_bytes()));
    assert_eq!(bench.state(ORDER), Some(json!({ "seen": format!("{}@3", ORDER.stream()) })));
}

/// What a function emitted, another one can be given.
#[test]
fn what_one_emits_another_is_given() {
    let emit = |_: &Value, _: &Value| json!({ "events": [{ "type": "Seen", "data": { "a": 1 } }] });
    let out = Bench::new(emit).put(&cancelled(ORDER), home(ORDER));
    let emitted = on(&out, EMITTED)[0];
    let bound =
        FunctionBound { topic: EMITTED.to_string(), types: vec!["Seen".to_owned()], ..binding().bound };
    let name = "second".parse().expect("a name");
    let mut second = Bench::of(Binding { name, bound }, |_, _| Value::Null);
    second.put(&emitted.record, emitted.partition);
    let (event, context) = second.given().remove(0);
    assert_eq!((&event["type"], &event["data"]), (&json!("Seen"), &json!({ "a": 1 })));
    assert_eq!(context["key"], ORDER.stream().as_str());
}

/// Rule 11: an event that is given once more, to whatever worker, leads to the same records.
#[test]
fn twice_is_the_same() {
    let make = |_: &Value, context: &Value| {
        let state = context["state"].as_i64().unwrap_or(0) + 1;
        json!({ "state": state, "events": [{ "type": "A", "data": 1 }, { "type": "A", "data": 1 }] })
    };
    let mut bench = Bench::new(make);
    let first = bench.open(&cancelled(ORDER), home(ORDER));
    bench.discard(1, home(ORDER));
    let mut next = bench.successor(make);
    assert_eq!(bench.put(&cancelled(ORDER), home(ORDER)), first);
    assert_eq!(next.put(&cancelled(ORDER), home(ORDER)), first);
    let ids = |out| on(out, EMITTED).iter().filter_map(|p| header(&p.record, "ce_id")).count();
    assert_eq!(ids(&first), 2);
    let [one, other] = on(&first, EMITTED)[..] else { panic!("two events") };
    assert_ne!(header(&one.record, "ce_id"), header(&other.record, "ce_id"));
}

/// Rule 17. (Seen failing when memory moves at once, and when a draft that was discarded is kept.)
#[test]
fn a_state_moves_with_the_commit_and_a_batch_sees_its_own() {
    let mut bench = Bench::new(counting);
    bench.open(&cancelled(ORDER), home(ORDER));
    bench.open(&expired(ORDER), home(ORDER));
    assert_eq!(bench.given()[1].1["state"], json!({ "count": 1 }), "the batch sees its own changes");
    bench.discard(2, home(ORDER));
    assert_eq!(bench.state(ORDER), None, "the transaction was aborted, so none of that happened");
    bench.put(&cancelled(ORDER), home(ORDER));
    assert_eq!(bench.state(ORDER), Some(json!({ "count": 1 })));
    assert_eq!(bench.rests(), 2, "after each batch it can rest");
}

#[test]
fn a_state_stays_changes_or_goes() {
    let mut answers =
        [json!({ "state": [1] }), json!({}), json!({ "state": [1] }), json!({ "state": null })].into_iter();
    let mut bench = Bench::new(move |_, _| answers.next().unwrap_or_default());
    let mut kept = || {
        let out = bench.put(&cancelled(ORDER), home(ORDER));
        let values =
            on(&out, STATE).into_iter().map(|produce| produce.record.value.clone()).collect::<Vec<_>>();
        (values, bench.state(ORDER))
    };
    assert_eq!(kept(), (vec![Some(b"[1]".to_vec())], Some(json!([1]))));
    assert_eq!(kept(), (vec![], Some(json!([1]))), "nothing was said about it");
    assert_eq!(kept(), (vec![], Some(json!([1]))), "it is as it was");
    assert_eq!(kept(), (vec![None], None));
    assert_eq!(kept(), (vec![], None));
}

/// A takeover folds what is this binding's, the last of each key.
#[test]
fn a_successor_knows_what_was_kept() {
    let other: OrderId = id(2);
    let mut bench = Bench::new(|event, context| match event["type"].as_str() {
        Some("OrderExpired") => json!({ "state": null }),
        _ => counting(event, context),
    });
    for event in [cancelled(ORDER), cancelled(ORDER), cancelled(ORDER)] {
        bench.put(&event, home(ORDER));
    }
    bench.put(&cancelled(other), home(other));
    bench.put(&expired(other), home(other));
    let foreign = |key: &str, value: &[u8]| Outgoing {
        key: Some(key.into()),
        value: Some(value.to_vec()),
        ..Outgoing::default()
    };
    let stream = ORDER.stream();
    bench.states[home(ORDER) as usize].extend([
        foreign(&format!("factfold.function.counter.1/{stream}"), b"{\"count\":77}"),
        foreign(&format!("factfold.function.counter.22/{stream}"), b"{\"count\":78}"),
        foreign(&format!("factfold.function.counter.2/{stream}"), b"{"),
    ]);
    let mut next = bench.successor(counting);
    assert_eq!(next.state(ORDER), Some(json!({ "count": 3 })));
    assert_eq!(next.state(other), None);
    next.put(&cancelled(ORDER), home(ORDER));
    assert_eq!(next.state(ORDER), Some(json!({ "count": 4 })));
}

/// Rule 8: what is kept says which event it comes from, so that an offset from before it is noticed.
#[test]
fn a_takeover_knows_what_is_decided() {
    let mut bench = Bench::new(counting);
    assert_eq!(bench.take_over(home(ORDER)), None);
    for _ in 0..3 {
        bench.put(&cancelled(ORDER), home(ORDER));
    }
    assert_eq!(bench.take_over(home(ORDER)), Some(2));
}

#[test]
fn a_binding_begins_where_it_was_told() {
    let start = |from| {
        let bound = FunctionBound { from, ..binding().bound };
        let mut bench = Bench::of(Binding { bound, ..binding() }, |_, _| Value::Null);
        bench.giving.partitions.remove(&0).expect("it was taken over").start()
    };
    let time: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    assert_eq!(start(None), Start::Beginning);
    assert_eq!(start(Some(time)), Start::At(time));
}

#[test]
fn what_is_not_wanted_is_passed_over() {
    let given = |bound: FunctionBound| {
        let mut bench = Bench::of(Binding { bound, ..binding() }, |_, _| Value::Null);
        for event in [cancelled(ORDER), expired(ORDER), cancelled(ORDER)] {
            assert_eq!(bench.put(&event, home(ORDER)), []);
        }
        let types = bench.given().into_iter().map(|(event, _)| event["type"].as_str().map(str::to_owned));
        types.flatten().collect::<Vec<_>>()
    };
    let all = ["OrderCancelled", "OrderExpired", "OrderCancelled"];
    assert_eq!(given(binding().bound), all);
    let types = vec!["OrderExpired".to_owned(), "OrderPaid".to_owned()];
    assert_eq!(given(FunctionBound { types, ..binding().bound }), all[1..2]);
    // The second event has the second millisecond.
    let from = Timestamp::from_millisecond(BEGAN_MS + 1).ok();
    assert_eq!(given(FunctionBound { from, ..binding().bound }), all[1..]);
}

/// (Seen failing without the rule.)
#[test]
fn of_functions_it_is_given_its_own_ticks() {
    let bound = FunctionBound { topic: "functions.events".to_owned(), types: Vec::new(), ..binding().bound };
    let mut bench = Bench::of(Binding { bound, ..binding() }, |_, _| Value::Null);
    for name in ["counter", "other"] {
        let stream = name.parse::<FunctionName>().expect("a name").stream();
        let due = "2023-11-14T22:00:00Z".parse().expect("a time");
        let ticked = FunctionTicked { schedule: 1, due, input: json!({ "n": 3 }), next: None };
        let event = recorded(Service::Functions, stream, functions::Event::FunctionTicked(ticked));
        bench.put(&event.record(Service::Functions), 0);
    }
    let [(event, _)] = &bench.given()[..] else { panic!("one event") };
    assert_eq!((&event["type"], &event["subject"]), (&json!("FunctionTicked"), &json!("function-counter")));
    assert_eq!(event["data"], json!({ "schedule": 1, "due": "2023-11-14T22:00:00Z", "input": { "n": 3 } }));
}

/// What a function says is given to others that are bound to it, and never to itself.
#[test]
fn a_function_does_not_hear_itself() {
    let said = json!({ "events": [{ "type": "Seen", "data": 1 }] });
    let mut talker = Bench::new(move |_, _| said.clone());
    let out = talker.put(&cancelled(ORDER), home(ORDER));
    let emitted = on(&out, EMITTED)[0];
    for (name, hears) in [("counter", 0), ("other", 1)] {
        let bound = FunctionBound { topic: EMITTED.to_string(), types: Vec::new(), ..binding().bound };
        let name = name.parse().expect("a name");
        let mut bench = Bench::of(Binding { name, bound }, |_, _| Value::Null);
        bench.put(&emitted.record, emitted.partition);
        assert_eq!(bench.given().len(), hears, "{name}");
    }
}

/// An event with which the function fails is tried four times, while other partitions go on; then it is put aside, and the
/// function goes on with the next. (Seen failing when what is behind it is given before it.)
#[test]
fn what_fails_is_tried_again_then_put_aside_and_it_goes_on() {
    let other = (2..).map(id).find(|other| home(*other) != home(ORDER)).expect("many ids");
    let mut bench = Bench::answering(binding(), |event, context| match event["type"].as_str() {
        Some("OrderExpired") => Err(failing("TypeError: x is undefined", true)),
        _ => Ok(counting(event, context).to_string()),
    });
    for _ in 0..3 {
        let mut out = bench.open(&expired(ORDER), home(ORDER));
        out.extend(bench.open(&cancelled(ORDER), home(ORDER)));
        assert_eq!(out, [], "what is behind it waits, too");
        let stops = bench.commit(&out);
        assert_eq!(stops.len(), 1);
        assert_eq!((stops[0].partition.1, stops[0].offset), (home(ORDER), 0));
        let tries = bench.given().len();
        assert_eq!(bench.put_off(&expired(ORDER), home(ORDER)).until, stops[0].until);
        assert_eq!(bench.given().len(), tries, "before its time it is not tried");
        assert_eq!(on(&bench.put(&cancelled(other), home(other)), STATE).len(), 1, "others go on");
        bench.hurry();
    }
    let out = bench.put(&expired(ORDER), home(ORDER));
    let [letter] = dead_letters(&out)[..] else { panic!("{out:?}") };
    let event = expired(ORDER);
    assert_eq!((&letter.key, &letter.value), (&event.key, &event.value));
    assert_eq!(header(letter, "ce_type"), Some("OrderExpired"));
    assert_eq!(header(letter, "factfold_function"), Some("counter"));
    assert_eq!(header(letter, "factfold_reason"), Some("function-failed"));
    let position = format!("orders.events/{}@0", home(ORDER));
    assert_eq!(header(letter, "factfold_position"), Some(position.as_str()));
    let detail = header(letter, "factfold_detail").expect("a sentence");
    for said in ["counter", "binding 2", &position, "TypeError: x is undefined"] {
        assert!(detail.contains(said), "{detail}");
    }
    bench.put(&cancelled(ORDER), home(ORDER));
    assert_eq!(bench.state(ORDER), Some(json!({ "count": 1 })));
}

#[test]
fn what_it_must_not_return_is_its_failure() {
    let mut bench =
        Bench::new(|_, _| json!({ "commands": [{ "type": "SellGoods", "stream": "x", "data": {} }] }));
    for _ in 0..3 {
        bench.put_off(&cancelled(ORDER), home(ORDER));
        bench.hurry();
    }
    let out = bench.put(&cancelled(ORDER), home(ORDER));
    let letter = dead_letters(&out)[0];
    assert_eq!(header(letter, "factfold_reason"), Some("invalid-output"));
    assert!(header(letter, "factfold_detail").expect("a sentence").contains("/commands/0/type is no type"));
    assert_eq!(out.len(), 1, "nothing else came of it");
}

/// While its code is not there, an event waits for as long as that takes, and nothing is put aside.
#[test]
fn what_cannot_be_run_waits() {
    let mut tries = 0;
    let mut bench = Bench::answering(binding(), move |event, context| {
        tries += 1;
        if tries <= 50 {
            Err(failing("its code is not here yet", false))
        } else {
            Ok(counting(event, context).to_string())
        }
    });
    for _ in 0..50 {
        bench.put_off(&cancelled(ORDER), home(ORDER));
        bench.hurry();
    }
    assert_eq!(on(&bench.put(&cancelled(ORDER), home(ORDER)), STATE).len(), 1);
}

/// A batch that has had its time ends: the rest comes at once, in the next one.
#[test]
fn a_batch_ends_when_it_has_had_its_time() {
    let mut bench = Bench::new(counting);
    bench.giving.pace.took(std::time::Duration::from_secs(1));
    let now = std::time::Instant::now();
    let stop = bench.put_off(&cancelled(ORDER), home(ORDER));
    assert_eq!(stop.offset, 0);
    assert!(stop.until >= now && stop.until <= std::time::Instant::now(), "it need not rest");
    bench.put(&cancelled(ORDER), home(ORDER));
}

/// So does one that writes much.
#[test]
fn a_batch_ends_when_it_writes_much() {
    let big = "x".repeat(200 * 1024);
    let mut bench = Bench::new(move |_, _| json!({ "events": [{ "type": "A", "data": big }] }));
    let out: Vec<_> = (0..10).flat_map(|_| bench.open(&cancelled(ORDER), home(ORDER))).collect();
    assert_eq!(out.len(), 6, "a megabyte, and the one with which it was reached");
    assert_eq!(bench.commit(&out)[0].offset, 6);
}

#[test]
fn what_is_no_event_is_put_aside() {
    let mut bench = Bench::new(counting);
    let bare = |key: Option<&str>, value: Option<&str>| Outgoing {
        key: key.map(Into::into),
        value: value.map(Into::into),
        ..Outgoing::default()
    };
    for record in [bare(None, Some("{}")), bare(Some("a"), None), bare(Some("a"), Some("{"))] {
        let out = bench.put(&record, 0);
        assert_eq!(header(dead_letters(&out)[0], "factfold_reason"), Some("unreadable-event"), "{record:?}");
    }
    assert_eq!(bench.given(), []);
    assert_eq!(on(&bench.put(&cancelled(ORDER), home(ORDER)), STATE).len(), 1);
}

#[test]
fn a_binding_is_to_events() {
    let of = |topic: &str| {
        let bound = FunctionBound { topic: topic.to_owned(), ..binding().bound };
        Binding { bound, ..binding() }.topic()
    };
    assert_eq!(of("orders.events").ok(), Some(Service::Orders.events()));
    assert_eq!(of("functions.emitted").ok(), Some(EMITTED));
    for wrong in ["orders.commands", "functions.state", "coffee"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

/// Whether it has an offset says Kafka, but not for ever. (Seen failing where a failed transaction counts.)
#[test]
fn where_it_has_begun_is_written_once() {
    let mut bench = Bench::new(counting);
    assert_eq!(bench.act(), (vec![], vec![]), "it is written");
    let mut successor = bench.successor(counting);
    assert_eq!(successor.act(), (vec![], vec![]), "and known");

    bench.states[1].clear();
    bench.take_over(1);
    let (due, out) = bench.act();
    assert_eq!((due, on(&out, STATE).len()), (vec![1], 1));
    bench.discard(0, 1);
    assert_eq!(bench.act(), (vec![1], out.clone()), "it never was");
    bench.commit(&out);
    assert_eq!(bench.act(), (vec![], vec![]));
}

/// A function that fails while it is told so, and counts else.
fn mendable() -> (Bench, Arc<Mutex<Option<Failed>>>) {
    let fails = Arc::new(Mutex::new(Some(failing("no", true))));
    let said = fails.clone();
    let bench = Bench::answering(binding(), move |event, context| {
        match said.lock().expect("nobody panics").clone() {
            Some(failed) => Err(failed),
            None => Ok(counting(event, context).to_string()),
        }
    });
    (bench, fails)
}

/// The letter of an event with which it fails.
fn letter_of(bench: &mut Bench, event: &Outgoing, partition: i32) -> Outgoing {
    for _ in 0..3 {
        bench.put_off(event, partition);
        bench.hurry();
    }
    let out = bench.put(event, partition);
    dead_letters(&out)[0].clone()
}

/// (Seen failing where nothing is remembered, and where it is not written.)
#[test]
fn what_an_operator_publishes_is_given_once_more_and_counts_once() {
    let (mut bench, fails) = mendable();
    let (at, place) = (home(ORDER), "functions.dead-letters/0@7");
    let letter = letter_of(&mut bench, &cancelled(ORDER), at);
    assert_eq!(bench.act(), (vec![], vec![]), "nobody has published it");
    *fails.lock().expect("nobody panics") = None;
    bench.put(&expired(ORDER), at);
    bench.publish(&letter, place);

    // As it came, with the state of now.
    let (due, out) = bench.act();
    assert_eq!(due, [at]);
    let (event, context) = bench.given().pop().expect("it was given");
    assert_eq!(
        (&event["type"], &event["recordedtime"]),
        (&json!("OrderCancelled"), &json!("2023-11-14T22:13:20Z"))
    );
    let position = format!("orders.events/{at}@0");
    assert_eq!((&context["position"], &context["state"]), (&json!(position), &json!({ "count": 1 })));
    assert!(
        event["factfold_reason"].is_null() && event.as_object().is_some_and(|e| !e.contains_key("letter"))
    );

    // A transaction that fails is one that never was.
    bench.discard(0, at);
    let (due, again) = bench.act();
    assert_eq!((due, &again), (vec![at], &out));
    assert_eq!(on(&again, STATE).len(), 2, "the state, and that it was given");
    bench.commit(&again);
    assert_eq!(bench.state(ORDER), Some(json!({ "count": 2 })));
    assert_eq!(bench.act(), (vec![], vec![]));

    // Whoever takes over knows it.
    let mut next = bench.successor(counting);
    next.publish(&letter, place);
    assert_eq!(next.state(ORDER), Some(json!({ "count": 2 })));
    assert_eq!(next.act(), (vec![], vec![]));
    next.giving.forget((Service::Orders.events(), at));
    next.publish(&letter, "functions.dead-letters/0@8");
    assert_eq!(next.act(), (vec![], vec![]), "its partition is another's");
}

#[test]
fn what_fails_once_more_is_another_letter_and_what_cannot_run_waits() {
    let (mut bench, fails) = mendable();
    let at = home(ORDER);
    let letter = letter_of(&mut bench, &cancelled(ORDER), at);
    bench.publish(&letter, "functions.dead-letters/0@7");
    let (_, out) = bench.act();
    bench.commit(&out);
    let again = dead_letters(&out)[0];
    for name in ["factfold_position", "factfold_timestamp", "factfold_function", "factfold_binding", "ce_id"]
    {
        assert_eq!(header(again, name), header(&letter, name), "{name}");
    }
    assert_eq!(again.headers.iter().count(), letter.headers.iter().count());
    assert_eq!(bench.act(), (vec![], vec![]));

    *fails.lock().expect("nobody panics") = Some(failing("not yet", false));
    bench.publish(again, "functions.dead-letters/0@9");
    assert_eq!(bench.act(), (vec![at], vec![]));
    bench.commit(&[]);
    assert_eq!(bench.act(), (vec![], vec![]), "it rests");
    assert_eq!(bench.given().len(), 6);

    // Another binding's is none of its business.
    let headers = letter.headers.iter().map(|(name, value)| {
        (name.to_owned(), if name == "factfold_binding" { b"3".to_vec() } else { value.to_vec() })
    });
    let other = Outgoing { headers: headers.collect(), ..letter.clone() };
    bench.giving.rests_until = None;
    bench.publish(again, "functions.dead-letters/0@7");
    bench.publish(&other, "functions.dead-letters/0@10");
    *fails.lock().expect("nobody panics") = None;
    let (_, out) = bench.act();
    bench.commit(&out);
    assert_eq!((bench.act(), bench.given().len()), ((vec![], vec![]), 7));
    assert!(bench.redeliveries.put(&cancelled(ORDER).incoming()).is_err(), "that is no letter");
}
