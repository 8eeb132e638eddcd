//! Events become rows.

use factfold_projections::Projection;
use factfold_schemas::{
    command::Auth,
    goods::{self, GoodsAdded},
    ids::{GoodsId, OrderId, UserId},
    orders::{self, Line, OrderCancelled, Status},
    record::{Cause, DeadLetterReason, DeadLettered, Outcome, Recorded},
    topics::Service,
};

use crate::world::{
    World, cause, eur, goods_added, line_reserved, order_confirmed, order_created, order_events, order_paid,
    recorded, stock_adjusted,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_shows_in_every_read_model() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (tea, order, user) = (GoodsId::generate(), OrderId::generate(), UserId::generate());

    world.decide_goods(tea, 1, vec![goods_added(10)]).await;
    let adjusted = world.decide_goods(tea, 2, vec![stock_adjusted(5, 15)]).await;
    let created = world.decide_order(order, 1, vec![order_created(user, &[tea])]).await;
    let confirmed = world.decide_order(order, 2, vec![line_reserved(0, 399), order_confirmed(798)]).await;
    let paid = world.decide_order(order, 4, vec![order_paid(798)]).await;

    world.see(&reads, Projection::Goods, adjusted).await;
    let goods = reads.goods(tea).await.expect("Postgres").expect("the goods");
    assert_eq!((goods.version, goods.stock, goods.price), (2, 15, eur(399)));

    world.see(&reads, Projection::Orders, paid).await;
    let shown = reads.order(order).await.expect("Postgres").expect("the order");
    assert_eq!((shown.version, shown.status, shown.user_id), (4, Status::Paid, user));
    assert_eq!((shown.total, shown.paid, shown.refunded), (Some(eur(798)), Some(eur(798)), Some(eur(0))));
    assert_eq!(shown.lines, [Line { goods_id: tea, quantity: 2, unit_price: Some(eur(399)) }]);
    assert_eq!((shown.created_at, shown.updated_at), (cause(created).time, cause(paid).time));

    world.see(&reads, Projection::OrderTimeline, paid).await;
    let timeline = reads.order_timeline(order).await.expect("Postgres");
    let told: Vec<_> =
        timeline.iter().map(|entry| (entry.version, entry.event.as_str(), entry.decided)).collect();
    let expected = [
        (1, "OrderCreated", created),
        (2, "LineReserved", confirmed),
        (3, "OrderConfirmed", confirmed),
        (4, "OrderPaid", paid),
    ];
    assert_eq!(told, expected);
    assert_eq!(timeline[3].data["amount"]["amount"], 798);
    assert_eq!(timeline[3].correlation.as_deref(), Some("together"));

    world.see(&reads, Projection::CommandOutcomes, confirmed).await;
    let outcome = reads.command(&cause(confirmed).command_id, Some(confirmed)).await.expect("Postgres");
    let outcome = outcome.expect("it is decided");
    assert_eq!(outcome.answer, factfold_schemas::record::Answer::Accepted { version: 3 });
    assert_eq!(reads.command("another id", Some(confirmed)).await.expect("Postgres"), None);
    projecting.stop().await.expect("nothing went wrong");
}

/// Who did it is kept with what was done.
#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_says_on_whose_behalf() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let order = OrderId::generate();
    let position = world.store(Service::Orders, &order.stream()).await;
    let mut records = order_events(order, 1, position, vec![order_created(UserId::generate(), &[])]);
    records[0].2.headers.push("ce_authtype", "user");
    records[0].2.headers.push("ce_authid", "ada");
    world.commit(&records).await;

    world.see(&reads, Projection::OrderTimeline, position).await;
    let timeline = reads.order_timeline(order).await.expect("Postgres");
    assert_eq!(timeline[0].auth, Some(Auth::User("ada".to_owned())));
    projecting.stop().await.expect("nothing went wrong");
}

/// Nothing that a history says stops its read models, also what no text of Postgres can hold.
#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_cannot_hold_shows_as_something_else() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (tea, order) = (GoodsId::generate(), OrderId::generate());
    let added =
        goods::Event::GoodsAdded(GoodsAdded { name: "T\0a\\u0000".to_owned(), price: eur(1), stock: 1 });
    let added = world.decide_goods(tea, 1, vec![added]).await;
    world.decide_order(order, 1, vec![order_created(UserId::generate(), &[tea])]).await;
    let cancelled = world.store(Service::Orders, &order.stream()).await;
    let cause = Cause {
        command_id: "i\0d".to_owned(),
        source: "/s\0".to_owned(),
        correlation: Some("\0".to_owned()),
        auth: Some(Auth::Other("k\0".to_owned(), Some("\0".to_owned()))),
        ..cause(cancelled)
    };
    let event =
        orders::Event::OrderCancelled(OrderCancelled { reason: "a\0b\\".to_owned(), lines: Vec::new() });
    let event = Recorded { stream: order.stream(), version: 2, cause: cause.clone(), data: event };
    let record = event.record(Service::Orders);
    world.commit(&[(Service::Orders.events(), cancelled.partition, record)]).await;
    let refused = world.store(Service::Orders, &order.stream()).await;
    let reason = DeadLetterReason { name: "invalid-header".to_owned(), detail: "`\0`".to_owned() };
    let outcome = Outcome::DeadLettered(DeadLettered { reason });
    world.record_outcome(recorded(&order.stream(), refused, outcome)).await;

    world.see(&reads, Projection::Goods, added).await;
    assert_eq!(reads.goods(tea).await.expect("Postgres").expect("the goods").name, "T\u{fffd}a\\u0000");
    world.see(&reads, Projection::OrderTimeline, cancelled).await;
    let timeline = reads.order_timeline(order).await.expect("Postgres");
    assert_eq!(timeline[1].data["reason"], "a\u{fffd}b\\");
    assert_eq!(timeline[1].correlation.as_deref(), Some("\u{fffd}"));
    world.see(&reads, Projection::CommandOutcomes, refused).await;
    assert!(reads.command("i\0d", Some(cancelled)).await.expect("Postgres").is_some(), "as it was asked for");
    assert_eq!(reads.stopped().await.expect("Postgres"), []);
    projecting.stop().await.expect("nothing went wrong");
}
