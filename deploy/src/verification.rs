//! Verifying again and again, for whoever watches metrics: what `factfold verify` finds, every so often, beside a projector. It must
//! never keep the projector from its work, nor end it.

use std::time::Duration;

use anyhow::Result;
use factfold_projections::{
    Projection, auditing,
    log_reader::{Log, WantedOnDrop},
    verify,
};
use factfold_schemas::{kafka::Cluster, topics::Service};
use jiff::Timestamp;
use metrics::gauge;
use tokio::{sync::watch, time::sleep};

use crate::console::notice;

/// How many findings of a round are logged; `factfold verify` lists them all.
const LOGGED_MAX: usize = 10;

/// Verifies everything, and again after so long, for ever.
pub(crate) async fn every(interval: Duration, cluster: Cluster, database_url: String) {
    loop {
        sleep(interval).await;
        match everything(&cluster, &database_url).await {
            Ok((findings, differences)) => {
                tracing::info!(findings, differences, "verified");
                gauge!("factfold_verified_timestamp_seconds").set(Timestamp::now().as_second() as f64);
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not verify"),
        }
    }
}

/// How much was found in the log, and how much differs from it.
async fn everything(cluster: &Cluster, database_url: &str) -> Result<(u64, u64)> {
    let (mut findings, mut differences) = (0, 0);
    for service in Service::ALL {
        let found = audited(service, cluster.clone()).await?;
        gauge!("factfold_verify_findings", "service" => service.name()).set(found as f64);
        findings += found;
    }
    for projection in Projection::ALL {
        let (_going_on, stopped) = watch::channel(());
        let different = match verify(cluster, database_url, projection, stopped, |_| {}).await {
            Ok(verified) => verified.map_or(0, |verified| verified.found.different),
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "the log contradicts itself");
                1
            }
        };
        if different > 0 {
            tracing::error!(
                projection.name = projection.name(),
                different,
                "what is shown is not what happened"
            );
        }
        gauge!("factfold_verify_differences", "projection" => projection.name()).set(different as f64);
        differences += different;
    }
    Ok((findings, differences))
}

async fn audited(service: Service, cluster: Cluster) -> Result<u64> {
    // Told when this future is dropped, too.
    let stop = WantedOnDrop::default();
    let wanted = stop.0.clone();
    let audit = move || {
        let log = Log::open_for_many(&cluster, notice)?;
        let lanes = auditing::lanes(&log, service)?;
        auditing::audit(&log, service, &lanes, &wanted, |_| {})
    };
    let Some(audited) = tokio::task::spawn_blocking(audit).await?? else { return Ok(0) };
    for finding in audited.findings.iter().take(LOGGED_MAX) {
        tracing::error!(kafka.position = %finding.at, "{}", finding.what);
    }
    Ok(audited.found)
}
