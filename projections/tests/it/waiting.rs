//! Reads that are not older than what the caller has seen (DESIGN, section 7). The tests of single rules move the
//! checkpoints by hand, one after the other, so that what must not be enough is seen not to be.

use std::time::Duration;

use factfold_projections::{Placed, Projection, ReadSide, WaitError};
use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    orders::Status,
    position::Position,
    topics::Service,
};
use sqlx::PgConnection;
use tokio::time::{Instant, timeout};

use crate::world::{
    PARTITIONS, World, goods_added, home, order_confirmed, order_created, order_in, order_paid, soon,
};

/// 50 writes, each followed at once by a read at its position: none is stale. (Seen failing when it does not wait.)
#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_shows_it() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let goods = GoodsId::generate();
    world.decide_goods(goods, 1, vec![goods_added(0)]).await;
    for version in 2..52 {
        let stock = i64::try_from(version).expect("a small number");
        let position = world.decide_goods(goods, version, vec![crate::world::stock_adjusted(1, stock)]).await;
        reads.wait_for(Projection::Goods, position, Placed::ByTheGateway, soon()).await.expect("it comes");
        assert_eq!(reads.goods(goods).await.expect("Postgres").expect("the goods").version, version);
    }
    projecting.stop().await.expect("nothing went wrong");
}

/// Who waits is woken by what moves the checkpoint, again and again, and not by looking every now and then.
/// (Seen failing without the notification.)
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_woken() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let goods = GoodsId::generate();
    world.decide_goods(goods, 1, vec![goods_added(0)]).await;
    let began = Instant::now();
    for version in 2..5 {
        let position = world.decide_goods(goods, version, vec![crate::world::stock_adjusted(1, 1)]).await;
        reads.wait_for(Projection::Goods, position, Placed::ByTheGateway, soon()).await.expect("it comes");
    }
    // Whoever looks does so every 10 s.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    projecting.stop().await.expect("nothing went wrong");
}

/// Plays the projector by hand.
struct ByHand {
    database: PgConnection,
    schema: String,
}

impl ByHand {
    async fn new(world: &World) -> Self {
        Self { database: world.database().await, schema: world.schema() }
    }

    /// This read model has folded so far.
    async fn reach(&mut self, projection: Projection, topic: &str, decided: Position) {
        sqlx::query(
            "INSERT INTO checkpoints (projection, version, topic, partition, next_offset, decided_offset)
             VALUES ($1, $2, $3, $4, 0, $5)
             ON CONFLICT (projection, version, topic, partition) DO UPDATE SET decided_offset = EXCLUDED.decided_offset",
        )
        .bind(projection.name())
        // The first build, and the only one.
        .bind(1)
        .bind(topic)
        .bind(decided.partition)
        .bind(decided.offset)
        .execute(&mut self.database)
        .await
        .expect("a checkpoint");
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(format!("{}_moved", self.schema))
            .execute(&mut self.database)
            .await
            .expect("a notification");
    }

    /// This trace is folded.
    async fn trace(&mut self, trace: Trace<'_>) {
        sqlx::query(
            "INSERT INTO command_outcomes (decided, stored, command_id, source, status, forwarded_to, after, decided_at)
             VALUES ($1, $2, 'c', '/tests', $3, $4, $5, now())",
        )
        .bind(trace.decided.to_string())
        .bind(trace.stored.to_string())
        .bind(trace.status)
        .bind(trace.forwarded_to)
        .bind(trace.after.map(|position| position.to_string()))
        .execute(&mut self.database)
        .await
        .expect("a trace");
    }
}

struct Trace<'a> {
    decided: Position,
    stored: Position,
    status: &'a str,
    forwarded_to: Option<i32>,
    after: Option<Position>,
}

/// A wait in the background, of which one can ask whether it is over.
struct Wait(tokio::task::JoinHandle<Result<(), WaitError>>);

impl Wait {
    fn start(reads: &ReadSide, projection: Projection, position: Position, placed: Placed<'static>) -> Self {
        let reads = reads.clone();
        Self(tokio::spawn(async move { reads.wait_for(projection, position, placed, soon()).await }))
    }

    /// It is not over, although what happened had time to be heard.
    async fn goes_on(&mut self) {
        timeout(Duration::from_millis(300), &mut self.0).await.expect_err("it must go on");
    }

    async fn ends(self) {
        self.0.await.expect("no panic").expect("it is shown");
    }
}

fn at(partition: i32, offset: i64) -> Position {
    Position::new(Service::Orders.commands(), partition, offset)
}

const EVENTS: &str = "orders.events";
const OUTCOMES: &str = "orders.outcomes";

/// A command that gave no events is shown when its outcome is folded *and* the read model has come to its `after`:
/// "already paid" is followed by a read that shows the payment. (Seen failing without its `after`, and without
/// outcomes.)
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_waits_for_what_came_before_it() {
    let world = World::new().await;
    let (reads, mut hand) = (world.read_side().await, ByHand::new(&world).await);
    let mut wait = Wait::start(&reads, Projection::Orders, at(0, 7), Placed::ByTheGateway);

    let rejected = Trace {
        decided: at(0, 7),
        stored: at(0, 7),
        status: "rejected",
        forwarded_to: None,
        after: Some(at(0, 5)),
    };
    hand.trace(rejected).await;
    hand.reach(Projection::CommandOutcomes, OUTCOMES, at(0, 7)).await;
    wait.goes_on().await;
    hand.reach(Projection::Orders, EVENTS, at(0, 4)).await;
    wait.goes_on().await;
    hand.reach(Projection::Orders, EVENTS, at(0, 5)).await;
    wait.ends().await;
}

/// Outcomes that are folded beyond a command which gave events say nothing of it. (Seen failing when they end the
/// wait.)
#[tokio::test(flavor = "multi_thread")]
async fn a_later_rejection_says_nothing_of_events() {
    let world = World::new().await;
    let (reads, mut hand) = (world.read_side().await, ByHand::new(&world).await);
    let mut wait = Wait::start(&reads, Projection::Orders, at(0, 7), Placed::ByTheGateway);
    hand.reach(Projection::CommandOutcomes, OUTCOMES, at(0, 9)).await;
    wait.goes_on().await;
    hand.reach(Projection::Orders, EVENTS, at(1, 7)).await;
    wait.goes_on().await;
    hand.reach(Projection::Orders, EVENTS, at(0, 7)).await;
    wait.ends().await;
}

/// A misplaced command: progress in its partition says nothing about it, nor does its `Forwarded`, nor the trace of its
/// copy; only the copy's events in the partition where it belongs. (Seen failing when it is taken for one at home, when
/// its `Forwarded` is the end, and when the copy's trace is.)
#[tokio::test(flavor = "multi_thread")]
async fn a_misplaced_command_waits_for_its_copy() {
    let world = World::new().await;
    let (reads, mut hand) = (world.read_side().await, ByHand::new(&world).await);
    let stored = world.store_in(Service::Orders, &order_in(1).stream(), 0).await;
    let mut wait = Wait::start(&reads, Projection::Orders, stored, Placed::Unknown);

    hand.reach(Projection::Orders, EVENTS, at(0, stored.offset + 5)).await;
    wait.goes_on().await;
    hand.trace(Trace { decided: stored, stored, status: "forwarded", forwarded_to: Some(1), after: None })
        .await;
    hand.reach(Projection::CommandOutcomes, OUTCOMES, stored).await;
    wait.goes_on().await;
    hand.reach(Projection::CommandOutcomes, EVENTS, at(1, 40)).await;
    wait.goes_on().await;
    hand.trace(Trace { decided: at(1, 42), stored, status: "accepted", forwarded_to: None, after: None })
        .await;
    hand.reach(Projection::CommandOutcomes, EVENTS, at(1, 42)).await;
    wait.goes_on().await;
    hand.reach(Projection::Orders, EVENTS, at(1, 42)).await;
    wait.ends().await;
}

/// The outcomes themselves show a command when its own trace is folded, which may be on either topic.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcomes_wait_for_the_trace_itself() {
    let world = World::new().await;
    let (reads, mut hand) = (world.read_side().await, ByHand::new(&world).await);
    let mut wait = Wait::start(&reads, Projection::CommandOutcomes, at(0, 7), Placed::ByTheGateway);
    hand.reach(Projection::CommandOutcomes, EVENTS, at(0, 8)).await;
    wait.goes_on().await;
    let no_change =
        Trace { decided: at(0, 7), stored: at(0, 7), status: "no-change", forwarded_to: None, after: None };
    hand.trace(no_change).await;
    hand.reach(Projection::CommandOutcomes, OUTCOMES, at(0, 7)).await;
    wait.ends().await;
}

/// Where a command lies is told by the stream that the read names, else by its key; a gateway need not ask. (Seen
/// failing when the gateway, the stream or the key is not believed.)
#[tokio::test(flavor = "multi_thread")]
async fn a_command_at_home_needs_no_outcome() {
    let world = World::new().await;
    let (reads, mut hand) = (world.read_side().await, ByHand::new(&world).await);
    let stream = order_in(2).stream();
    let stored = world.store(Service::Orders, &stream).await;
    hand.reach(Projection::Orders, EVENTS, stored).await;
    for placed in [Placed::ByTheGateway, Placed::OfStream(&stream), Placed::Unknown] {
        reads.wait_for(Projection::Orders, stored, placed, soon()).await.expect("it is shown");
    }
    // Read about another stream, it is the key that counts.
    let other = order_in(1).stream();
    reads.wait_for(Projection::Orders, stored, Placed::OfStream(&other), soon()).await.expect("it is shown");
    // Nobody asks the log, which has no such record.
    let beyond = Position { offset: stored.offset + 1, ..stored };
    hand.reach(Projection::Orders, EVENTS, beyond).await;
    for placed in [Placed::ByTheGateway, Placed::OfStream(&stream)] {
        reads.wait_for(Projection::Orders, beyond, placed, soon()).await.expect("it is shown");
    }
}

/// What cannot be the position of a command is refused, at once where that is known at once. (Seen failing without each
/// of the three checks.)
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_position_is_refused() {
    let world = World::new().await;
    let reads = world.read_side().await;
    for (position, placed, expected) in [
        (at(PARTITIONS, 0), Placed::ByTheGateway, "4 partitions"),
        (Position::new(Service::Orders.events(), 0, 0), Placed::ByTheGateway, "orders.commands"),
        (at(0, 1000), Placed::Unknown, "beyond the end"),
    ] {
        let asked = Instant::now();
        let refused =
            reads.wait_for(Projection::Orders, position, placed, soon()).await.expect_err("must be refused");
        assert!(matches!(&refused, WaitError::UnknownPosition { .. }), "{refused}");
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(asked.elapsed() < crate::world::PATIENCE / 2);
    }
}

/// When time runs out, the end of the log tells what is late from what cannot be. (Seen failing without looking at it.)
#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_is_told_from_what_cannot_be() {
    let world = World::new().await;
    let reads = world.read_side().await;
    let stream = order_in(0).stream();
    let stored = world.store(Service::Orders, &stream).await;
    let shortly = || Instant::now() + Duration::from_millis(300);
    let late = reads.wait_for(Projection::Orders, stored, Placed::ByTheGateway, shortly()).await;
    assert!(matches!(late, Err(WaitError::Behind { reached: None, .. })), "{late:?}");
    let never = Position { offset: stored.offset + 1, ..stored };
    let never = reads.wait_for(Projection::Orders, never, Placed::ByTheGateway, shortly()).await;
    assert!(matches!(never, Err(WaitError::UnknownPosition { .. })), "{never:?}");
}

/// Orders show nothing of what the goods service did, so there is nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_service_is_not_waited_for() {
    let world = World::new().await;
    let reads = world.read_side().await;
    let stored = world.store(Service::Goods, &GoodsId::generate().stream()).await;
    reads.wait_for(Projection::Orders, stored, Placed::ByTheGateway, soon()).await.expect("nothing to see");
}

/// `?until=`: the status, one beyond it, a final one, or what it is when time ran out.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_waited_for() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let order = OrderId::generate();
    let waiting = {
        let reads = reads.clone();
        tokio::spawn(async move { reads.wait_for_status(order, Status::Confirmed, soon()).await })
    };
    world.decide_order(order, 1, vec![order_created(UserId::generate(), &[])]).await;
    world.decide_order(order, 2, vec![order_confirmed(100)]).await;
    let shown = waiting.await.expect("no panic").expect("Postgres").expect("the order");
    assert_eq!(shown.status, Status::Confirmed);

    let paid = world.decide_order(order, 3, vec![order_paid(100)]).await;
    world.see(&reads, Projection::Orders, paid).await;
    let shown = reads.wait_for_status(order, Status::Confirmed, soon()).await.expect("Postgres");
    assert_eq!(shown.expect("the order").status, Status::Paid);
    let shortly = Instant::now() + Duration::from_millis(100);
    let shown = reads.wait_for_status(order, Status::Refunded, shortly).await.expect("Postgres");
    assert_eq!(shown.expect("the order").status, Status::Paid);
    let nothing = reads.wait_for_status(order_in(home(&order.stream())), Status::Paid, shortly).await;
    assert_eq!(nothing.expect("Postgres"), None);
    projecting.stop().await.expect("nothing went wrong");
}
