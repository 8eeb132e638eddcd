//! Sales by day: orders of all partitions come into the same rows, and nothing is counted twice.

use factfold_projections::{Catalogue, Projection};
use factfold_schemas::{
    ids::{GoodsId, UserId},
    orders::{Event, OrderRefunded},
};
use sqlx::AssertSqlSafe;

use crate::world::{
    PARTITIONS, World, eur, line_reserved, order_confirmed, order_created, order_in, order_paid,
};

/// Orders of two pieces of tea for 150 each; of every second 100 is given back. (Seen failing when new rows replace those that are
/// there.)
#[tokio::test(flavor = "multi_thread")]
async fn sales_come_to_the_same_however_they_are_folded() {
    const ORDERS: i64 = 12;
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let tea = GoodsId::generate();
    for number in 0..ORDERS {
        let id = order_in(i32::try_from(number).expect("a few") % PARTITIONS);
        let created = order_created(UserId::generate(), &[tea]);
        let mut events = vec![created, line_reserved(0, 150), order_confirmed(300), order_paid(300)];
        if number % 2 == 0 {
            let (amount, reason) = (eur(100), "late".to_owned());
            events.push(Event::OrderRefunded(OrderRefunded {
                amount,
                refunded: amount,
                in_full: false,
                reason,
            }));
        }
        let last = world.decide_order(id, 1, events).await;
        // Each in a batch of its own, so that rows are added to.
        world.see(&reads, Projection::SalesByDay, last).await;
    }
    let mut database = world.database().await;
    for build in ["sales_by_day_1", "sales_by_day_2"] {
        let select = format!(
            "SELECT sum(orders)::BIGINT, sum(pieces)::BIGINT, sum(revenue)::BIGINT, sum(refunded)::BIGINT
             FROM {}_{build}.sales_by_day WHERE goods_id = '{tea}' AND currency = 'EUR'",
            world.schema()
        );
        let sold: (i64, i64, i64, i64) =
            sqlx::query_as(AssertSqlSafe(select)).fetch_one(&mut database).await.expect("sales");
        assert_eq!(sold, (ORDERS, 2 * ORDERS, 300 * ORDERS, 50 * ORDERS), "{build}");
        let mut catalogue =
            Catalogue::open(&world.cluster, &world.database_url).await.expect("the catalogue");
        let rebuilt = catalogue.rebuild(Projection::SalesByDay).await.expect("a build");
        crate::building::until(&mut catalogue, rebuilt, |entry| entry.current).await;
        let entries = catalogue.builds().await.expect("builds");
        let entry = entries.into_iter().find(|entry| entry.build == rebuilt).expect("it is there");
        let found = entry.comparison.and_then(|comparison| comparison.found).expect("it was compared");
        assert_eq!(found.different, 0, "{found:?}");
    }
    projecting.stop().await.expect("nothing went wrong");
}
