//! Decides which web pages may use this server: CORS headers, and protection against CSRF.

use poem::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use poem::http::{Method, StatusCode};
use poem::{Request, Response};

use super::client_address::Client;
use crate::http::origin::Origin;
use crate::http::single_header::Single;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The methods of the API; a page may use each of them.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE");
/// The request headers that a page may set, besides the CORS-safelisted ones.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("content-type, if-match, if-none-match, range");
/// The response headers that a page may read, besides the CORS-safelisted ones.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Link, Content-Range, Retry-After, Accept-Ranges, Content-Disposition, Content-Length",
);
/// How long a browser may cache the response to a preflight, in seconds: two hours, the maximum of Chromium.
const PREFLIGHT_AGE_MAX: HeaderValue = HeaderValue::from_static("7200");

/// The origins whose pages may send credentials to this server and read its responses.
#[derive(Clone, Debug)]
pub(crate) struct OriginPolicy {
    allowed: Vec<Origin>,
    own: Option<Origin>,
}

impl OriginPolicy {
    /// Allows these origins, and the server's own: `public`, the origin of the configured public URL, or if that is
    /// absent, the origin that a request was sent to.
    pub(crate) fn new(allowed: Vec<Origin>, public: Option<Origin>) -> Self {
        Self { allowed, own: public }
    }

    /// Decides about a request by the origin of the page that sent it.
    pub(crate) fn decide(&self, request: &Request, client: &Client) -> CorsDecision {
        self.decide_by_headers(request.method(), request.headers(), client)
    }

    fn decide_by_headers(&self, method: &Method, headers: &HeaderMap, client: &Client) -> CorsDecision {
        let origin = Single::of(headers, &ORIGIN);
        let allowed_origin = match origin {
            Single::One(value) => self.allowed(value, client),
            Single::Absent | Single::Several => None,
        };
        let may_change_state = match origin {
            Single::Absent => came_from_here(headers),
            Single::One(_) => allowed_origin.is_some(),
            Single::Several => false,
        };
        CorsDecision {
            allowed_origin,
            // Safe methods change nothing (RFC 9110, 9.2.1).
            is_refused: !method.is_safe() && !may_change_state,
            is_preflight: method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// Returns the origin if it is allowed. The comparison is byte by byte: browsers send the normal form.
    fn allowed(&self, origin: &HeaderValue, client: &Client) -> Option<HeaderValue> {
        let own = match &self.own {
            Some(own) => Some(own.clone()),
            None => client.server_origin().and_then(|own| own.parse().ok()),
        };
        let mut allowed = self.allowed.iter().chain(&own);
        allowed.any(|allowed| *origin == allowed.as_str()).then(|| origin.clone())
    }
}

/// Returns whether a request without an `Origin` does not come from a foreign page. Browsers that omit `Origin` send
/// `Sec-Fetch-Site`; other programs send neither.
fn came_from_here(headers: &HeaderMap) -> bool {
    match Single::of(headers, &SEC_FETCH_SITE) {
        Single::Absent => true,
        Single::One(site) => site == "same-origin" || site == "none",
        Single::Several => false,
    }
}

/// The decision of the policy about one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CorsDecision {
    allowed_origin: Option<HeaderValue>,
    is_refused: bool,
    is_preflight: bool,
}

impl CorsDecision {
    /// Returns whether the request must be refused with 403: its method is not safe, and its page is not allowed.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// The response to a preflight, the request by which a browser asks what a page may send; `None` for any other
    /// request.
    pub(crate) fn preflight_response(&self) -> Option<Response> {
        if !self.is_preflight {
            return None;
        }
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        self.add_headers(response.headers_mut());
        if self.allowed_origin.is_some() {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_MAX);
        }
        Some(response)
    }

    /// Adds the CORS headers that every response carries, whatever its status: without them a page cannot read errors
    /// either.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = &self.allowed_origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::http::uri::{Authority, Scheme};
    use proptest::prelude::*;

    use super::*;

    const STATE_CHANGING: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    fn policy(public: Option<&str>) -> OriginPolicy {
        let allowed = ["http://localhost:3000", "https://app.example", "https://m\u{fc}sic.example"];
        OriginPolicy::new(
            allowed.iter().map(|origin| origin.parse().unwrap()).collect(),
            public.map(|origin| origin.parse().unwrap()),
        )
    }

    fn client() -> Client {
        Client { ip: None, scheme: Scheme::HTTP, host: Some(Authority::from_static("localhost:8080")) }
    }

    fn decide(method: Method, lines: &[(HeaderName, &str)]) -> CorsDecision {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        policy(None).decide_by_headers(&method, &headers, &client())
    }

    #[track_caller]
    fn assert_origin(origin: &str, allowed: bool) {
        for method in STATE_CHANGING {
            let decision = decide(method, &[(ORIGIN, origin)]);
            assert_eq!(decision.is_refused(), !allowed, "{origin:?}");
            assert_eq!(decision.allowed_origin.is_some(), allowed, "{origin:?}");
        }
        let decision = decide(Method::GET, &[(ORIGIN, origin)]);
        assert!(!decision.is_refused());
        assert_eq!(decision.allowed_origin.is_some(), allowed, "{origin:?}");
    }

    fn response_headers(decision: &CorsDecision) -> HeaderMap {
        let mut headers = HeaderMap::new();
        decision.add_headers(&mut headers);
        headers
    }

    #[test]
    fn configured_origins_are_allowed() {
        for origin in ["http://localhost:3000", "https://app.example", "https://xn--msic-0ra.example"] {
            assert_origin(origin, true);
        }
    }

    #[test]
    fn letter_case_and_default_ports_matter_in_a_request() {
        for origin in [
            "HTTP://LOCALHOST:3000",
            "http://LOCALHOST:3000",
            "http://localhost:3000/",
            "http://localhost:03000",
            "https://APP.example",
            "https://app.example:443",
            "http://LOCALHOST:8080",
            "http://localhost:8080/",
        ] {
            assert_origin(origin, false);
        }
    }

    #[test]
    fn configured_origins_are_normalized_to_the_form_of_browsers() {
        for (configured, sent) in [
            ("HTTPS://APP.example:443/", "https://app.example"),
            ("https://m\u{fc}sic.example", "https://xn--msic-0ra.example"),
        ] {
            let policy = OriginPolicy::new(vec![configured.parse().unwrap()], None);
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(sent))]);
            assert!(
                !policy.decide_by_headers(&Method::POST, &headers, &client()).is_refused(),
                "{configured}"
            );
        }
    }

    #[test]
    fn the_servers_own_origin_is_allowed() {
        assert_origin("http://localhost:8080", true);
        assert_origin("http://localhost", false);
    }

    #[test]
    fn a_public_url_is_the_only_own_origin() {
        let decide = |origin| {
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            policy(Some("https://notes.example/")).decide_by_headers(&Method::POST, &headers, &client())
        };
        assert!(!decide("https://notes.example").is_refused());
        assert!(decide("http://localhost:8080").is_refused());
    }

    #[test]
    fn other_origins_are_refused() {
        for origin in [
            "",
            "null",
            "NULL",
            "*",
            "https://evil.example",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evil.example/https://app.example",
            "app.example",
            "https://app.example https://app.example",
            "https://app.example, https://app.example",
            "https://app.example@evil.example",
            "https:\\\\app.example",
            "https:///app.example",
            "https://",
            "://app.example",
            "https://\u{e4}pp.example",
            "\u{ff}",
            "http://localhost:99999",
            "http://[::1",
            "file://",
            "data:text/html,x",
        ] {
            assert_origin(origin, false);
        }
    }

    #[test]
    fn several_origins_are_refused() {
        let twice = [(ORIGIN, "https://app.example"), (ORIGIN, "https://app.example")];
        let decision = decide(Method::POST, &twice);
        assert!(decision.is_refused() && decision.allowed_origin.is_none());
    }

    #[test]
    fn without_an_origin_sec_fetch_site_decides() {
        for (site, allowed) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("", false)]
        {
            for method in STATE_CHANGING {
                assert_eq!(decide(method, &[(SEC_FETCH_SITE, site)]).is_refused(), !allowed, "{site}");
            }
            assert!(!decide(Method::GET, &[(SEC_FETCH_SITE, site)]).is_refused());
        }
        let twice = [(SEC_FETCH_SITE, "none"), (SEC_FETCH_SITE, "cross-site")];
        assert!(decide(Method::POST, &twice).is_refused());
    }

    #[test]
    fn programs_without_either_header_are_accepted() {
        for method in STATE_CHANGING {
            assert!(!decide(method, &[]).is_refused());
        }
    }

    #[test]
    fn an_allowed_origin_takes_precedence_over_sec_fetch_site() {
        let lines = [(ORIGIN, "https://app.example"), (SEC_FETCH_SITE, "cross-site")];
        assert!(!decide(Method::POST, &lines).is_refused());
    }

    #[test]
    fn the_response_names_the_allowed_origin() {
        let headers = response_headers(&decide(Method::POST, &[(ORIGIN, "https://app.example")]));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[VARY], "Origin");
        for exposed in ["ETag", "Link", "Content-Range", "Retry-After"] {
            assert!(headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains(exposed));
        }
    }

    #[test]
    fn every_response_varies_by_origin_and_names_only_allowed_ones() {
        for lines in [&[][..], &[(ORIGIN, "null")], &[(ORIGIN, "https://evil.example")]] {
            let headers = response_headers(&decide(Method::GET, lines));
            assert_eq!(headers.len(), 1);
            assert_eq!(headers[VARY], "Origin");
        }
    }

    #[test]
    fn another_vary_is_kept() {
        let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Accept"))]);
        decide(Method::GET, &[]).add_headers(&mut headers);
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
    }

    #[test]
    fn a_preflight_does_not_reach_the_application() {
        let asked = (ACCESS_CONTROL_REQUEST_METHOD, "DELETE");
        let response = decide(Method::OPTIONS, &[(ORIGIN, "https://app.example"), asked.clone()])
            .preflight_response()
            .unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let headers = response.headers();
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], METHODS);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], REQUEST_HEADERS);
        assert!(headers.contains_key(ACCESS_CONTROL_MAX_AGE));

        let response =
            decide(Method::OPTIONS, &[(ORIGIN, "null"), asked.clone()]).preflight_response().unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers().len(), 1);

        assert!(decide(Method::OPTIONS, &[(ORIGIN, "https://app.example")]).preflight_response().is_none());
        assert!(decide(Method::POST, &[asked]).preflight_response().is_none());
    }

    #[test]
    fn origins_may_have_schemes_of_web_views() {
        assert_eq!("Tauri://LocalHost".parse::<Origin>().unwrap().to_string(), "tauri://localhost");
        assert!("1x://localhost".parse::<Origin>().is_err());
    }

    proptest! {
        #[test]
        fn no_origin_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "https?://[ -~]{0,30}") {
            for bytes in [bytes, text.into_bytes()] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    let headers = HeaderMap::from_iter([(ORIGIN, value)]);
                    policy(None).decide_by_headers(&Method::POST, &headers, &client());
                }
            }
        }

        #[test]
        fn normalizing_an_origin_is_idempotent(text in "[a-z]{1,8}://[!-~]{1,30}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
            }
        }
    }
}
