//! Rule 17, a store beside the log: with it a worker decides what it would decide without, whenever it crashes and whatever
//! is in the store; and what does not fit is thrown away.

use std::fs;

use factfold_schemas::{goods::Command, ids::GoodsId, topics::Service};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    bench::{Bench, add, home, take},
    *,
};
use crate::worker::processor::Mark;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn bench(folder: &TempDir) -> Bench {
    Bench::stored(folder.path().to_owned(), 100)
}

fn goods(n: u128) -> GoodsId {
    GoodsId::new(Uuid::from_u128(n))
}

/// Goods that were added, sold and stored, and one sale more that was not stored.
fn some_history(bench: &mut Bench) -> GoodsId {
    let tea = goods(1);
    bench.send("add", tea, &add());
    bench.send("take", tea, &take(2));
    bench.send("too-much", tea, &take(100));
    bench.save();
    bench.send("later", tea, &take(3));
    tea
}

/// After a restart: eight left, whatever the repeats say, and nothing forgotten.
fn goes_on(bench: &mut Bench, tea: GoodsId) {
    let mut plain = bench.successor();
    for (id, pieces) in [("take", 2), ("too-much", 100), ("later", 3), ("later", 4), ("next", 6), ("last", 5)]
    {
        assert_eq!(bench.send(id, tea, &take(pieces)), plain.send(id, tea, &take(pieces)));
    }
}

#[test]
fn a_takeover_begins_where_the_store_ends() {
    let folder = folder();
    let mut bench = bench(&folder);
    let tea = some_history(&mut bench);
    let mut next = bench.restart();
    // The last stored event and outcome, to see that they are the same, and the sale after them.
    assert_eq!(next.folded, 3);
    goes_on(&mut next, tea);
    next.save();
    let mut last = next.restart();
    assert_eq!(last.folded, 2, "what was folded was stored too");
    goes_on(&mut last, tea);
}

/// A log that looks the same but is another one: the record at the stored offset has another time, or is not there.
#[test]
fn a_log_that_was_replaced_is_folded_from_its_beginning() {
    let change: [fn(&mut Bench); 3] = [
        |bench| bench.log.records.iter_mut().for_each(|(_, mark)| mark.timestamp_ms += 1),
        |bench| {
            bench
                .log
                .records
                .retain(|(produce, _)| produce.target != Target::Topic(Service::Goods.outcomes()))
        },
        |bench| bench.offset = 2,
    ];
    for (change, folded) in change.into_iter().zip([4, 5, 4]) {
        let folder = folder();
        let mut bench = bench(&folder);
        let tea = some_history(&mut bench);
        let offset = bench.offset;
        change(&mut bench);
        let mut next = bench.restart();
        assert_eq!(next.folded, folded);
        next.offset = offset;
        goes_on(&mut next, tea);
    }
}

#[test]
fn a_store_of_another_topic_cluster_or_version_is_thrown_away() {
    let folder = folder();
    let mut bench = bench(&folder);
    let tea = some_history(&mut bench);
    bench.deciding.commands = "other.goods.commands".into();
    bench.folded = 0;
    bench.take_over().expect("what was written adds up");
    assert_eq!(bench.folded, 4, "everything was folded");
    goes_on(&mut bench, tea);
}

/// What cannot be read, or was condemned, is no reason not to start.
#[test]
fn a_store_that_cannot_be_opened_is_thrown_away() {
    let folder = folder();
    let database = folder.path().join("goods/test");
    let files = |name: &str| {
        let found = fs::read_dir(&database).expect("a folder").map(|entry| entry.expect("an entry").path());
        found.filter(|path| path.is_file() && path.to_string_lossy().contains(name)).collect::<Vec<_>>()
    };
    for garbage in ["version", "jnl", "condemned"] {
        let mut bench = bench(&folder);
        let tea = some_history(&mut bench);
        let log = bench.log.clone();
        let (offset, now_ms) = (bench.offset, bench.now_ms);
        drop(bench);
        if garbage == "condemned" {
            fs::write(database.join("condemned"), "").expect("written");
        }
        for file in files(garbage) {
            fs::write(file, [7; 5000]).expect("written");
        }
        let mut next = Bench { log, offset, now_ms, ..self::bench(&folder) };
        next.take_over().expect("what was written adds up");
        assert_eq!(next.folded, 4, "{garbage}");
        goes_on(&mut next, tea);
        drop(next);
        fs::remove_dir_all(&database).expect("removed");
    }
}

/// Two workers must not have the same database: the second goes on without.
#[test]
fn a_store_in_use_is_left_alone() {
    let folder = folder();
    let mut first = bench(&folder);
    let tea = some_history(&mut first);
    let mut second =
        Bench { log: first.log.clone(), offset: first.offset, now_ms: first.now_ms, ..bench(&folder) };
    assert!(second.deciding.store.is_none());
    second.take_over().expect("what was written adds up");
    goes_on(&mut second, tea);
    drop(second);
    assert_eq!(first.restart().folded, 3, "the first one's store is whole");
}

/// A takeover that comes late must not put old states over new ones. Take the lease away, and it does.
#[test]
fn a_late_takeover_cannot_touch_the_store() {
    let folder = folder();
    let mut bench = bench(&folder);
    let tea = some_history(&mut bench);
    let of = (Service::Goods.commands(), home(tea));
    let mut late = bench.deciding.open(of);
    let mut current = bench.deciding.open(of);
    assert!(matches!(bench.hydrate(&mut late), Err(Error::Superseded)));
    bench.hydrate(&mut current).expect("what was written adds up");
    bench.deciding.adopt(of, current);

    let mut overtaken = bench.deciding.open(of);
    bench.hydrate(&mut overtaken).expect("what was written adds up");
    overtaken.is_ahead = true;
    bench.take_over().expect("what was written adds up");
    assert!(matches!(overtaken.save(), Err(Error::Superseded)));
    assert!(matches!(overtaken.load(goods(77)), Err(Error::Superseded)));
}

/// As long as all is in memory, a broken store is no loss. Once it is not, the partition is taken over again.
#[test]
fn a_store_that_breaks_is_done_without() {
    for (live_max, lost) in [(100, 0), (1, 1)] {
        let folder = folder();
        let mut bench = Bench::stored(folder.path().to_owned(), live_max);
        let tea = some_history(&mut bench);
        let of = (Service::Goods.commands(), home(tea));
        let more = (2..99).map(goods).filter(|goods| home(*goods) == of.1).take(2);
        more.for_each(|goods| drop(bench.send("add", goods, &add())));
        bench.save();
        bench.deciding.store.as_ref().expect("a store").give_up("a test");
        let again = bench.deciding.tidy();
        assert_eq!(again, vec![of; lost]);
        if lost > 0 {
            let unknown = (100..).map(goods).find(|goods| home(*goods) == of.1).expect("one of them");
            let record = Header::new("x", "/s").record_of(Service::Goods, &unknown.stream(), &take(1));
            let mut record = bench::incoming(&record, of.1);
            record.offset = bench.offset;
            let refused = bench.deciding.process(of.0, &record, &mut Vec::new());
            assert!(matches!(refused, Err(Error::StateLost { .. })), "{refused:?}");
            bench.take_over().expect("what was written adds up");
        }
        goes_on(&mut bench, tea);
        let next = bench.restart();
        assert_eq!(next.folded, next.log.records.iter().filter(|(p, _)| p.target != Target::Replies).count());
    }
}

/// What is on top of a wrong store does not add up: it is folded without, before it is believed.
#[test]
fn a_wrong_store_is_found_out() {
    let folder = folder();
    let mut bench = bench(&folder);
    let tea = some_history(&mut bench);
    let of = (Service::Goods.commands(), home(tea));
    let mut state = bench.deciding.open(of);
    bench.hydrate(&mut state).expect("what was written adds up");
    let mut entry = state.streams.take(tea).expect("the goods");
    entry.version -= 1;
    state.streams.set(tea, Some(entry));
    (state.is_ahead, state.events.last) =
        (true, Some(Mark { offset: 2, timestamp_ms: state.events.last.expect("a mark").timestamp_ms - 2 }));
    state.save().expect("stored");
    let mut next = bench.restart();
    assert!(next.folded >= 4, "{} records", next.folded);
    goes_on(&mut next, tea);
}

/// A delivery report without an offset: until the next one nobody knows how far the state is, so it is not stored.
#[test]
fn what_lies_nobody_knows_where_is_not_stored() {
    let folder = folder();
    let mut bench = bench(&folder);
    let tea = some_history(&mut bench);
    let unknown = Written::from([((Service::Goods.events(), home(tea)), None)]);
    bench.deciding.committed(&unknown);
    bench.save();
    let mut next = bench.restart();
    assert_eq!(next.folded, 3, "it was not stored");
    next.send("next", tea, &take(1));
    next.deciding.committed(&unknown);
    next.send("known", tea, &take(1));
    next.save();
    assert_eq!(next.restart().folded, 2, "it was stored");
}

#[derive(Debug, Clone)]
enum Step {
    Send { goods: u128, id: u8, command: Option<i64> },
    Save,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u128, 0..40_u8, proptest::option::weighted(0.8, -3..5_i64))
            .prop_map(|(goods, id, command)| Step::Send { goods, id, command }),
        2 => Just(Step::Save),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A worker that stores, forgets and crashes at any moment decides as one that does none of that; also where memory holds
    /// hardly anything, and the window of repeats is short.
    #[test]
    fn a_store_changes_no_decision(steps in prop::collection::vec(step(), 1..120), live_max in 0..6_usize) {
        let folder = folder();
        let settings = |state_dir| Settings { state_dir, live_max, repeats_max: 25, ..Bench::new().settings };
        let mut plain = Bench::with(settings(None));
        let mut stored = Bench::with(settings(Some(folder.path().to_owned())));
        for step in steps {
            match step {
                Step::Send { goods: n, id, command } => {
                    let command: Command = command.map_or_else(add, take);
                    let id = id.to_string();
                    prop_assert_eq!(plain.send(&id, goods(n), &command), stored.send(&id, goods(n), &command));
                }
                Step::Save => stored.save(),
                Step::Crash => stored = stored.restart(),
            }
        }
        let mut folded = stored.successor();
        let stored = stored.restart();
        for n in 0..4 {
            let (folded, stored) = (&mut folded.deciding.partitions, &stored.deciding.partitions[&n]);
            let folded = folded.get_mut(&n).expect("a partition");
            prop_assert_eq!(folded.progress, stored.progress);
            prop_assert_eq!((folded.events.last, folded.outcomes.last), (stored.events.last, stored.outcomes.last));
        }
    }
}
