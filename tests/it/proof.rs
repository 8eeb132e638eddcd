//! The end of a load: nothing is on its way any more, and the checker proves that everything adds up.

use std::time::{Duration, Instant};

use factfold_checker::{
    check,
    checks::told::Told,
    gather,
    history::{Log, ServiceLog},
    quiescence,
    report::Report,
    shown,
};
use factfold_consumers::decider::Decider;
use factfold_projections::ReadSide;
use factfold_schemas::{kafka::Cluster, record::Outcome};

use crate::load::Load;

/// How long it may take until nothing is on its way.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until nothing is on its way, and has everything checked: what is on the topics, what the read models show, and
/// what clients were told.
pub(crate) async fn prove(cluster: &Cluster, database_url: &str, load: &Load) {
    let outcome = load.outcome();
    let log = prove_what_was(cluster, database_url, &outcome.told).await;
    assert!(outcome.surprises.is_empty(), "{:#?}", outcome.surprises);
    assert_of_everything_some(&log);
}

/// The same of whatever clients did.
pub(crate) async fn prove_what_was(cluster: &Cluster, database_url: &str, told: &[Told]) -> Log {
    let began = Instant::now();
    let reads = ReadSide::connect(cluster, database_url, 8).await.expect("the read models");
    quiescence::wait(cluster, &reads, PATIENCE).await.expect("it becomes quiet");
    eprintln!("quiet after {:?}", began.elapsed());
    let mut report = Report::default();
    let log = gather::read(cluster, true, &mut report).expect("the topics are readable");
    let shown = shown::ask(&reads, cluster, database_url, &log).await.expect("an answer");
    report.merge(check(&log, Some(&shown), told));
    eprintln!("checked after {:?}: {report}", began.elapsed());
    assert!(report.is_sound(), "{report}");
    log
}

/// A proof over nothing would prove nothing.
fn assert_of_everything_some(log: &Log) {
    for outcome in ["Rejected", "NoChange", "Repeated", "Forwarded", "DeadLettered", "Scheduled"] {
        assert!(count(&log.goods, outcome) > 0, "there was no {outcome}");
    }
    assert!(count(&log.orders, "Forwarded") > 0, "no order was misplaced");
    for event in ["OrderConfirmed", "OrderRejected", "OrderPaid", "OrderRefunded", "OrderCancelled"] {
        let events = log.orders.events.iter().map(|event| <&str>::from(&event.record.data));
        assert!(events.filter(|name| *name == event).count() > 0, "there was no {event}");
    }
}

fn count<D: Decider>(log: &ServiceLog<D>, outcome: &str) -> usize {
    let outcomes = log.outcomes.iter().map(|at| &at.record.outcome);
    outcomes.filter(|other: &&Outcome| <&str>::from(*other) == outcome).count()
}
