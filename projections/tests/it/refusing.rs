//! What a projector refuses: a log that contradicts itself, or is not the one that was folded. It stops there and says
//! where; the other read models go on.

use factfold_projections::{Contradiction, Error, Projection, ReadSide, Violation};
use factfold_schemas::{
    cloudevents::Outgoing,
    ids::{GoodsId, OrderId, UserId},
    record::{NoChange, Outcome},
    topics::Service,
};

use crate::world::{
    PATIENCE, World, goods_added, home, order_created, order_events, order_paid, outcome, recorded,
};

/// Waits until this read model is noted as failed; gives the reason.
async fn failure(reads: &ReadSide, projection: Projection) -> String {
    let noted = async {
        loop {
            let progress = reads.progress().await.expect("Postgres");
            let of =
                progress.into_iter().find(|progress| progress.projection == projection).expect("it is there");
            match of.failure {
                Some(failure) => return failure,
                None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.expect("it stops")
}

fn violation(error: Error) -> (Projection, Violation) {
    match error {
        Error::Violation { projection, violation } => (projection, *violation),
        other => panic!("expected a violation, got: {other}"),
    }
}

/// DESIGN, section 4: a fold refuses to go on when versions have a gap; and it is alone in that.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_a_stream_stops_its_read_models_alone() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (order, goods) = (OrderId::generate(), GoodsId::generate());
    world.decide_order(order, 1, vec![order_created(UserId::generate(), &[])]).await;
    let gap = world.decide_order(order, 3, vec![order_paid(1)]).await;
    let of_orders = [Projection::Orders, Projection::OrderTimeline, Projection::SalesByDay];
    for projection in of_orders {
        let failure = failure(&reads, projection).await;
        assert!(
            failure.contains("expected version 2") && failure.contains(order.stream().as_str()),
            "{failure}"
        );
        assert!(failure.contains(&format!("orders.events/{}@", gap.partition)), "{failure}");
    }
    let added = world.decide_goods(goods, 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, added).await;

    let (projection, violation) = violation(projecting.stop().await.expect_err("it says what was wrong"));
    assert!(of_orders.contains(&projection));
    assert!(matches!(violation.contradiction, Contradiction::Version { expected: 2, found: 3 }));
}

/// DESIGN, section 5, rule 9: a command leaves exactly one trace, be it on two topics and in two transactions.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_trace_stops_the_outcomes() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let order = OrderId::generate();
    let position = world.decide_order(order, 1, vec![order_created(UserId::generate(), &[])]).await;
    world.see(&reads, Projection::CommandOutcomes, position).await;
    let no_change = Outcome::NoChange(NoChange { command: "CreateOrder".to_owned() });
    world.commit(&[outcome(&recorded(&order.stream(), position, no_change))]).await;
    assert!(failure(&reads, Projection::CommandOutcomes).await.contains("has left a trace before"));
    violation(projecting.stop().await.expect_err("it says what was wrong"));
}

/// A command that was decided once more, later, stops everything that is folded from its events.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_decided_twice_stops_the_read_models() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let order = OrderId::generate();
    let first = world.decide_order(order, 1, vec![order_created(UserId::generate(), &[])]).await;
    world.see(&reads, Projection::Orders, first).await;
    world.commit(&order_events(order, 2, first, vec![order_paid(1)])).await;
    assert!(failure(&reads, Projection::Orders).await.contains("has left a trace before"));
    violation(projecting.stop().await.expect_err("it says what was wrong"));
}

/// What cannot be read is never skipped.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_stops_its_read_models() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let stream = GoodsId::generate().stream();
    let foreign = Outgoing {
        key: Some(stream.as_str().into()),
        value: Some(b"?".to_vec()),
        headers: [("ce_type", "GoodsAdded")].into_iter().collect(),
    };
    world.commit(&[(Service::Goods.events(), home(&stream), foreign)]).await;
    for projection in [Projection::Goods, Projection::CommandOutcomes] {
        let failure = failure(&reads, projection).await;
        assert!(failure.contains(&format!("goods.events/{}@0", home(&stream))), "{failure}");
        assert!(failure.contains("cannot be read"), "{failure}");
    }
    violation(projecting.stop().await.expect_err("it says what was wrong"));
}

/// A checkpoint beyond the end of the log means another log: folding on would mix two histories.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_replaced_is_not_folded() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let position = world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, position).await;
    projecting.stop().await.expect("nothing went wrong");

    let mut database = world.database().await;
    sqlx::query("UPDATE checkpoints SET next_offset = 1000 WHERE projection = 'goods' AND partition = $1")
        .bind(position.partition)
        .execute(&mut database)
        .await
        .expect("an update");
    let projecting = world.project();
    let failure = failure(&reads, Projection::Goods).await;
    assert!(failure.contains("folded up to offset 1000, but the log ends at 2"), "{failure}");
    let error = projecting.stop().await.expect_err("it says what was wrong");
    assert!(matches!(error, Error::LogReplaced { projection: Projection::Goods, .. }), "{error}");
}

/// Offsets of another cluster mean nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_not_folded() {
    let world = World::new().await;
    let mut database = world.database().await;
    sqlx::query("INSERT INTO source (cluster_id) VALUES ('another')")
        .execute(&mut database)
        .await
        .expect("an insert");
    let reads = world.read_side().await;
    let projecting = world.project();
    assert!(failure(&reads, Projection::Goods).await.contains("the Kafka cluster `another`"));
    assert!(matches!(projecting.stop().await, Err(Error::LogReplaced { .. })));
}
