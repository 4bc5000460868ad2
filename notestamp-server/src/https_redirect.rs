//! Redirects http to https, on an address of its own.

use poem::http::StatusCode;
use poem::http::header::{CACHE_CONTROL, LOCATION};
use poem::{Endpoint, Request, Response};

use crate::config::PublicUrl;
use crate::middleware::client_address::Client;
use crate::transport::TrustedProxies;

/// The port that `https` URLs need not name.
pub(crate) const HTTPS_PORT: u16 = 443;

/// Redirects every request to the same path over https.
pub(crate) struct HttpsRedirect {
    /// The port of the server that speaks https.
    pub(crate) port: u16,
    /// The URL by which browsers reach that server; if absent, the `Host` of each request decides.
    pub(crate) public_url: Option<PublicUrl>,
}

impl HttpsRedirect {
    /// Where a request is redirected; `None` if it names no valid host.
    fn location(&self, request: &Request) -> Option<String> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        if let Some(url) = &self.public_url {
            return Some(format!("{}{path}", url.as_str()));
        }
        // Clients connect to this address directly: a proxy would speak https itself.
        let host = Client::of(request, &TrustedProxies::default()).host?;
        let host = host.host();
        match self.port {
            HTTPS_PORT => Some(format!("https://{host}{path}")),
            port => Some(format!("https://{host}:{port}{path}")),
        }
    }
}

impl Endpoint for HttpsRedirect {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(match self.location(&request) {
            // 308 keeps the method and the body (RFC 9110, section 15.4.9).
            Some(location) => Response::builder()
                .status(StatusCode::PERMANENT_REDIRECT)
                .header(LOCATION, location)
                .header(CACHE_CONTROL, "no-store")
                .finish(),
            None => StatusCode::BAD_REQUEST.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(port: u16, public_url: Option<&str>) -> HttpsRedirect {
        HttpsRedirect { port, public_url: public_url.map(|url| PublicUrl::parse(url).unwrap()) }
    }

    fn request(target: &str, host: Option<&str>) -> Request {
        let request = Request::builder().uri(target.parse().unwrap());
        match host {
            Some(host) => request.header("Host", host).finish(),
            None => request.finish(),
        }
    }

    #[test]
    fn the_host_and_the_path_stay_the_same() {
        for (port, target, host, location) in [
            (443, "/docs?x=y", "notes.example.org", "https://notes.example.org/docs?x=y"),
            (443, "/", "notes.example.org:80", "https://notes.example.org/"),
            (8443, "//other.example/", "localhost:8080", "https://localhost:8443//other.example/"),
            (8443, "/", "[::1]:8080", "https://[::1]:8443/"),
        ] {
            let request = request(target, Some(host));
            assert_eq!(redirect(port, None).location(&request).as_deref(), Some(location));
        }
    }

    #[test]
    fn a_public_url_wins_over_the_host() {
        let redirect = redirect(8443, Some("https://example.org/notes/"));
        let location = redirect.location(&request("/docs", Some("other.example")));
        assert_eq!(location.as_deref(), Some("https://example.org/notes/docs"));
    }

    #[tokio::test]
    async fn a_request_without_a_host_is_refused() {
        for host in [None, Some("a b"), Some("")] {
            let response = redirect(443, None).call(request("/", host)).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{host:?}");
        }
    }
}
