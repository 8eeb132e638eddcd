//! What is shown is compared with what happened, while both go on.

use factfold_projections::{Catalogue, Difference, Projection, Verified, verify};
use factfold_schemas::ids::{GoodsId, OrderId, UserId};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::sync::watch;

use crate::world::{World, goods_added, order_created, stock_adjusted};

async fn verified(world: &World, projection: Projection) -> Verified {
    let (_going_on, stopped) = watch::channel(());
    let verified = verify(&world.cluster, &world.database_url, projection, stopped, |_| {}).await;
    verified.expect("it can be verified").expect("nobody stopped it")
}

/// A row altered by hand, one taken away, one put in: each is named, with its column.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_is_not_what_happened_is_named() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let [altered, gone, right] = [(); 3].map(|()| GoodsId::generate());
    for id in [altered, gone, right] {
        world.decide_goods(id, 1, vec![goods_added(7)]).await;
        let last = world.decide_goods(id, 2, vec![stock_adjusted(1, 8)]).await;
        world.see(&reads, Projection::Goods, last).await;
    }
    let tea =
        world.decide_order(OrderId::generate(), 1, vec![order_created(UserId::generate(), &[right])]).await;
    world.see(&reads, Projection::Orders, tea).await;
    for projection in Projection::ALL {
        let sound = verified(&world, projection).await.found;
        assert_eq!((sound.different, sound.differences.as_slice()), (0, [].as_slice()), "{projection}");
        let is_fed = !matches!(projection, Projection::Users | Projection::Functions);
        assert!(sound.rows > 0 || !is_fed, "{projection}");
    }

    let surplus = GoodsId::generate();
    let table = format!("{}_goods_1.goods", world.schema());
    let mut database = world.database().await;
    for statement in [
        format!("UPDATE {table} SET stock = 999 WHERE id = '{altered}'"),
        format!("DELETE FROM {table} WHERE id = '{gone}'"),
        format!(
            "INSERT INTO {table} SELECT '{surplus}', version, created_at, updated_at, name, price, currency, stock, \
             discontinued FROM {table} WHERE id = '{right}'"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut database).await.expect("altered");
    }
    let found = verified(&world, Projection::Goods).await.found;
    assert_eq!((found.rows, found.different), (4, 3), "{found:?}");
    let of = |id: GoodsId| {
        found.differences.iter().find(|other| other.key["id"] == json!(id)).expect("it is named")
    };
    let Difference { column, folded, shown, .. } = of(altered);
    assert_eq!((column.as_deref(), folded, shown), (Some("stock"), &Some(json!(8)), &Some(json!(999))));
    assert!(of(gone).shown.is_none() && of(gone).folded.is_some() && of(gone).column.is_none());
    assert!(of(surplus).folded.is_none() && of(surplus).shown.is_some());

    // Nothing of it is left, and what is shown goes on.
    let mut catalogue = Catalogue::open(&world.cluster, &world.database_url).await.expect("the catalogue");
    let builds = catalogue.builds().await.expect("builds");
    assert_eq!(builds.len(), Projection::ALL.len(), "{builds:?}");
    let last = world.decide_goods(right, 3, vec![stock_adjusted(1, 9)]).await;
    world.see(&reads, Projection::Goods, last).await;
    projecting.stop().await.expect("nothing went wrong");
}

/// While a projector writes: the comparison is at one position, so nothing differs.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_meanwhile_is_no_difference() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let last = world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, last).await;
    let writing = async {
        let tea = GoodsId::generate();
        world.decide_goods(tea, 1, vec![goods_added(1)]).await;
        for version in 2..200 {
            world.decide_goods(tea, version, vec![stock_adjusted(1, version.cast_signed())]).await;
        }
    };
    let verifying = async {
        for _ in 0..5 {
            for projection in [Projection::Goods, Projection::CommandOutcomes] {
                let found = verified(&world, projection).await;
                assert_eq!(found.found.different, 0, "{found:?}");
            }
        }
    };
    tokio::join!(writing, verifying);
    projecting.stop().await.expect("nothing went wrong");
}
