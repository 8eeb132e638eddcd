//! Every metric there is, with what it says. `/metrics` shows the sentences, and a test holds `deploy/alerts.yml` against
//! the names.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// How a metric counts.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// In seconds, unless its name says otherwise.
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

const METRICS: [(Kind, &str, &str); 36] = [
    (
        Gauge,
        "factfold_lag_records",
        "Records of a partition that a group of workers, or a bound function, has not taken in yet.",
    ),
    (Gauge, "factfold_kafka_up", "1 while Kafka answers, 0 while it does not."),
    (Counter, "factfold_records_total", "Records that a group of workers has taken in."),
    (Counter, "factfold_traces_total", "Events and outcomes that were written, by type."),
    (
        Counter,
        "factfold_dead_letters_total",
        "Commands that could not be read, and events with which a function failed, by service and reason.",
    ),
    (
        Counter,
        "factfold_repeats_evicted_total",
        "Commands forgotten before their time, because the window is full.",
    ),
    (Counter, "factfold_takeovers_total", "Partitions that were taken over."),
    (Histogram, "factfold_transaction_seconds", "How long the workers' transactions take."),
    (Counter, "factfold_transaction_failures_total", "Transactions that failed, by what is known of them."),
    (Gauge, "factfold_timers_pending", "Commands that wait for their time."),
    (Counter, "factfold_timers_published_total", "Commands that were published when their time had come."),
    (Histogram, "factfold_timer_lateness_seconds", "How long after its time a command was published."),
    (Counter, "factfold_function_events_total", "Events that bound functions were given, by function."),
    (
        Counter,
        "factfold_function_failures_total",
        "Times that a bound function failed with an event, by function. After four times it is a dead letter.",
    ),
    (Gauge, "factfold_bound_functions", "Functions that are bound to a topic here."),
    (
        Histogram,
        "factfold_function_call_seconds",
        "How long calls of functions take, by function and result.",
    ),
    (Gauge, "factfold_function_calls_pending", "Calls that nobody waits for and that have not ended."),
    (
        Counter,
        "factfold_function_log_lines_dropped_total",
        "Lines that functions said and that nobody could keep: Kafka did not take them at once.",
    ),
    (Counter, "factfold_http_requests_total", "Requests, by route, method and status."),
    (Histogram, "factfold_http_request_seconds", "How long requests take."),
    (Counter, "factfold_grpc_calls_total", "gRPC calls, by operation and code."),
    (Histogram, "factfold_grpc_call_seconds", "How long gRPC calls take."),
    (Counter, "factfold_http_refused_total", "Requests refused because of load, by reason."),
    (Gauge, "factfold_http_waiting", "Requests that wait for a decision or a read model."),
    (Gauge, "factfold_http_connections", "Open connections."),
    (
        Counter,
        "factfold_issuer_asked_total",
        "Times another issuer of tokens was asked for its keys, by whether it answered.",
    ),
    (Histogram, "factfold_produce_seconds", "How long Kafka takes to store a command."),
    (Gauge, "factfold_projection_lag_offsets", "Offsets that a projection has not folded yet."),
    (Counter, "factfold_projection_records_total", "Records that a projection has folded."),
    (Histogram, "factfold_projection_batch_seconds", "How long a projection's batches take."),
    (
        Counter,
        "factfold_projection_retries_total",
        "Batches begun again, by reason: Kafka or Postgres away, another projector.",
    ),
    (
        Gauge,
        "factfold_projection_failed",
        "1 once a projection stopped for good: its log and its rows disagree.",
    ),
    (
        Gauge,
        "factfold_verify_findings",
        "Records of a service that do not add up, when it was last verified.",
    ),
    (
        Gauge,
        "factfold_verify_differences",
        "Rows and values of a projection that are not what happened, likewise.",
    ),
    (
        Gauge,
        "factfold_verified_timestamp_seconds",
        "When everything was last verified, in seconds since 1970.",
    ),
    (Gauge, "factfold_postgres_connections", "Connections to Postgres, by pool and state."),
];

/// Tells the recorder what the metrics say.
pub(crate) fn describe() {
    for (kind, name, says) in METRICS {
        match kind {
            Counter => describe_counter!(name, says),
            Gauge => describe_gauge!(name, says),
            Histogram => describe_histogram!(name, Unit::Seconds, says),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An alert on a metric that nobody sets never fires.
    #[test]
    fn alerts_are_about_metrics_that_exist() {
        let alerts = include_str!("../alerts.yml");
        let names = alerts
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|n| n.starts_with("factfold_"));
        let mut seen = 0;
        for name in names {
            let name = name.trim_end_matches("_bucket");
            assert!(METRICS.iter().any(|(_, known, _)| *known == name), "{name}");
            seen += 1;
        }
        assert!(seen >= 8, "the alerts were read");
    }
}
