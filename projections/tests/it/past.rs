//! The past: what is folded for a moment is what people saw at that moment.

use factfold_projections::{At, OF_NOBODY, Past, Projection, past};
use factfold_schemas::{
    ids::{GoodsId, UserId},
    position::Position,
};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection, raw_sql};
use tokio::sync::watch;

use crate::world::{
    World, goods_added, line_reserved, order_confirmed, order_created, order_in, order_paid, stock_adjusted,
};

const TABLES: [&str; 6] =
    ["goods", "orders", "order_lines", "order_timeline", "sales_by_day", "command_outcomes"];

/// What people saw at a moment.
struct Seen {
    time: Timestamp,
    last: Position,
    schema: String,
}

/// Copies what is shown, and says when that was. What comes later has another time.
async fn seen(world: &World, database: &mut PgConnection, number: usize, last: Position) -> Seen {
    let (time, schema) = (Timestamp::now(), format!("{}_seen_{number}", world.schema()));
    let copies = TABLES
        .map(|table| format!("CREATE TABLE {schema}.{table} AS SELECT * FROM {}.{table}", world.schema()));
    let statements = format!("CREATE SCHEMA {schema}; {}", copies.join("; "));
    raw_sql(AssertSqlSafe(statements)).execute(database).await.expect("copies");
    while Timestamp::now().as_millisecond() <= time.as_millisecond() + 1 {
        tokio::task::yield_now().await;
    }
    Seen { time, last, schema }
}

async fn look_back(world: &World, at: At) -> Past {
    let (_going_on, stopped) = watch::channel(());
    let looked = past(&world.cluster, &world.database_url, &Projection::ALL, &at, stopped, |_| {});
    looked.await.expect("the past").expect("nobody stopped it")
}

async fn assert_same(database: &mut PgConnection, past: &Past, seen: &Seen) {
    let (path, schema) = (past.schemas.join(","), &seen.schema);
    for table in TABLES {
        let differing = format!(
            "SET search_path TO {path};
             CREATE TEMP VIEW differing AS
                 (TABLE {table} EXCEPT TABLE {schema}.{table}) UNION ALL (TABLE {schema}.{table} EXCEPT TABLE {table})"
        );
        raw_sql(AssertSqlSafe(differing)).execute(&mut *database).await.expect("a view");
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM differing")
            .fetch_one(&mut *database)
            .await
            .expect("a count");
        assert_eq!(count, 0, "{table} of {schema}");
        raw_sql("DROP VIEW differing; RESET search_path").execute(&mut *database).await.expect("dropped");
    }
}

/// Copies are kept on the way, and compared with what is asked for later: by time, by command, by offsets; in any order.
#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_what_people_saw() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let mut database = world.database().await;
    let (tea, buyer) = (GoodsId::generate(), UserId::generate());
    let orders = [0, 1, 2].map(order_in);
    let mut all = Vec::new();
    for number in 0..4_u64 {
        let stock = i64::try_from(number).expect("a few");
        let event = if number == 0 { goods_added(0) } else { stock_adjusted(1, stock) };
        let counted = world.decide_goods(tea, number + 1, vec![event]).await;
        let (mut last, mut decided) = (counted, vec![counted]);
        for (partition, id) in orders.iter().enumerate() {
            let events = match number {
                0 => vec![order_created(buyer, &[tea])],
                1 => vec![line_reserved(0, 150), order_confirmed(300)],
                2 if partition != 1 => vec![order_paid(300)],
                _ => continue,
            };
            let version = if number == 2 { 4 } else { number + 1 };
            last = world.decide_order(*id, version, events).await;
            decided.push(last);
        }
        for position in decided {
            for projection in Projection::ALL.into_iter().filter(|p| p.is_fed_by(position.topic.service)) {
                world.see(&reads, projection, position).await;
            }
        }
        all.push(seen(&world, &mut database, all.len(), last).await);
    }
    let mut schemas = Vec::new();
    for number in [2, 0, 3, 1] {
        let at = look_back(&world, At::Time(all[number].time)).await;
        assert_same(&mut database, &at, &all[number]).await;
        // The same again is there already.
        let again = look_back(&world, At::Events(at.positions.clone())).await;
        assert_eq!((&again.schemas, &again.positions), (&at.schemas, &at.positions));
        schemas.push(at.schemas);
    }
    let by_command = look_back(&world, At::Command(all[1].last)).await;
    assert_same(&mut database, &by_command, &all[1]).await;
    assert_eq!(by_command.schemas, schemas[3]);
    // What nobody has asked for in a day goes, but for what somebody looks at.
    let looked_at = look_back(&world, At::Time(all[3].time)).await;
    drop(by_command);
    let old = format!(
        "UPDATE {0}.projections SET used_at = now() - interval '25 hours' WHERE fold < {OF_NOBODY}",
        world.schema()
    );
    sqlx::query(AssertSqlSafe(old)).execute(&mut database).await.expect("as if a day had gone");
    let last_asked = look_back(&world, At::Time(all[0].time)).await;
    let is_there = "SELECT count(*) FROM pg_namespace WHERE nspname = ANY($1)";
    // Of the moment in between only what it shares with both: nobody came or went, and there are no functions.
    for (schemas, there) in [(&schemas[3], 2), (&looked_at.schemas, 7), (&last_asked.schemas, 7)] {
        let count: i64 =
            sqlx::query_scalar(is_there).bind(schemas).fetch_one(&mut database).await.expect("a count");
        assert_eq!(count, there, "{schemas:?}");
    }
    assert_same(&mut database, &last_asked, &all[0]).await;
    // What another fold made of a moment is no answer. (Seen failing where all folds have one past.)
    let raised =
        format!("UPDATE {0}.projections SET fold = fold - 100 WHERE fold < {OF_NOBODY}", world.schema());
    sqlx::query(AssertSqlSafe(raised)).execute(&mut database).await.expect("as if the folds were others");
    let anew = look_back(&world, At::Time(all[0].time)).await;
    assert!(anew.schemas.iter().all(|schema| !last_asked.schemas.contains(schema)), "{:?}", anew.schemas);
    assert_same(&mut database, &anew, &all[0]).await;
    // What is shown was not touched, and goes on.
    let last = world.decide_goods(tea, 5, vec![stock_adjusted(1, 4)]).await;
    world.see(&reads, Projection::Goods, last).await;
    assert_eq!(reads.goods(tea).await.expect("a read").expect("goods").version, 5);
    projecting.stop().await.expect("nothing went wrong");
}

/// A moment between two events of one command has neither: people never saw half of one.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_command_is_in_no_moment() {
    let world = World::new().await;
    let (id, tea) = (order_in(0), GoodsId::generate());
    world.decide_order(id, 1, vec![order_created(UserId::generate(), &[tea])]).await;
    let second = world.decide_order(id, 2, vec![line_reserved(0, 150), order_confirmed(300)]).await;
    // Two events of one command, and the marker of its transaction.
    let events = second.topic.service.events();
    let (_, end) = world.watermarks(events, 0);
    let at = look_back(&world, At::Events(vec![Position::new(events, 0, end - 2)])).await;
    let place = at.positions.iter().find(|position| position.topic == events && position.partition == 0);
    assert_eq!(place.expect("it is named").offset, end - 3);
    let mut database = world.database().await;
    let version = format!("SELECT version FROM {}.orders WHERE id = '{id}'", at.schemas[1]);
    let version: i64 =
        sqlx::query_scalar(AssertSqlSafe(version)).fetch_one(&mut database).await.expect("a version");
    assert_eq!(version, 1);
}
