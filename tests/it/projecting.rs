//! A projector whose connection breaks between any two statements (DESIGN, section 6, rule 1): rows and checkpoint move
//! together or not at all, and an answer that got lost is not taken for a commit that was.

use std::env;

use factfold_projections::{Placed, Projection, ReadSide};
use factfold_schemas::{ids::GoodsId, topics::Service};
use tokio::time::Instant;

use crate::{
    fleet::Fleet,
    goods::{add, take},
    process::Process,
    world::{Job, PATIENCE, settings},
};

/// Whatever is folded is folded once. (Seen failing with a commit between the checkpoint and the rows.)
#[tokio::test(flavor = "multi_thread")]
async fn rows_and_checkpoint_move_together() {
    let url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: run deploy/test");
    for point in ["projector::checkpoint-moved", "projector::rows-written", "projector::committed"] {
        let fleet = Fleet::new().await;
        let world = &fleet.world;
        let reads = ReadSide::connect(&world.cluster, &url, 2).await.expect("a read side");
        let _worker = world.start(Job::Goods, settings("one"));
        let goods = GoodsId::generate();
        world.send(Service::Goods, "add", &goods.stream(), &add(100)).await;
        world.wait_for_traces(Service::Goods, 1);

        // More often than there are read models that fold this.
        let failing = format!("{point}=6*return");
        let mut projector = fleet.start("the projector", &["projector"], 1, &[("FAILPOINTS", &failing)]);
        let mut last = None;
        for n in 0..10 {
            last = Some(world.send(Service::Goods, &n.to_string(), &goods.stream(), &take(1)).await);
        }
        let last = last.expect("there were some");
        for projection in [Projection::Goods, Projection::CommandOutcomes] {
            let waited = reads.wait_for(projection, last, Placed::ByTheGateway, Instant::now() + PATIENCE);
            waited.await.unwrap_or_else(|error| panic!("{point}: {error}: {}", projector.tail()));
        }
        let shown = reads.goods(goods).await.expect("Postgres").expect("the goods");
        assert_eq!((shown.version, shown.stock), (11, 90), "{point}");
        // Rows whose answer got lost are shown before the projector has said so.
        let tries_again = |projector: &Process| {
            projector.lines(0).iter().find(|line| line["message"] == "trying again").map(drop)
        };
        projector.wait(&format!("a failure at {point}"), tries_again).await;
        projector.stop().await;
    }
}
