//! What `/metrics` says about who is behind.

use std::collections::BTreeMap;

use factfold::lag::Lags;
use factfold_schemas::{ids::GoodsId, topics::Service};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{
    goods::{add, take},
    world::{Job, World, settings},
};

/// How many records each group is behind, by the name that the workers' own metrics have.
fn behind(lags: &mut Lags, groups: &[&str]) -> BTreeMap<String, u64> {
    let groups = groups.iter().map(|group| ((*group).to_owned(), vec![Service::Goods.commands()])).collect();
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || lags.measure(groups)).expect("measured");
    let mut behind = BTreeMap::new();
    for line in recorder.handle().render().lines() {
        let Some(labels) = line.strip_prefix("factfold_lag_records{group=\"") else { continue };
        let (group, records) = (labels.split('"').next(), labels.split(' ').next_back());
        let records: u64 = records.and_then(|records| records.parse().ok()).expect("a number");
        *behind.entry(group.expect("a name").to_owned()).or_default() += records;
    }
    behind
}

/// A group that has committed nothing has all of it to do, one that is gone has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_is_measured_while_it_does_nothing() {
    let (decider, function) = ("factfold.goods", "factfold.function.add.1");
    let world = World::new().await;
    let [of_the_decider, of_the_function] =
        [decider, function].map(|group| world.cluster.namespace.qualify(group));
    let stream = GoodsId::generate().stream();
    let worker = world.start(Job::Goods, settings("one"));
    world.send(Service::Goods, "add", &stream, &add(3)).await;
    world.wait_for_traces(Service::Goods, 1);
    worker.stop().expect("stopped");
    world.send(Service::Goods, "one", &stream, &take(1)).await;
    world.send(Service::Goods, "two", &stream, &take(1)).await;

    let mut lags = Lags::new(world.cluster.clone());
    let both = behind(&mut lags, &[decider, function]);
    assert_eq!(both, BTreeMap::from([(of_the_decider.clone(), 2), (of_the_function.clone(), 3)]));
    // It was unbound.
    let one = behind(&mut lags, &[decider]);
    assert_eq!(one, BTreeMap::from([(of_the_decider.clone(), 2), (of_the_function, 0)]));
    assert_eq!(behind(&mut lags, &[decider]), BTreeMap::from([(of_the_decider, 2)]));
}
