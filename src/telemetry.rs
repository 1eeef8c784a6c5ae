//! Logs and metrics for operators: their set-up, and the names of spans, fields and metrics.
//!
//! It owns what logs and metrics are called and where they go. No payload, attribute value, PIN or hex dump is ever a field, at
//! any level. The audit log ([`crate::audit`]) is for auditors; neither replaces the other.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    panic,
    sync::Arc,
    thread,
    time::Duration,
};

use metrics::{Counter, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use parking_lot::RwLock;
use tracing_subscriber::{
    EnvFilter, filter::ParseError, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError,
};

pub use self::{
    hsm_view::{HsmSeen, HsmView},
    statistics::{GROUPS, HsmTimes, Latency, Period, Span, Statistics},
};

mod hsm_view;
mod spread;
mod statistics;

/// Names of fields in log lines and spans.
pub mod field {
    /// The adapter that a peer acts as.
    pub const PRINCIPAL: &str = "principal";
    /// The SHA-256 fingerprint of a client certificate.
    pub const CERTIFICATE: &str = "certificate";
    /// Address and port of a peer.
    pub const PEER: &str = "peer";
    /// KMIP operation.
    pub const OPERATION: &str = "operation";
    /// Unique Identifier of a managed object.
    pub const OBJECT_ID: &str = "object_id";
    /// KMIP version of a request.
    pub const VERSION: &str = "version";
    /// `success` or a KMIP Result Reason.
    pub const OUTCOME: &str = "outcome";
    /// Duration of a batch item in microseconds.
    pub const LATENCY_US: &str = "latency_us";
    /// Joins log lines, audit events and the message that a client saw.
    pub const CORRELATION: &str = "correlation";
}

/// Names of metrics. [`METRICS`] says what they mean.
#[expect(missing_docs, reason = "each is described in METRICS, which is also what Prometheus shows")]
pub mod metric {
    pub const REQUESTS: &str = "keystead_requests_total";
    pub const REQUEST_SECONDS: &str = "keystead_request_duration_seconds";
    pub const HANDLER_PANICS: &str = "keystead_request_panics_total";
    pub const CONNECTIONS_OPEN: &str = "keystead_connections_open";
    pub const CONNECTIONS_REFUSED: &str = "keystead_connections_refused_total";
    pub const CONNECTIONS_ENDED: &str = "keystead_connections_ended_total";
    pub const CONNECTIONS_CUT: &str = "keystead_connections_cut_total";
    pub const HANDSHAKES: &str = "keystead_tls_handshakes_total";
    pub const HANDSHAKES_FAILED: &str = "keystead_tls_handshakes_failed_total";
    pub const HSM_STATE: &str = "keystead_hsm_state";
    pub const HSM_SECONDS: &str = "keystead_hsm_operation_duration_seconds";
    pub const TOKEN_STATE: &str = "keystead_hsm_token_state";
    pub const ROOT_KEY_STATE: &str = "keystead_root_key_state";
    pub const ROOT_KEY_VERSION: &str = "keystead_root_key_version";
    pub const ROOT_KEY_SEALS: &str = "keystead_root_key_seals";
    pub const ROTATION_OBJECTS: &str = "keystead_rotation_objects";
    pub const ROTATION_DONE: &str = "keystead_rotation_done";
    pub const ROTATION_FAILED: &str = "keystead_rotation_failed";
    pub const STORE_WAITING: &str = "keystead_store_waiting_mutations";
    pub const SIGHTINGS_DROPPED: &str = "keystead_sightings_dropped_total";
    pub const AUDIT_EVENTS: &str = "keystead_audit_events_total";
    pub const AUDIT_FAILURES: &str = "keystead_audit_failures_total";
    pub const AUDIT_STALLED: &str = "keystead_audit_stalled";
    pub const AUDIT_SYNC_SECONDS: &str = "keystead_audit_sync_duration_seconds";
    pub const AUDIT_UNSIGNED: &str = "keystead_audit_unsigned_records";
    pub const AUDIT_CHECKPOINT_FAILURES: &str = "keystead_audit_checkpoint_failures_total";
    pub const AUDIT_SYSLOG_BEHIND: &str = "keystead_audit_syslog_behind_records";
    pub const CERTIFICATE_NOT_AFTER: &str = "keystead_certificate_not_after_timestamp_seconds";
    pub const ADMIN_REQUESTS: &str = "keystead_admin_requests_total";
    pub const DISK_FREE: &str = "keystead_disk_free_bytes";
    pub const BUILD_INFO: &str = "keystead_build_info";
    pub const STARTED: &str = "keystead_start_timestamp_seconds";
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Spread of durations.
    Histogram,
}

/// A metric, as documentation and as `/metrics` describe it.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// One of the names in [`metric`].
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// What it counts or measures, and by which labels.
    pub help: &'static str,
}

/// Every metric of the server.
pub const METRICS: &[MetricInfo] = &[
    counter(metric::REQUESTS, "Batch items by operation and outcome (success or Result Reason)"),
    histogram(metric::REQUEST_SECONDS, "Time to answer a batch item, by operation"),
    counter(metric::HANDLER_PANICS, "Requests that ended in a defect of the server"),
    gauge(metric::CONNECTIONS_OPEN, "Open connections, those in their handshake included"),
    counter(metric::CONNECTIONS_REFUSED, "Connections refused by reason: full, adapter_full"),
    counter(metric::CONNECTIONS_ENDED, "Connections ended after their handshake, by reason"),
    counter(
        metric::CONNECTIONS_CUT,
        "Connections cut because their adapter, certificate, rule or authority was removed",
    ),
    counter(metric::HANDSHAKES, "Finished TLS handshakes by version and whether they resumed a session"),
    counter(metric::HANDSHAKES_FAILED, "Failed TLS handshakes by reason"),
    gauge(metric::HSM_STATE, "State of the HSM: 2 ready, 1 degraded, 0 down"),
    histogram(metric::HSM_SECONDS, "Time of an HSM operation, by operation"),
    gauge(metric::TOKEN_STATE, "State of one token of the HSM, by label and serial: 2 ready, 1 degraded, 0 down"),
    gauge(
        metric::ROOT_KEY_STATE,
        "1 for the state that a root key is in, 0 for the others, by root (its id), label and state: active, suspended, destroyed",
    ),
    gauge(metric::ROOT_KEY_VERSION, "Version of a root key that new objects are sealed under, by root and label"),
    gauge(
        metric::ROOT_KEY_SEALS,
        "AES-GCM seals that a version of a root key counts as having made, by root, version, and label and serial of the token",
    ),
    gauge(metric::ROTATION_OBJECTS, "Objects that the last rotation of a root key began with, by root and label"),
    gauge(metric::ROTATION_DONE, "Objects that the last rotation of a root key has brought under its new version"),
    gauge(
        metric::ROTATION_FAILED,
        "Objects that the last rotation of a root key had to leave, because they are damaged",
    ),
    gauge(metric::STORE_WAITING, "Mutations that wait for the store's writer"),
    counter(
        metric::SIGHTINGS_DROPPED,
        "Notes on when a key or certificate was used last that found no room; the audit log has them nevertheless",
    ),
    counter(metric::AUDIT_EVENTS, "Events written to the audit log"),
    counter(metric::AUDIT_FAILURES, "Failures to write or sync the audit log"),
    gauge(metric::AUDIT_STALLED, "1 while the audit log cannot be written or synced, and nothing is answered; else 0"),
    histogram(metric::AUDIT_SYNC_SECONDS, "Time to sync the audit log to the disk"),
    gauge(metric::AUDIT_UNSIGNED, "Records of the audit log since its last signed checkpoint"),
    counter(
        metric::AUDIT_CHECKPOINT_FAILURES,
        "Checkpoints of the audit log that could not be signed, to be tried again",
    ),
    gauge(metric::AUDIT_SYSLOG_BEHIND, "Records of the audit log that the syslog receiver does not have yet"),
    gauge(
        metric::CERTIFICATE_NOT_AFTER,
        "When a certificate ends, in seconds since 1970-01-01 UTC, by kind (server, ca, authority, client), adapter and name; of an adapter's clients the one that ends first",
    ),
    counter(metric::ADMIN_REQUESTS, "Requests to the admin API by method, route (as in /openapi.json) and status"),
    gauge(metric::DISK_FREE, "Bytes that the server may still write, by what lies there: store, audit"),
    gauge(metric::BUILD_INFO, "1; the label version is the program's"),
    gauge(metric::STARTED, "When the server was started, in seconds since 1970-01-01 UTC"),
];

/// Upper bounds of the histograms' buckets, in seconds: from a Get with a cached KEK to an HSM at its deadline.
const BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often histogram samples are folded into their buckets; between, each sample takes eight bytes.
const UPKEEP: Duration = Duration::from_secs(2);

/// The metrics of batch items, with their handles kept: looking them up by name and labels costs more than counting.
#[derive(Default)]
pub struct ItemMetrics {
    statistics: Arc<Statistics>,
    outcomes: RwLock<HashMap<(&'static str, &'static str), Counter>>,
    durations: RwLock<HashMap<&'static str, Histogram>>,
}

impl ItemMetrics {
    /// The same for people, of the last day.
    #[must_use]
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// Counts a batch item. `operation` and `outcome` are names from the program's own tables, so there is a bounded number of
    /// them. Call after [`init_metrics`]; what came before is lost.
    pub fn record(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.statistics.record(operation, outcome != "success", took);
        let counted = self.outcomes.read().get(&(operation, outcome)).map(|counter| counter.increment(1));
        if counted.is_none() {
            let counter = metrics::counter!(metric::REQUESTS, "operation" => operation, "outcome" => outcome);
            counter.increment(1);
            self.outcomes.write().insert((operation, outcome), counter);
        }
        let measured = self.durations.read().get(operation).map(|histogram| histogram.record(took));
        if measured.is_none() {
            let histogram = metrics::histogram!(metric::REQUEST_SECONDS, "operation" => operation);
            histogram.record(took);
            self.durations.write().insert(operation, histogram);
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the configuration is not one.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] ParseError),
    /// Something else set up logging first.
    #[error("logging is set up already: {0}")]
    Logging(#[from] TryInitError),
    /// Something else set up metrics first.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
    /// The thread that looks after the metrics could not be started.
    #[error("the metrics thread could not be started: {0}")]
    Thread(io::Error),
}

/// Sends log lines to standard error, in colours only where that is a terminal. `filter` is a level (`info`) or directives (`keystead=debug,info`). From now on a panic
/// is a log line too: where it was, never what it said, since a message can quote data.
///
/// # Errors
/// The filter is not valid, or logging is set up already.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => registry.with(lines).try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    panic::set_hook(Box::new(|panic| {
        let location = panic.location();
        let (file, line) = location.map_or(("", 0), |location| (location.file(), location.line()));
        tracing::error!(file, line, thread = thread::current().name(), "the program has a defect: panic");
    }));
    Ok(())
}

/// Collects metrics from now on. What was counted before is lost.
///
/// # Errors
/// Metrics are set up already.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new().set_buckets(BUCKETS)?.install_recorder()?;
    METRICS.iter().for_each(describe);
    let upkeep = handle.clone();
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(UPKEEP);
                upkeep.run_upkeep();
            }
        })
        .map_err(TelemetryError::Thread)?;
    Ok(handle)
}

fn describe(metric: &MetricInfo) {
    match metric.kind {
        MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
        MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
        MetricKind::Histogram => metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help),
    }
}

const fn counter(name: &'static str, help: &'static str) -> MetricInfo {
    MetricInfo { name, kind: MetricKind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> MetricInfo {
    MetricInfo { name, kind: MetricKind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> MetricInfo {
    MetricInfo { name, kind: MetricKind::Histogram, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of metrics in a text. Prometheus makes several series of a histogram.
    fn metrics_in(text: &str) -> Vec<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = words.filter(|word| word.starts_with("keystead_"));
        let is_known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
        names
            .map(|name| {
                let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
                base.filter(|base| is_known(base)).unwrap_or(name)
            })
            .collect()
    }

    #[test]
    fn the_documentation_tells_about_every_metric_and_no_other() {
        let text = include_str!("../docs/metrics.md");
        for metric in METRICS {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let row = format!("| `{}` | {kind} | {} |", metric.name, metric.help);
            assert!(text.contains(&row), "docs/metrics.md lacks this row:\n{row}");
        }
        for name in metrics_in(text) {
            assert!(METRICS.iter().any(|metric| metric.name == name), "docs/metrics.md tells about {name}");
        }
    }

    #[test]
    fn the_dashboard_and_the_alerts_use_metrics_that_there_are() {
        let dashboard = include_str!("../config/grafana-dashboard.json");
        let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() > 10));
        let alerts = include_str!("../config/prometheus-alerts.yml");
        for text in [dashboard, alerts] {
            let names = metrics_in(text);
            assert!(names.len() > 10);
            for name in names {
                assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is no metric");
            }
        }
        for rule in alerts.split("- alert: ").skip(1) {
            for part in ["expr: ", "severity: ", "summary: ", "description: "] {
                assert!(rule.contains(part), "{part} is missing in {rule}");
            }
        }
    }

    #[test]
    fn every_metric_is_described_once_and_named_as_prometheus_wants() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert_eq!(metric.kind == MetricKind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.kind != MetricKind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
        }
    }

    #[test]
    fn items_are_counted_by_operation_and_outcome() {
        let recorder = PrometheusBuilder::new().set_buckets(BUCKETS).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let items = ItemMetrics::default();
            items.record("Get", "success", Duration::from_micros(200));
            items.record("Get", "success", Duration::from_micros(300));
            items.record("Get", "ItemNotFound", Duration::from_micros(100));
        });
        let page = recorder.handle().render();
        for line in [
            r#"keystead_requests_total{operation="Get",outcome="success"} 2"#,
            r#"keystead_requests_total{operation="Get",outcome="ItemNotFound"} 1"#,
            r#"keystead_request_duration_seconds_bucket{operation="Get",le="0.00025"} 2"#,
            r#"keystead_request_duration_seconds_count{operation="Get"} 3"#,
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(matches!(init_logs(LogFormat::Text, "keystead=loud"), Err(TelemetryError::Filter(_))));
    }
}
