//! Metrics for the operator, in the text format of OpenMetrics (which Prometheus reads).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use notestamp_store::records::{RecordKind, damaged_omitted};
use notestamp_store::{MemoryBudget, SweepReport};
use poem::http::Method;
use poem::{Endpoint, IntoResponse as _, Request, Response};
use poem_openapi::OperationId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::error::Code;
use crate::transport::traffic::Traffic;

/// The counters and histograms of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    traffic: Arc<Traffic>,
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    request_seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    requests_under_way: Gauge,
    sweep_deleted: Counter,
    sweep_failed: Counter,
    sweep_thinned: Counter,
    sweep_trash_purged: Counter,
    sessions_forgotten: Counter,
}

/// Work that waits.
pub(crate) trait Queue: fmt::Debug + Send + Sync {
    /// How many works wait for their turn.
    fn waiting(&self) -> usize;
}

/// What is read when the metrics are read.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The memory that requests hold.
    pub(crate) memory: MemoryBudget,
    /// The queue of password hashes.
    pub(crate) hashes: Arc<dyn Queue>,
    /// The connections.
    pub(crate) traffic: Arc<Traffic>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    operation: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// The operation of a request for a page, or for a path that does not exist.
const NO_OPERATION: &str = "none";

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

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { memory, hashes, traffic } = self;
        let bytes = Some(&Unit::Bytes);
        let mut gauge = |name: &str, help: &str, unit, value: u64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge("memory_held", "Memory that bodies, uploads and responses hold", bytes, memory.bytes_held())?;
        gauge("memory_max", "The limit of the memory that they may hold", bytes, memory.bytes_max())?;
        let waiting = hashes.waiting() as u64;
        gauge("password_hashes_waiting", "Password hashes that wait for their turn", None, waiting)?;
        gauge("connections", "Open connections", None, traffic.open())?;
        let mut counter = |name: &str, help: &str, unit, value: u64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)
        };
        let help = "Connections refused because there were too many";
        counter("connections_refused", help, None, traffic.refused())?;
        counter("received", "Bytes received over connections", bytes, traffic.received())?;
        counter("sent", "Bytes sent over connections", bytes, traffic.sent())
    }
}

/// From 1.5 ms to 3 s: most responses are quick; slower ones, such as to uploads, count in the last bucket.
fn response_times() -> Histogram {
    Histogram::new((0..12).map(|n| 0.001 * f64::from(1 << n) * 1.5))
}

impl Metrics {
    /// All metrics at zero, and those that are observed.
    pub(crate) fn new(observed: Observed) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("notestamp"),
            traffic: observed.traffic.clone(),
            requests: Family::default(),
            errors: Family::default(),
            request_seconds: Family::new_with_constructor(response_times),
            requests_under_way: Gauge::default(),
            sweep_deleted: Counter::default(),
            sweep_failed: Counter::default(),
            sweep_thinned: Counter::default(),
            sweep_trash_purged: Counter::default(),
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
        let thinned = metrics.sweep_thinned.clone();
        registry.register("sweep_versions_thinned", "Versions that the sweep thinned out", thinned);
        let purged = metrics.sweep_trash_purged.clone();
        registry.register("sweep_trash_purged", "Projects that the sweep purged from the trash", purged);
        let forgotten = metrics.sessions_forgotten.clone();
        registry.register(
            "sessions_forgotten",
            "Sessions forgotten after their last token expired",
            forgotten,
        );
        registry.register_collector(Box::new(DamagedRecords));
        registry.register_collector(Box::new(observed));
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version of the program", Info::new(version));
        // From the start, so that an increase from 0 to 1 can be seen.
        drop(metrics.errors.get_or_create(&ErrorLabels { code: Code::Damaged.as_str() }));
        metrics
    }

    /// Counts a request as in progress until the result is dropped.
    pub(crate) fn request_begins(&self) -> UnderWay<'_> {
        self.requests_under_way.inc();
        UnderWay(&self.requests_under_way)
    }

    /// Counts what goes over the connections.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Counts a response, and the time until it began. `operation` is absent for pages and unknown paths.
    pub(crate) fn responded(
        &self,
        method: &Method,
        operation: Option<OperationId>,
        status: u16,
        took: Duration,
    ) {
        // A client can invent methods, so unknown methods share one counter.
        let method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let operation = operation.map_or(NO_OPERATION, |operation| operation.0);
        self.requests.get_or_create(&RequestLabels { method, operation, status }).inc();
        self.request_seconds.get_or_create(&OperationLabels { operation }).observe(took.as_secs_f64());
    }

    /// Counts an error response.
    pub(crate) fn error_sent(&self, code: Code) {
        self.errors.get_or_create(&ErrorLabels { code: code.as_str() }).inc();
    }

    /// Counts the outcome of a sweep.
    pub(crate) fn swept(&self, report: &SweepReport) {
        self.sweep_deleted.inc_by(report.deleted as u64);
        self.sweep_failed.inc_by(report.failed as u64);
        self.sweep_thinned.inc_by(report.thinned as u64);
        self.sweep_trash_purged.inc_by(report.trash_purged as u64);
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
pub(crate) struct MetricsEndpoint(pub(crate) Arc<Metrics>);

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

    #[derive(Debug)]
    struct Empty;

    impl Queue for Empty {
        fn waiting(&self) -> usize {
            0
        }
    }

    #[tokio::test]
    async fn the_text_contains_the_counts() {
        let memory = MemoryBudget::new(1_000);
        let observed = Observed { memory: memory.clone(), hashes: Arc::new(Empty), traffic: Arc::default() };
        let metrics = Metrics::new(observed);
        let _held = memory.scope(None, None).acquire(700).await.unwrap();
        metrics.responded(&Method::GET, Some(OperationId("listProjects")), 200, Duration::from_millis(3));
        metrics.responded(&Method::from_bytes(b"MADEUP").unwrap(), None, 405, Duration::ZERO);
        let _under_way = metrics.request_begins();
        metrics.error_sent(Code::TooLarge);
        let text = metrics.text();
        for line in [
            "notestamp_http_requests_total{method=\"GET\",operation=\"listProjects\",status=\"200\"} 1",
            "notestamp_http_requests_total{method=\"other\",operation=\"none\",status=\"405\"} 1",
            "notestamp_http_request_seconds_count{operation=\"listProjects\"} 1",
            "notestamp_http_requests_under_way 1",
            "notestamp_http_errors_total{code=\"too_large\"} 1",
            "notestamp_http_errors_total{code=\"damaged\"} 0",
            "notestamp_damaged_records_omitted_total{record=\"project\"} 0",
            "notestamp_memory_held_bytes 700",
            "notestamp_memory_max_bytes 1000",
            "notestamp_connections 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
