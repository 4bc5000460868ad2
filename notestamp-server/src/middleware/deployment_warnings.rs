//! Warnings about faults of the deployment that requests reveal.

use std::time::Duration;

use poem::Request;

use super::client_address::{Client, peer_of_ignored_headers};
use crate::log_limit::LogLimit;
use crate::transport::TrustedProxies;

/// Each fault is logged at most once in this time.
const WARNED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Which faults are possible, and when each was logged.
pub(crate) struct DeploymentWarnings {
    /// Whether browsers drop `Secure` cookies from the configured public URL; absent if none is configured.
    public_url_is_plain: Option<bool>,
    cookies_are_secure: bool,
    forwarding_headers: LogLimit,
    dropped_cookies: LogLimit,
}

impl DeploymentWarnings {
    /// No fault has been seen yet.
    pub(crate) fn new(public_url_is_plain: Option<bool>, cookies_are_secure: bool) -> Self {
        Self {
            public_url_is_plain,
            cookies_are_secure,
            forwarding_headers: LogLimit::new(WARNED_EVERY),
            dropped_cookies: LogLimit::new(WARNED_EVERY),
        }
    }

    /// Warns that forwarding headers are ignored: behind a proxy of the operator, all clients would share its address.
    pub(crate) fn check_forwarding_headers(&self, request: &Request, proxies: &TrustedProxies) {
        if let Some(peer) = peer_of_ignored_headers(request, proxies)
            && let Some(left_out) = self.forwarding_headers.admit()
        {
            tracing::warn!(
                %peer,
                left_out,
                "X-Forwarded-* or Forwarded headers of a peer that is not a trusted proxy are ignored: where it is a \
                 proxy of yours, name it with --trusted-proxy"
            );
        }
    }

    /// Warns that browsers will not keep the cookies of a response to this client.
    pub(crate) fn check_cookies(&self, client: &Client) {
        let is_plain = self.public_url_is_plain.unwrap_or_else(|| !client.is_secure_context());
        if self.cookies_are_secure
            && is_plain
            && let Some(left_out) = self.dropped_cookies.admit()
        {
            let host = client.host.as_ref().map(tracing::field::display);
            tracing::warn!(
                host,
                left_out,
                "browsers do not store Secure cookies from a response over plain http: use https. If a proxy speaks \
                 https, set --trusted-proxy or --public-url; for development, set --insecure-cookies"
            );
        }
    }
}
