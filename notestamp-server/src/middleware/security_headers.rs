//! The headers by which browsers protect a user from a response: every response has them, errors included.

use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::path_policy::Policy;

/// Adds the headers to those of a response. A `Referrer-Policy`, `Content-Security-Policy` or `Cache-Control` that is
/// set already stays.
pub(crate) fn add(headers: &mut HeaderMap, policy: &Policy) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let defaults = [
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, policy.content_security),
        (CACHE_CONTROL, policy.cache),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
