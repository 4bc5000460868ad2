//! What an operator sees of a request: its span in the log, its outcome, and its metrics.

use poem::Response;
use poem::http::{Method, Uri};
use poem_openapi::OperationId;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::request_id::RequestId;
use crate::error::Code;
use crate::metrics::Metrics;

/// Runs a request in its span of the log, and counts it with its status and duration.
pub(crate) async fn observe(
    metrics: &Metrics,
    id: &RequestId,
    (method, uri): (&Method, &Uri),
    response: impl Future<Output = Response>,
) -> Response {
    let (begun, _under_way) = (Instant::now(), metrics.request_begins());
    let span = tracing::info_span!("request", id = id.as_str(), %method, route = route(uri));
    let response = response.instrument(span.clone()).await;
    let status = response.status().as_u16();
    let operation = response.extensions().get::<OperationId>().copied();
    metrics.responded(method, operation, status, begun.elapsed());
    if let Some(code) = response.extensions().get::<Code>() {
        metrics.error_sent(*code);
    }
    span.in_scope(|| tracing::debug!(status, "response"));
    response
}

/// The first two segments of a path: further ones may contain a user's titles, which the log does not show.
fn route(uri: &Uri) -> &str {
    let path = uri.path();
    path.match_indices('/').nth(2).map_or(path, |(at, _)| &path[..at])
}
