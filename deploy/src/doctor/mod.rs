//! What of Kafka, PostgreSQL and the settings is not fit for production. It looks, and changes nothing.

mod kafka;
mod postgres;

use factfold_projections::{ReadSide, log_reader::Log};
use factfold_schemas::kafka::Cluster;
use serde::Serialize;

use crate::{console::notice, failure::Failure, system::System, topics};

/// Something that is not fit for production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `kafka`, `topics`, `postgres` or `settings`.
    pub about: &'static str,
    /// What is there, and what can come of it.
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// A private node is meant to be so.
    pub normal: bool,
    /// It could not be looked at.
    pub out_of_reach: bool,
}

impl Finding {
    fn new(about: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about, what: what.into(), fix: fix.into(), normal: false, out_of_reach: false }
    }

    /// This is how a private node is meant to be.
    fn normal_if(self, private: bool) -> Self {
        Self { normal: private, ..self }
    }

    fn out_of_reach(about: &'static str, error: &anyhow::Error, fix: &str) -> Self {
        Self { out_of_reach: true, ..Self::new(about, format!("{error:#}"), fix) }
    }
}

/// Looks at everything that can be reached.
pub async fn examine(system: &System) -> Result<Vec<Finding>, Failure> {
    let cluster = system.cluster()?;
    let mut findings = settings(system);
    let reached = {
        let cluster = cluster.clone();
        tokio::task::spawn_blocking(move || Log::open(&cluster, notice)).await.map_err(anyhow::Error::from)?
    };
    match reached {
        Err(error) => {
            findings.push(Finding::out_of_reach("kafka", &error.into(), "start it, or set KAFKA_BROKERS"));
        }
        Ok(_) => {
            findings.extend(kafka::examine(system, &cluster).await?);
            let wrong = topics::check(&cluster).await?;
            findings.extend(wrong.into_iter().map(|what| match what.split_once(": ") {
                Some((what, fix)) => Finding::new("topics", what, fix),
                None => Finding::new("topics", what, "make them anew, or mend them by hand"),
            }));
        }
    }
    findings.extend(postgres::examine(system.database()?).await);
    findings.extend(stopped(&cluster, system.database()?).await);
    findings.extend(issuer(system).await);
    Ok(findings)
}

/// Read models that do not go on. Where there are none yet, or no PostgreSQL, that is said elsewhere.
async fn stopped(cluster: &Cluster, url: &str) -> Vec<Finding> {
    let progress = async { ReadSide::connect(cluster, url, 1).await?.progress().await };
    let progress = progress.await.unwrap_or_default();
    let stopped = progress.into_iter().filter_map(|of| Some((of.projection, of.failure?)));
    let found = stopped.map(|(projection, failure)| {
        let what = format!("the read model {projection} has stopped, and shows what was before: {failure}");
        let fix = "mend its fold or its tables, never the log, and start the projector again: it goes on from there";
        Finding::new("postgres", what, fix)
    });
    found.collect()
}

/// Nobody can log in elsewhere while the issuer does not tell its keys.
async fn issuer(system: &System) -> Option<Finding> {
    // The settings are only there when they can be used.
    let trusted = system.settings().issuer().ok().flatten()?;
    let error = trusted.examine().await.err()?;
    let what = format!("no keys of the issuer of access tokens: {error}");
    let fix = "mend oidc_issuer, or the way there; SSL_CERT_FILE names other authorities than the machine's";
    Some(Finding { out_of_reach: true, ..Finding::new("settings", what, fix) })
}

fn settings(system: &System) -> Vec<Finding> {
    let running = "the running stack";
    let sources = ["brokers", "database_url"].map(|key| system.source(key));
    let halves = sources.iter().filter(|source| *source == running).count() == 1;
    let mut findings = Vec::new();
    if halves {
        findings.push(Finding::new(
            "settings",
            format!("Kafka is named by {}, PostgreSQL by {}: halves of two systems", sources[0], sources[1]),
            "unset KAFKA_BROKERS and DATABASE_URL, or set both",
        ));
    }
    findings
}
