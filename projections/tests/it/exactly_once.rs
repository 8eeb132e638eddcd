//! Every record is folded exactly once, whatever dies or comes twice (DESIGN, section 6, rule 1).

use std::time::Duration;

use factfold_projections::{PartitionProgress, Projection, ReadSide};
use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    position::Position,
    topics::Service,
};
use sqlx::Connection as _;
use tokio::time::timeout;

use crate::world::{
    PATIENCE, World, goods_added, goods_events, home, order_created, order_events, order_paid,
    stock_adjusted, waits_for_a_lock,
};

/// `read_committed`: what was aborted never shows, and does not count as a version either. (Seen failing with
/// `read_uncommitted`.)
#[tokio::test(flavor = "multi_thread")]
async fn what_was_aborted_never_shows() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (order, user) = (OrderId::generate(), UserId::generate());
    let created = world.decide_order(order, 1, vec![order_created(user, &[])]).await;
    world.abort(&order_events(order, 2, created, vec![order_paid(1), order_paid(2)])).await;
    let paid = world.decide_order(order, 2, vec![order_paid(3)]).await;

    world.see(&reads, Projection::OrderTimeline, paid).await;
    let timeline = reads.order_timeline(order).await.expect("Postgres");
    assert_eq!(timeline.len(), 2);
    assert_eq!(timeline[1].data["amount"]["amount"], 3);
    projecting.stop().await.expect("nothing went wrong");
}

/// Offsets have gaps where markers are; the checkpoint passes them too, so that "done" reaches all of the log. (Seen
/// failing when only records move it, and when markers alone are never written down.)
#[tokio::test(flavor = "multi_thread")]
async fn done_reaches_the_end_of_the_log() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let goods = GoodsId::generate();
    let position = world.decide_goods(goods, 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, position).await;
    // One record and its marker; then two records that come to nothing, and their marker.
    world.abort(&goods_events(goods, 2, position, vec![stock_adjusted(1, 2), stock_adjusted(1, 3)])).await;

    let place = (Service::Goods.events(), home(&goods.stream()));
    let reached = async {
        while partition(&reads, Projection::Goods, place).await.next_offset < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the checkpoint passes the markers");
    let reached = partition(&reads, Projection::Goods, place).await;
    assert_eq!((reached.next_offset, reached.decided), (5, Some(position)));
    projecting.stop().await.expect("nothing went wrong");
}

async fn partition(
    reads: &ReadSide,
    projection: Projection,
    place: (factfold_schemas::topics::Topic, i32),
) -> PartitionProgress {
    let progress = reads.progress().await.expect("Postgres");
    let of = progress.into_iter().find(|progress| progress.projection == projection).expect("it is there");
    of.partitions.into_iter().find(|p| (p.topic, p.partition) == place).expect("it has a checkpoint")
}

/// A projector that ends anywhere goes on exactly there. (Seen failing when it begins at the first record, at the end,
/// and where its group says.)
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_ended() {
    let world = World::new().await;
    let reads = world.read_side().await;
    let (goods, mut version, mut stock) = (GoodsId::generate(), 1, 0);
    let mut last = world.decide_goods(goods, version, vec![goods_added(stock)]).await;
    for _ in 0..4 {
        let projecting = world.project();
        for step in 0..5 {
            (version, stock) = (version + 1, stock + 1);
            last = world.decide_goods(goods, version, vec![stock_adjusted(1, stock)]).await;
            // It has begun, and is stopped with more on the way.
            if step == 0 {
                world.see(&reads, Projection::Goods, last).await;
            }
        }
        projecting.stop().await.expect("nothing went wrong");
    }
    let projecting = world.project();
    world.see(&reads, Projection::Goods, last).await;
    let shown = reads.goods(goods).await.expect("Postgres").expect("the goods");
    assert_eq!((shown.version, shown.stock), (21, 20));
    projecting.stop().await.expect("nothing went wrong");
}

/// Compare-and-set: two that believe to be the only one write nothing twice. Without the comparison the second to come
/// meets versions that it has already, or a row that is there, and stops. (Seen failing without.)
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_projectors_write_nothing_twice() {
    let world = World::new().await;
    let reads = world.read_side().await;
    let (first, second) = (world.project(), world.project());
    let (orders, user): (Vec<_>, _) = ((0..40).map(|_| OrderId::generate()).collect(), UserId::generate());
    let mut last: Vec<Position> = Vec::new();
    for order in &orders {
        world.decide_order(*order, 1, vec![order_created(user, &[])]).await;
        last.push(world.decide_order(*order, 2, vec![order_paid(1), order_paid(2)]).await);
    }
    for position in last {
        for projection in [Projection::Orders, Projection::OrderTimeline, Projection::CommandOutcomes] {
            world.see(&reads, projection, position).await;
        }
    }
    first.stop().await.expect("it saw nothing twice");
    second.stop().await.expect("it saw nothing twice");

    let mut database = world.database().await;
    let timeline: i64 = sqlx::query_scalar("SELECT count(*) FROM order_timeline")
        .fetch_one(&mut database)
        .await
        .expect("a count");
    let outcomes: i64 = sqlx::query_scalar("SELECT count(*) FROM command_outcomes")
        .fetch_one(&mut database)
        .await
        .expect("a count");
    let versions: i64 = sqlx::query_scalar("SELECT sum(version)::BIGINT FROM orders")
        .fetch_one(&mut database)
        .await
        .expect("a sum");
    assert_eq!((timeline, outcomes, versions), (120, 80, 120));
}

/// Postgres gives up one of two transactions that wait for each other. When that is the projector's, it is done once more. (Seen
/// failing when such an error is final.)
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (goods, mut version) = (GoodsId::generate(), 1);
    let mut last = world.decide_goods(goods, version, vec![goods_added(0)]).await;
    world.see(&reads, Projection::Goods, last).await;
    let (mut database, mut observer) = (world.database().await, world.database().await);
    let met = timeout(PATIENCE, async {
        loop {
            let mut other = database.begin().await.expect("a transaction");
            sqlx::query("SELECT FROM goods FOR UPDATE").execute(&mut *other).await.expect("the row");
            version += 1;
            last = world.decide_goods(goods, version, vec![stock_adjusted(1, 1)]).await;
            // It has its checkpoint, and waits for the row; then somebody with the row waits for the checkpoint.
            while !waits_for_a_lock(&mut observer, &world.schema()).await {}
            let checkpoints = "SELECT FROM checkpoints WHERE projection = 'goods' FOR UPDATE";
            let locked = sqlx::query(checkpoints).execute(&mut *other).await;
            other.rollback().await.expect("a rollback");
            // Whose transaction is given up depends on who has waited for how long.
            if locked.is_ok() {
                break;
            }
        }
    });
    met.await.expect("the projector's transaction is given up");
    world.see(&reads, Projection::Goods, last).await;
    assert_eq!(reads.goods(goods).await.expect("Postgres").expect("the goods").version, version);
    projecting.stop().await.expect("nothing went wrong");
}

/// Postgres drops every connection, in the middle of everything, again and again: the projector goes on from its
/// checkpoint, and those who wait hear of it on a new connection. (Seen failing when a connection that breaks is
/// final.)
#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_lose_nothing() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let mut database = world.database().await;
    let goods = GoodsId::generate();
    world.decide_goods(goods, 1, vec![goods_added(0)]).await;
    let mut last = None;
    for version in 2..20 {
        last = Some(world.decide_goods(goods, version, vec![stock_adjusted(1, 1)]).await);
        if version % 6 == 0 {
            sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1")
                .bind(world.schema())
                .execute(&mut database)
                .await
                .expect("they are cut");
        }
    }
    for projection in [Projection::Goods, Projection::CommandOutcomes] {
        world.see(&reads, projection, last.expect("there were some")).await;
    }
    assert_eq!(reads.goods(goods).await.expect("Postgres").expect("the goods").version, 19);
    projecting.stop().await.expect("nothing went wrong");
}
