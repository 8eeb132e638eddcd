//! Builds beside each other: one is made anew, shown, and taken back, and whoever reads meanwhile notices nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use factfold_projections::{
    Build, BuildEntry, BuildError, Catalogue, Difference, Projection, ReadSide, migrate,
};
use factfold_schemas::{goods, ids::GoodsId, position::Position, topics::Service};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{
    PARTITIONS, PATIENCE, World, goods_added, goods_events, home, stock_adjusted, waits_for_a_lock,
};

fn goods(version: i32) -> Build {
    Build { projection: Projection::Goods, version }
}

impl World {
    async fn catalogue(&self) -> Catalogue {
        Catalogue::open(&self.cluster, &self.database_url).await.expect("the catalogue")
    }
}

async fn find(catalogue: &mut Catalogue, build: Build) -> Option<BuildEntry> {
    catalogue.builds().await.expect("builds").into_iter().find(|entry| entry.build == build)
}

/// Waits until this is true of the build.
pub(crate) async fn until(catalogue: &mut Catalogue, build: Build, is_so: impl Fn(&BuildEntry) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let entry = find(catalogue, build).await.expect("it is there");
        if is_so(&entry) {
            return;
        }
        assert!(Instant::now() < deadline, "{entry:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Writes and reads its own writes until told to stop: no read fails, and none is older than what was written.
async fn write_and_read(world: &World, reads: &ReadSide, is_over: &AtomicBool) -> u64 {
    let tea = GoodsId::generate();
    let mut version = 1;
    let mut position = world.decide_goods(tea, 1, vec![goods_added(1)]).await;
    while !is_over.load(Ordering::Relaxed) {
        world.see(reads, Projection::Goods, position).await;
        let shown = reads.goods(tea).await.expect("no read fails").expect("they are shown");
        assert!(shown.version >= version, "{} after {version}", shown.version);
        version += 1;
        let stock = i64::try_from(version).expect("a stock");
        position = world.decide_goods(tea, version, vec![stock_adjusted(1, stock)]).await;
    }
    version
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_a_build_is_made_shown_and_taken_back_notices_nothing() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    for _ in 0..20 {
        world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    }
    let is_over = AtomicBool::new(false);
    let operator = async {
        let mut catalogue = world.catalogue().await;
        until(&mut catalogue, goods(1), |entry| entry.current && entry.caught_up_at.is_some()).await;
        for version in 2..=4 {
            assert_eq!(catalogue.rebuild(Projection::Goods).await.expect("a build"), goods(version));
            until(&mut catalogue, goods(version), |entry| entry.current).await;
            let previous = catalogue.previous(Projection::Goods).await.expect("a way back");
            assert_eq!(previous, goods(version - 1));
        }
        // The way back, and forth again: both builds are kept up to date.
        for version in [3, 4, 3] {
            catalogue.switch(goods(version)).await.expect("switched");
            assert!(find(&mut catalogue, goods(version)).await.expect("it is there").current);
        }
        for version in [1, 2, 4] {
            catalogue.drop_build(goods(version)).await.expect("dropped");
            assert_eq!(find(&mut catalogue, goods(version)).await, None);
        }
        assert_eq!(
            catalogue.rebuild(Projection::Goods).await.expect("a build"),
            goods(5),
            "no number comes twice"
        );
        until(&mut catalogue, goods(5), |entry| entry.current).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(write_and_read(&world, &reads, &is_over), operator);
    assert!(written > 10, "{written} writes in all that time");
    projecting.stop().await.expect("nothing went wrong");
}

/// (Seen failing with a switch that does not look how far the build has come.)
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_behind_is_not_shown() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let added = world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, added).await;
    let mut catalogue = world.catalogue().await;
    let paused = catalogue.rebuild(Projection::Goods).await.expect("a build");
    catalogue.pause(paused, true).await.expect("paused");
    catalogue.goes_live(paused, false).await.expect("not by itself");
    world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    // Whatever it had folded before it was paused, it has not folded this.
    let added = world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, added).await;
    let refused = catalogue.switch(paused).await;
    assert!(matches!(refused, Err(BuildError::Behind(build)) if build == paused), "{refused:?}");
    // Nothing is held up for longer than the attempt. (Seen failing with a transaction that is only dropped.)
    let added = world.decide_goods(GoodsId::generate(), 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, added).await;
    assert!(find(&mut catalogue, goods(1)).await.expect("it is there").current);
    let refused = catalogue.drop_build(goods(1)).await;
    assert!(matches!(refused, Err(BuildError::IsCurrent(_))), "{refused:?}");
    let refused = catalogue.pause(goods(1), true).await;
    assert!(matches!(refused, Err(BuildError::IsCurrent(_))), "{refused:?}");
    let refused = catalogue.switch(goods(9)).await;
    assert!(matches!(refused, Err(BuildError::NoBuild(_))), "{refused:?}");
    assert!(matches!(catalogue.previous(Projection::Goods).await, Err(BuildError::NoWayBack(_))));

    catalogue.pause(paused, false).await.expect("it goes on");
    catalogue.goes_live(paused, true).await.expect("by itself");
    until(&mut catalogue, paused, |entry| entry.current).await;
    projecting.stop().await.expect("nothing went wrong");
}

/// A start with another fold: what is shown stays until the new build has come as far.
#[tokio::test(flavor = "multi_thread")]
async fn another_fold_is_built_beside_what_is_shown() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let tea = GoodsId::generate();
    let added = world.decide_goods(tea, 1, vec![goods_added(1)]).await;
    world.see(&reads, Projection::Goods, added).await;
    projecting.stop().await.expect("nothing went wrong");

    // As if another code had made it.
    sqlx::query("UPDATE projections SET fold = 99 WHERE projection = 'goods'")
        .execute(&mut world.database().await)
        .await
        .expect("altered");
    for _ in 0..2 {
        migrate(&world.cluster, &world.database_url).await.expect("migrated");
    }
    let mut catalogue = world.catalogue().await;
    let builds = catalogue.builds().await.expect("builds");
    let goods_builds = builds.iter().filter(|entry| entry.build.projection == Projection::Goods);
    let seen: Vec<_> = goods_builds.map(|entry| (entry.build, entry.fold, entry.current)).collect();
    assert_eq!(seen, [(goods(1), 99, true), (goods(2), Projection::Goods.fold(), false)]);
    assert_eq!(reads.goods(tea).await.expect("Postgres").expect("it is still shown").version, 1);

    let projecting = world.project();
    until(&mut catalogue, goods(2), |entry| entry.current).await;
    assert_eq!(reads.goods(tea).await.expect("Postgres").expect("it is shown again").version, 1);
    let adjusted = world.decide_goods(tea, 2, vec![stock_adjusted(1, 2)]).await;
    world.see(&reads, Projection::Goods, adjusted).await;
    // Nobody goes on with the old one here, so there is no way back to it.
    let refused = catalogue.switch(goods(1)).await;
    assert!(matches!(refused, Err(BuildError::Behind(_))), "{refused:?}");
    projecting.stop().await.expect("nothing went wrong");
}

/// What differs from what was shown is noted before the build takes its place: somebody wants to look at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_compared_with_the_one_before_it_takes_its_place() {
    let world = World::new().await;
    let (reads, projecting) = (world.read_side().await, world.project());
    let mut catalogue = world.catalogue().await;
    let [right, altered] = [(); 2].map(|()| GoodsId::generate());
    for id in [right, altered] {
        let last = world.decide_goods(id, 1, vec![goods_added(7)]).await;
        world.see(&reads, Projection::Goods, last).await;
    }
    until(&mut catalogue, goods(1), |entry| entry.caught_up_at.is_some()).await;
    assert_eq!(find(&mut catalogue, goods(1)).await.expect("it is there").comparison, None);
    let alter = format!("UPDATE {}_goods_1.goods SET stock = 999 WHERE id = '{altered}'", world.schema());
    let mut database = world.database().await;
    sqlx::query(AssertSqlSafe(alter)).execute(&mut database).await.expect("altered");

    for (version, different) in [(2, 1), (3, 0)] {
        catalogue.rebuild(Projection::Goods).await.expect("a build");
        until(&mut catalogue, goods(version), |entry| entry.current).await;
        let entry = find(&mut catalogue, goods(version)).await.expect("it is there");
        let comparison = entry.comparison.expect("it was compared");
        assert_eq!(comparison.with, version - 1);
        let found = comparison.found.expect("they were at one position");
        assert_eq!((found.rows, found.different), (2, different), "{found:?}");
        for difference in found.differences {
            assert_eq!(difference.key["id"], json!(altered));
            let Difference { column, folded, shown, .. } = difference;
            assert_eq!((column.as_deref(), folded, shown), (Some("stock"), Some(json!(7)), Some(json!(999))));
        }
    }
    projecting.stop().await.expect("nothing went wrong");
}

/// Of two projectors that come to the indexes at once one waits, and then has nothing to do; but Postgres has locked the row for it
/// by then. (Seen failing, for ever, with a transaction that is only dropped: the same projector waits for it with what it found.)
#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_anothers_indexes_holds_up_nobody() {
    let world = World::new().await;
    let mut catalogue = world.catalogue().await;
    let projecting = world.project();
    until(&mut catalogue, goods(1), |entry| entry.caught_up_at.is_some()).await;
    projecting.stop().await.expect("nothing went wrong");
    let build = catalogue.rebuild(Projection::Goods).await.expect("a build");

    let (mut database, mut observer) = (world.database().await, world.database().await);
    let mut other = database.begin().await.expect("a transaction");
    sqlx::query("UPDATE projections SET indexed = TRUE WHERE projection = 'goods' AND version = 2")
        .execute(&mut *other)
        .await
        .expect("noted");
    let projecting = world.project();
    let waits = async { while !waits_for_a_lock(&mut observer, &world.schema()).await {} };
    timeout(PATIENCE, waits).await.expect("it waits");
    other.commit().await.expect("committed");
    until(&mut catalogue, build, |entry| entry.current).await;
    projecting.stop().await.expect("nothing went wrong");
}

/// More than is folded one by one: it comes in lanes, by COPY, and the indexes in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_folded_in_lanes() {
    const GOODS: i64 = 30_000;
    let world = World::new().await;
    let ids: Vec<GoodsId> = (0..GOODS).map(|_| GoodsId::generate()).collect();
    let mut decided = [0; PARTITIONS as usize];
    let mut events = |version, event: &dyn Fn(i64) -> goods::Event| {
        let all = (0..GOODS).zip(&ids).flat_map(|(number, id)| {
            let partition = home(&id.stream());
            let next = &mut decided[partition.unsigned_abs() as usize];
            *next += 1;
            let at = Position::new(Service::Goods.commands(), partition, *next);
            goods_events(*id, version, at, vec![event(number)])
        });
        all.collect::<Vec<_>>()
    };
    world.commit_many(&events(1, &goods_added)).await;
    world.commit_many(&events(2, &|number| stock_adjusted(1, number + 1))).await;

    let projecting = world.project();
    let mut catalogue = world.catalogue().await;
    until(&mut catalogue, goods(1), |entry| entry.caught_up_at.is_some()).await;
    let mut database = world.database().await;
    let totals = format!("SELECT count(*), sum(stock)::BIGINT, max(version) FROM {}.goods", world.schema());
    let totals: (i64, i64, i64) =
        sqlx::query_as(AssertSqlSafe(totals)).fetch_one(&mut database).await.expect("totals");
    assert_eq!(totals, (GOODS, GOODS * (GOODS + 1) / 2, 2));
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE schemaname = '{}_goods_1'", world.schema());
    let indexes: i64 =
        sqlx::query_scalar(AssertSqlSafe(indexes)).fetch_one(&mut database).await.expect("indexes");
    assert_eq!(indexes, 2, "the key's, and the one for lists");
    projecting.stop().await.expect("nothing went wrong");
}
