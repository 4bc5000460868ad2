//! The headers by which browsers protect a user from a response: every response has them, errors included.

use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::path_policy::Policy;

/// Adds the headers to those of a response. A `Content-Security-Policy` or `Cache-Control` that the operation has set
/// stays.
pub(crate) fn add(headers: &mut HeaderMap, policy: &Policy) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let by_path = [(CONTENT_SECURITY_POLICY, policy.content_security), (CACHE_CONTROL, policy.cache)];
    for (name, value) in by_path {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
