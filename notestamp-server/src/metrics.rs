//! Metrics for the operator, in the text format of OpenMetrics (which Prometheus reads).

use std::fmt;
use std::time::Duration;

use notestamp_store::records::{RecordKind, damaged_omitted};
use notestamp_store::{MemoryBudget, SweepReport};
use poem::http::Method;
use poem::{Endpoint, IntoResponse as _, Request, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::Code;

/// The counters and histograms of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    request_seconds: Histogram,
    requests_under_way: Gauge,
    sweep_deleted: Counter,
    sweep_failed: Counter,
    sessions_forgotten: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RecordLabels {
    record: &'static str,
}

/// Reads the store's counts of damaged records when the metrics are read.
#[derive(Debug)]
struct DamagedRecords;

impl Collector for DamagedRecords {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Damaged records that were omitted from a list, a sign-in or a sweep";
        let mut family =
            encoder.encode_descriptor("damaged_records_omitted", help, None, MetricType::Counter)?;
        for kind in RecordKind::ALL {
            let labels = RecordLabels { record: kind.as_str() };
            ConstCounter::new(damaged_omitted(kind)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Reads how much of a budget is held when the metrics are read.
#[derive(Debug)]
struct MemoryHeld(MemoryBudget);

impl Collector for MemoryHeld {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Memory that bodies, uploads and responses hold";
        let unit = Some(&Unit::Bytes);
        let metric = encoder.encode_descriptor("memory_held", help, unit, MetricType::Gauge)?;
        ConstGauge::new(self.0.bytes_held()).encode(metric)
    }
}

impl Metrics {
    /// All metrics at zero, and what is held of `memory`.
    pub(crate) fn new(memory: MemoryBudget) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("notestamp"),
            requests: Family::default(),
            errors: Family::default(),
            // From 1.5 ms to 3 s: most responses are quick; slower ones, such as to uploads, count in the last bucket.
            request_seconds: Histogram::new((0..12).map(|n| 0.001 * f64::from(1 << n) * 1.5)),
            requests_under_way: Gauge::default(),
            sweep_deleted: Counter::default(),
            sweep_failed: Counter::default(),
            sessions_forgotten: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Requests with a response", metrics.requests.clone());
        let errors = metrics.errors.clone();
        registry.register("http_errors", "Error responses by the code in their body", errors);
        registry.register_with_unit(
            "http_request",
            "Time until the response began",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        let under_way = metrics.requests_under_way.clone();
        registry.register("http_requests_under_way", "Requests without a response yet", under_way);
        let deleted = metrics.sweep_deleted.clone();
        registry.register("sweep_objects_deleted", "Objects whose bytes the sweep deleted", deleted);
        let failed = metrics.sweep_failed.clone();
        registry.register("sweep_objects_failed", "Objects that the sweep could not delete", failed);
        let forgotten = metrics.sessions_forgotten.clone();
        registry.register(
            "sessions_forgotten",
            "Sessions forgotten after their last token expired",
            forgotten,
        );
        registry.register_collector(Box::new(DamagedRecords));
        registry.register_collector(Box::new(MemoryHeld(memory)));
        // From the start, so that an increase from 0 to 1 can be seen.
        drop(metrics.errors.get_or_create(&ErrorLabels { code: Code::Damaged.as_str() }));
        metrics
    }

    /// Counts a request as in progress until the result is dropped.
    pub(crate) fn request_begins(&self) -> UnderWay<'_> {
        self.requests_under_way.inc();
        UnderWay(&self.requests_under_way)
    }

    /// Counts a response, and the time until it began.
    pub(crate) fn responded(&self, method: &Method, status: u16, took: Duration) {
        // A client can invent methods, so unknown methods share one counter.
        let method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "DELETE" => "DELETE",
            _ => "other",
        };
        self.requests.get_or_create(&RequestLabels { method, status }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts an error response.
    pub(crate) fn error_sent(&self, code: Code) {
        self.errors.get_or_create(&ErrorLabels { code: code.as_str() }).inc();
    }

    /// Counts the outcome of a sweep.
    pub(crate) fn swept(&self, report: &SweepReport) {
        self.sweep_deleted.inc_by(report.deleted as u64);
        self.sweep_failed.inc_by(report.failed as u64);
    }

    /// Counts expired sessions that were forgotten.
    pub(crate) fn sessions_forgotten(&self, count: usize) {
        self.sessions_forgotten.inc_by(count as u64);
    }

    /// All metrics as text.
    fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }
}

/// A request in progress, as long as this value lives.
pub(crate) struct UnderWay<'a>(&'a Gauge);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Serves `/metrics` on a separate listener.
pub(crate) struct MetricsEndpoint(pub(crate) std::sync::Arc<Metrics>);

impl Endpoint for MetricsEndpoint {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.uri().path() != "/metrics" {
            return Ok(poem::http::StatusCode::NOT_FOUND.into_response());
        }
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(Response::builder().content_type(content_type).body(self.0.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_text_contains_the_counts() {
        let memory = MemoryBudget::new(1_000);
        let metrics = Metrics::new(memory.clone());
        let _held = memory.scope(None, None).acquire(700).await.unwrap();
        metrics.responded(&Method::GET, 200, Duration::from_millis(3));
        metrics.responded(&Method::from_bytes(b"MADEUP").unwrap(), 405, Duration::ZERO);
        let _under_way = metrics.request_begins();
        metrics.error_sent(Code::TooLarge);
        let text = metrics.text();
        for line in [
            "notestamp_http_requests_total{method=\"GET\",status=\"200\"} 1",
            "notestamp_http_requests_total{method=\"other\",status=\"405\"} 1",
            "notestamp_http_request_seconds_count 2",
            "notestamp_http_requests_under_way 1",
            "notestamp_http_errors_total{code=\"too_large\"} 1",
            "notestamp_http_errors_total{code=\"damaged\"} 0",
            "notestamp_damaged_records_omitted_total{record=\"project\"} 0",
            "notestamp_memory_held_bytes 700",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
