//! The checker: reads everything that is on the topics and in Postgres, and proves that it adds up. It names each
//! violation and where it is.
//!
//! A tour: [`gather`] reads the topics into a [`history::Log`], [`shown`] the read models; [`check()`] is pure and runs one
//! [check](checks) after the other over them; what does not hold is a [`report::Finding`]. [`quiescence`] waits until nothing
//! is on its way any more: some checks can only be made then.
//!
//! It must never write anywhere. It shares the pure deciders and reactors with the system, and the codec; whatever the
//! worker and the projector do around them it does again, in its own words.

pub mod checks;
#[cfg(test)]
mod fixture;
pub mod fold;
pub mod gather;
pub mod history;
pub mod log;
pub mod quiescence;
pub mod read;
pub mod replay;
pub mod report;
pub mod shown;

use checks::told::Told;
use factfold_consumers::decider::Decider;

use crate::{
    history::{Log, ServiceLog},
    report::Report,
    shown::Shown,
};

/// Checks everything that can be checked: what is on the topics, what the read models `shown` say, and what clients were
/// `told`.
pub fn check(log: &Log, shown: Option<&Shown>, told: &[Told]) -> Report {
    let mut report = Report::default();
    of_service(&log.goods, log.quiet, &mut report);
    of_service(&log.orders, log.quiet, &mut report);
    of_service(&log.users, log.quiet, &mut report);
    of_service(&log.functions, log.quiet, &mut report);
    checks::redeciding::check(&log.goods, &mut report);
    checks::redeciding::check(&log.orders, &mut report);
    checks::redeciding::check(&log.users, &mut report);
    checks::redeciding::check(&log.functions, &mut report);
    checks::stock::check(&log.goods, &mut report);
    checks::money::check(&log.orders, &mut report);
    if log.quiet {
        checks::requests::check(log, &mut report);
        checks::reservations::check(log, &mut report);
    }
    if let Some(shown) = shown.filter(|_| log.quiet) {
        checks::read_models::check(log, shown, &mut report);
        checks::outcome_rows::check(log, shown, &mut report);
    }
    checks::told::check(log, told, &mut report);
    report
}

/// What must hold for each service alone.
fn of_service<D: Decider>(log: &ServiceLog<D>, quiet: bool, report: &mut Report) {
    report.count(log);
    checks::traces::check(log, quiet, report);
    checks::order::check(log, report);
    checks::once::check(log, report);
    checks::forwarding::check(log, quiet, report);
    checks::timers::check(log, quiet, report);
    checks::dead_letters::check(log, report);
}
