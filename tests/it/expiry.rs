//! Orders that nobody pays expire, and give their stock back.

use factfold_schemas::{
    goods,
    ids::{GoodsId, OrderId, UserId},
    orders::{Command, CreateOrder, Event, PayOrder, RequestedLine},
    record::Outcome,
    topics::Service,
};
use jiff::SignedDuration;

use crate::{
    goods::{add, eur},
    world::{Job, PARTITIONS, Running, World, settings, wait_until},
};

/// The last thing that happened to this order.
fn last(world: &World, order: OrderId) -> Option<Event> {
    let events = world.events::<Event>(Service::Orders);
    events.into_iter().rev().find(|event| event.stream == order.stream()).map(|event| event.data)
}

async fn create(world: &World, tea: GoodsId, quantity: i64) -> OrderId {
    let order = OrderId::generate();
    let lines = vec![RequestedLine { goods_id: tea, quantity }];
    let create = Command::CreateOrder(CreateOrder { user_id: UserId::generate(), lines });
    world.send(Service::Orders, "create", &order.stream(), &create).await;
    order
}

fn start(world: &World, after: SignedDuration) -> Vec<Running> {
    let jobs = [Job::OrderExpiry(after), Job::Timers(Service::Orders)];
    let workers: Vec<_> =
        world.start_all().into_iter().chain(jobs.map(|job| world.start(job, settings("one")))).collect();
    wait_until("all of them work", || {
        workers.iter().all(|worker| worker.status.live_partitions() >= PARTITIONS as usize)
    });
    workers
}

/// An order that is not paid in time expires, and its stock is there again. One that was paid stays paid, and nobody hears of
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_expires_and_gives_its_stock_back() {
    let world = World::new().await;
    let after = SignedDuration::from_secs(8);
    let _workers = start(&world, after);
    let tea = GoodsId::generate();
    world.send(Service::Goods, "tea", &tea.stream(), &add(5)).await;
    world.wait_for_traces(Service::Goods, 1);
    let (paid, unpaid) = (create(&world, tea, 2).await, create(&world, tea, 3).await);
    let is_confirmed = |order| matches!(last(&world, order), Some(Event::OrderConfirmed(_)));
    wait_until("both are confirmed", || is_confirmed(paid) && is_confirmed(unpaid));
    let pay = Command::PayOrder(PayOrder { amount: eur(500), method: "card".into() });
    world.send(Service::Orders, "pay", &paid.stream(), &pay).await;

    wait_until("the unpaid one expires", || matches!(last(&world, unpaid), Some(Event::OrderExpired(_))));
    let events = world.events::<Event>(Service::Orders);
    let of = |wanted: fn(&Event) -> bool| {
        events.iter().find(|event| event.stream == unpaid.stream() && wanted(&event.data)).expect("an event")
    };
    let (created, expired) = (
        of(|event| matches!(event, Event::OrderCreated(_))),
        of(|event| matches!(event, Event::OrderExpired(_))),
    );
    assert!(expired.cause.time >= created.cause.time + after, "not before its time");
    wait_until("its stock is there again", || {
        let events = world.events::<goods::Event>(Service::Goods);
        events.iter().any(|event| matches!(&event.data, goods::Event::StockReleased(r) if r.stock == 3))
    });
    wait_until("the paid one has had its time", || {
        let outcomes = world.outcomes(Service::Orders);
        outcomes.iter().any(|outcome| {
            outcome.stream == Some(paid.stream()) && matches!(outcome.outcome, Outcome::NoChange(_))
        })
    });
    assert!(matches!(last(&world, paid), Some(Event::OrderPaid(_))));
}

/// A system that had orders before they could expire: what was forgotten unpaid then expires as soon as it can, and the reactor
/// needs not be told where to begin. (Seen failing when it refuses a history as the others do.)
#[tokio::test(flavor = "multi_thread")]
async fn orders_from_before_there_was_an_expiry_expire_too() {
    let world = World::new().await;
    let workers = world.start_all();
    let tea = GoodsId::generate();
    world.send(Service::Goods, "tea", &tea.stream(), &add(5)).await;
    world.wait_for_traces(Service::Goods, 1);
    let order = create(&world, tea, 1).await;
    wait_until("it is confirmed", || matches!(last(&world, order), Some(Event::OrderConfirmed(_))));
    world.delete_group("factfold.reactor.order-expiry").await;
    drop(workers);

    let _workers = start(&world, SignedDuration::from_millis(1));
    wait_until("it expires", || matches!(last(&world, order), Some(Event::OrderExpired(_))));
}
