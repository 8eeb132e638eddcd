//! What is seen from outside: log lines (for people on a terminal, as JSON elsewhere) and `/metrics`.
//!
//! Secrets and bodies never get here: whoever logs names ids, positions and counts.

use std::{io::IsTerminal as _, net::SocketAddr};

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    metrics_catalogue,
    settings::{LogFormat, Settings},
};

/// Upper bounds of the buckets of everything that takes time, in seconds: from a bare transaction to a stalled disk.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Begins to write log lines to stderr. Stdout is for data.
pub fn log(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!("log = {:?}: use a level (info, debug) or directives as tracing has them", settings.log)
    })?;
    let as_json = match settings.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = if as_json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .context("logging was set up twice")
}

/// Serves `/metrics` here, for as long as the process lives.
pub fn metrics(address: SocketAddr) -> Result<()> {
    // The exporter binds later, in a task of its own, where nobody would see that the port is taken.
    let probe = std::net::TcpListener::bind(address);
    drop(
        probe
            .with_context(|| format!("the metrics cannot listen on {address}: name another with --admin"))?,
    );
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install()
        .context("setting the metrics up")?;
    metrics_catalogue::describe();
    Ok(())
}
