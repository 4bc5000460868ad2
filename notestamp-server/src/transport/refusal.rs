//! The error response to a connection that is refused before its request has been read: there are too many connections,
//! or the head of the request is malformed, too large or too slow. No middleware and no handler runs. The body has the
//! shape of all errors, and its own request id.

use std::sync::Arc;

use bytes::Bytes;
use poem::http::StatusCode;

use crate::config::RETRY_AFTER;

/// Makes the JSON body of a response with this status.
pub(crate) type ErrorBodies = Arc<dyn Fn(StatusCode) -> String + Send + Sync>;

/// No bodies: for a server whose clients expect none.
pub(super) fn no_bodies() -> ErrorBodies {
    Arc::new(|_| String::new())
}

/// A whole response with this status, after which the connection is closed.
pub(super) fn response(status: StatusCode, bodies: &ErrorBodies) -> Bytes {
    let body = bodies(status);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        head.push_str(&format!("Retry-After: {}\r\n", RETRY_AFTER.as_secs()));
    }
    if !body.is_empty() {
        head.push_str("Content-Type: application/json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n");
    }
    let length = body.len();
    format!("{head}Cache-Control: no-store\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into()
}

/// The status of a response head.
pub(super) fn status_of(head: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()
}
