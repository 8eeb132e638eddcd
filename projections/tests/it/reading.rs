//! Questions and their answers.

use factfold_projections::{GoodsFilter, OrderFilter, PageRequest, Projection, ReadSide};
use factfold_schemas::{
    ids::{GoodsId, OrderId, UserId},
    orders::Status,
    position::Position,
    record::{
        Answer, DeadLetterReason, DeadLettered, Forwarded, NoChange, Outcome, Rejected, Repeated, Scheduled,
    },
    rejection::{Rejection, RejectionKind},
    topics::Service,
};

use crate::world::{
    World, cause, goods_added, home, line_reserved, order_created, order_events, order_in, order_paid,
    recorded,
};

/// Pages come newest first, none is left out and none comes twice, while new ones are added in front.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_page_by_page() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let mut added = Vec::new();
    for _ in 0..5 {
        let id = GoodsId::generate();
        let position = world.decide_goods(id, 1, vec![goods_added(1)]).await;
        world.see(&reads, Projection::Goods, position).await;
        added.push((cause(position).time, id));
    }
    added.sort_unstable();
    added.reverse();

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest::new(2, after).expect("a limit");
        let page = reads.list_goods(&GoodsFilter::default(), &request).await.expect("Postgres");
        seen.extend(page.items.iter().map(|goods| (goods.created_at, goods.id)));
        // Through a text and back, as a client does.
        after = page.next.map(|cursor| cursor.to_string().parse().expect("a cursor"));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, added);
    let none = GoodsFilter { discontinued: Some(true) };
    assert_eq!(reads.list_goods(&none, &PageRequest::default()).await.expect("Postgres").items, []);
    projecting.stop().await.expect("nothing went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_user_status_and_goods() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let (ada, tea) = (UserId::generate(), GoodsId::generate());
    let (with_tea, paid, foreign) = (OrderId::generate(), OrderId::generate(), OrderId::generate());
    let coffee = GoodsId::generate();
    for (order, events) in [
        (with_tea, vec![order_created(ada, &[coffee, tea])]),
        (paid, vec![order_created(ada, &[coffee]), line_reserved(0, 1), order_paid(2)]),
        (foreign, vec![order_created(UserId::generate(), &[tea])]),
    ] {
        let position = world.decide_order(order, 1, events).await;
        world.see(&reads, Projection::Orders, position).await;
    }
    let of_ada = OrderFilter { user_id: Some(ada), ..OrderFilter::default() };
    assert_eq!(found(&reads, of_ada).await, sorted(vec![with_tea, paid]));
    assert_eq!(found(&reads, OrderFilter { status: Some(Status::Paid), ..of_ada }).await, [paid]);
    assert_eq!(found(&reads, OrderFilter { goods_id: Some(tea), ..of_ada }).await, [with_tea]);
    assert_eq!(found(&reads, OrderFilter::default()).await, sorted(vec![with_tea, paid, foreign]));
    let order = reads.order(with_tea).await.expect("Postgres").expect("the order");
    assert_eq!(order.lines.iter().map(|line| line.goods_id).collect::<Vec<_>>(), [coffee, tea]);
    projecting.stop().await.expect("nothing went wrong");
}

async fn found(reads: &ReadSide, filter: OrderFilter) -> Vec<OrderId> {
    let page = reads.list_orders(&filter, &PageRequest::default()).await.expect("Postgres");
    sorted(page.items.into_iter().map(|order| order.id).collect())
}

fn sorted(mut ids: Vec<OrderId>) -> Vec<OrderId> {
    ids.sort_unstable();
    ids
}

/// The outcome of a command is that of its copy where it was forwarded or had waited, and that of the first where it was a repeat.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_followed_to_its_answer() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let order = order_in(1);
    let stream = order.stream();

    // Stored in partition 0, forwarded to where it belongs, accepted there.
    let stored = world.store_in(Service::Orders, &stream, 0).await;
    world.record_outcome(recorded(&stream, stored, Outcome::Forwarded(Forwarded { from: 0, to: 1 }))).await;
    let id = cause(stored).command_id;
    world.see_outcomes(&reads, stored).await;
    assert_eq!(reads.command(&id, Some(stored)).await.expect("Postgres"), None, "the copy is not decided");
    let copy = world.store(Service::Orders, &stream).await;
    let mut events = order_events(order, 1, copy, vec![order_created(UserId::generate(), &[])]);
    let headers = std::mem::take(&mut events[0].2.headers);
    let others = headers.iter().filter(|(name, _)| *name != "ce_causationid");
    events[0].2.headers = others.map(|(name, value)| (name.to_owned(), value)).collect();
    events[0].2.headers.push("ce_causationid", &id);
    events[0].2.headers.push("ce_commandposition", stored.to_string());
    world.commit(&events).await;
    world.see(&reads, Projection::CommandOutcomes, stored).await;
    for at in [Some(stored), None] {
        let found = reads.command(&id, at).await.expect("Postgres").expect("it is decided");
        assert_eq!(
            (found.answer, found.stored, found.decided),
            (Answer::Accepted { version: 1 }, stored, copy)
        );
    }

    // The same once more.
    let again = world.store(Service::Orders, &stream).await;
    let repeated = Repeated { command: "CreateOrder".to_owned(), first: copy };
    world.record_outcome(recorded(&stream, again, Outcome::Repeated(repeated))).await;
    world.see(&reads, Projection::CommandOutcomes, again).await;
    let found =
        reads.command(&cause(again).command_id, Some(again)).await.expect("Postgres").expect("decided");
    assert_eq!((found.answer, found.repeated, found.decided), (Answer::Accepted { version: 1 }, true, again));

    // Put off; then decided, which a repeat of the first is told too.
    let (id, due) = ("later".to_owned(), "2026-11-23T10:15:00Z".parse().expect("a time"));
    let waits = Outcome::Scheduled(Scheduled { command: "PayOrder".to_owned(), due });
    let first = world.store(Service::Orders, &stream).await;
    let mut outcome = recorded(&stream, first, waits);
    outcome.cause.command_id = id.clone();
    world.record_outcome(outcome).await;
    let repeat = world.store(Service::Orders, &stream).await;
    let repeated = Repeated { command: "PayOrder".to_owned(), first };
    world.record_outcome(recorded(&stream, repeat, Outcome::Repeated(repeated))).await;
    let copy = world.store(Service::Orders, &stream).await;
    let mut outcome = recorded(&stream, copy, Outcome::NoChange(NoChange { command: "PayOrder".to_owned() }));
    (outcome.cause.command_id, outcome.cause.stored) = (id.clone(), first);
    let asked = [(id.clone(), Some(first)), (id, None), (cause(repeat).command_id, Some(repeat))];
    for answer in [Answer::Scheduled { due }, Answer::NoChange] {
        world.see(&reads, Projection::CommandOutcomes, repeat).await;
        for (id, at) in &asked {
            let found = reads.command(id, *at).await.expect("Postgres").expect("decided");
            assert_eq!((found.answer, found.stored), (answer.clone(), at.unwrap_or(first)));
        }
        if answer != Answer::NoChange {
            world.record_outcome(outcome.clone()).await;
            world.see(&reads, Projection::CommandOutcomes, copy).await;
        }
    }

    // Refused, and unreadable.
    let rejection = Rejection {
        name: "already-paid".to_owned(),
        kind: RejectionKind::Conflict,
        detail: "the order is paid already".to_owned(),
        pointer: None,
        data: serde_json::Map::new(),
    };
    let reason = DeadLetterReason { name: "invalid-json".to_owned(), detail: "no JSON".to_owned() };
    let rejected = Rejected { command: "PayOrder".to_owned(), rejection: rejection.clone() };
    for (outcome, answer) in [
        (Outcome::Rejected(rejected), Answer::Rejected { rejection }),
        (Outcome::DeadLettered(DeadLettered { reason: reason.clone() }), Answer::DeadLettered { reason }),
    ] {
        let at = world.store(Service::Orders, &stream).await;
        world.record_outcome(recorded(&stream, at, outcome)).await;
        world.see(&reads, Projection::CommandOutcomes, at).await;
        let found = reads.command(&cause(at).command_id, Some(at)).await.expect("Postgres").expect("decided");
        assert_eq!(found.answer, answer);
    }
    assert_eq!(home(&stream), 1);
    projecting.stop().await.expect("nothing went wrong");
}

impl World {
    /// Waits until the outcome that was decided here is folded, whatever follows from it.
    async fn see_outcomes(&self, reads: &ReadSide, decided: Position) {
        let folded = async {
            loop {
                let progress = reads.progress().await.expect("Postgres");
                let mut places = progress.iter().flat_map(|progress| &progress.partitions);
                if places.any(|p| p.topic == decided.topic.service.outcomes() && p.decided >= Some(decided)) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::world::PATIENCE, folded).await.expect("it is folded");
    }
}

/// Postgres away is an error that passes, not a wrong question.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_away_is_told_apart() {
    let world = World::new().await;
    let reads = ReadSide::connect(&world.cluster, "postgres://nobody@127.0.0.1:1/none", 1)
        .await
        .expect("it starts anyway");
    assert!(reads.stopped().await.expect_err("nobody answers").is_unavailable());
    assert!(reads.order(OrderId::generate()).await.expect_err("nobody answers").is_unavailable());
}
