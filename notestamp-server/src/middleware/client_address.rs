//! The client's address and the origin that it sent the request to, as trusted proxies report them.

use std::net::IpAddr;

use poem::http::Version;
use poem::http::header::{FORWARDED, HOST, HeaderMap};
use poem::http::uri::{Authority, Scheme};
use poem::{FromRequest, Request, RequestBody};

use crate::config::PublicUrl;
use crate::http::forwarded::{self, Hop, X_FORWARDED_FOR};
use crate::http::single_header::Single;
use crate::transport::TrustedProxies;

/// The client of a request, and the origin that it sent the request to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    /// Its address; absent if the connection has none.
    pub(crate) ip: Option<IpAddr>,
    /// Whether the client used `http` or `https`.
    pub(crate) scheme: Scheme,
    /// The host, and the port if it named one, that it sent the request to; absent if it named no valid host.
    pub(crate) host: Option<Authority>,
}

impl Client {
    /// The server's own origin as this client sees it; `None` if the host is absent.
    pub(crate) fn server_origin(&self) -> Option<String> {
        self.host.as_ref().map(|host| format!("{}://{host}", self.scheme))
    }

    /// Returns whether a browser would keep `Secure` cookies from this server: over https, or at a loopback host.
    pub(crate) fn is_secure_context(&self) -> bool {
        let url = self.server_origin().and_then(|origin| PublicUrl::parse(&origin).ok());
        url.is_none_or(|url| url.is_secure_context())
    }
}

impl<'a> FromRequest<'a> for Client {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let given = request.extensions().get::<Self>();
        Ok(given.cloned().expect("the middleware adds the client's address to every request"))
    }
}

/// How the forwarding headers of trusted proxies are read:
///
/// - The headers count only if the peer is a trusted proxy: `Forwarded` (RFC 7239), or else `X-Forwarded-For`, `-Proto`
///   and `-Host`.
/// - Each proxy appends the address that it received the request from. So the lists are read from the right, past the
///   trusted proxies; the first other address is the client, and it may have forged everything to the left of it.
/// - Most proxies maintain one of the two kinds and pass the other on unchanged. So if both are present and name
///   different clients, both are ignored, and the peer counts as the client: a client that forges one of them shares
///   the proxy's address and its limits with all others that do.
impl Client {
    /// The client of a request.
    pub(crate) fn of(request: &Request, proxies: &TrustedProxies) -> Self {
        let direct = Self {
            ip: request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical()),
            scheme: request.scheme().clone(),
            // An absolute request target, or `:authority`, wins over `Host` (RFC 9112, 3.2.2).
            host: match (request.original_uri().authority(), Single::of(request.headers(), &HOST)) {
                (Some(authority), _) => Some(authority.clone()),
                (None, Single::One(host)) => host.to_str().ok().and_then(forwarded::authority),
                // HTTP/1.0 has no `Host`: the local address of the connection stands for it.
                (None, Single::Absent) if request.version() <= Version::HTTP_10 => request
                    .local_addr()
                    .as_socket_addr()
                    .and_then(|address| forwarded::authority(&address.to_string())),
                (None, Single::Absent | Single::Several) => None,
            },
        };
        direct.behind(request.headers(), proxies)
    }

    /// Returns the client of a request whose peer, the other end of the connection, is `self`.
    fn behind(self, headers: &HeaderMap, proxies: &TrustedProxies) -> Self {
        let Some(ip) = self.ip.filter(|ip| proxies.trusts(*ip)) else { return self };
        let walk = |hops: &[Hop]| Seen::walk(ip, hops, proxies);
        let forwarded = headers.contains_key(FORWARDED).then(|| walk(&forwarded::hops(headers)));
        let x_forwarded = headers.contains_key(X_FORWARDED_FOR).then(|| walk(&forwarded::x_hops(headers)));
        let seen = match (forwarded, x_forwarded) {
            (Some(forwarded), Some(x_forwarded)) if forwarded.ip != x_forwarded.ip => return self,
            (Some(forwarded), _) => forwarded,
            (None, Some(x_forwarded)) => x_forwarded,
            // A proxy may report the scheme and the host without the client.
            (None, None) => walk(&forwarded::x_hops(headers)),
        };
        Self { ip: Some(seen.ip), scheme: seen.scheme.unwrap_or(self.scheme), host: seen.host.or(self.host) }
    }
}

/// Returns the peer of a request that has forwarding headers, if they are ignored because the peer is not trusted.
pub(crate) fn peer_of_ignored_headers(request: &Request, proxies: &TrustedProxies) -> Option<IpAddr> {
    if !forwarded::are_present(request.headers()) {
        return None;
    }
    let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
    (!proxies.trusts(peer)).then_some(peer)
}

/// What the trusted proxies report together.
struct Seen {
    ip: IpAddr,
    scheme: Option<Scheme>,
    host: Option<Authority>,
}

impl Seen {
    /// Follows the hops, the nearest first, as long as a trusted proxy reports them.
    fn walk(peer: IpAddr, hops: &[Hop], proxies: &TrustedProxies) -> Self {
        let mut seen = Self { ip: peer, scheme: None, host: None };
        for hop in hops.iter().rev() {
            seen.scheme = hop.scheme.clone().or(seen.scheme);
            seen.host = hop.host.clone().or(seen.host);
            match hop.ip {
                Some(ip) => seen.ip = ip,
                None => break,
            }
            if !proxies.trusts(seen.ip) {
                break;
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};
    use poem::web::{LocalAddr, RemoteAddr};
    use poem::{Addr, Body, RequestParts};
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn direct(peer: &str) -> Client {
        let host = Some(Authority::from_static("internal:8080"));
        Client { ip: Some(peer.parse().unwrap()), scheme: Scheme::HTTP, host }
    }

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> Client {
        direct(peer).behind(&headers(lines), &proxies())
    }

    #[track_caller]
    fn assert_client(peer: &str, lines: &[(&'static str, &str)], ip: &str) {
        assert_eq!(seen(peer, lines).ip, Some(ip.parse().unwrap()), "{lines:?}");
    }

    const BOTH: [(&str, &str); 4] = [
        ("forwarded", "for=192.0.2.1;proto=https;host=notes.example"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "notes.example"),
    ];

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        assert_eq!(seen("203.0.113.9", &BOTH), direct("203.0.113.9"));
        let no_proxies = TrustedProxies::default();
        assert_eq!(direct("10.0.0.1").behind(&headers(&BOTH), &no_proxies), direct("10.0.0.1"));
    }

    #[test]
    fn a_trusted_peer_may_use_either_header() {
        let expected = Client {
            ip: Some("192.0.2.1".parse().unwrap()),
            scheme: Scheme::HTTPS,
            host: Some(Authority::from_static("notes.example")),
        };
        for lines in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
            assert_eq!(seen("10.0.0.1", lines), expected);
        }
        assert_eq!(expected.server_origin().unwrap(), "https://notes.example");
    }

    #[test]
    fn a_proxy_without_headers_is_the_client() {
        assert_eq!(seen("10.0.0.1", &[]), direct("10.0.0.1"));
    }

    #[test]
    fn the_scheme_is_used_without_a_client_address() {
        let client = seen("10.0.0.1", &[("x-forwarded-proto", "https")]);
        assert_eq!((client.scheme, client.ip), (Scheme::HTTPS, direct("10.0.0.1").ip));
    }

    #[test]
    fn trusted_hops_are_skipped_from_the_right() {
        let chain = "198.51.100.66, 192.0.2.1, 10.1.1.1";
        assert_client("10.0.0.1", &[("x-forwarded-for", chain)], "192.0.2.1");
        assert_client(
            "10.0.0.1",
            &[("x-forwarded-for", "6.6.6.6, 192.0.2.1"), ("x-forwarded-for", "10.1.1.1")],
            "192.0.2.1",
        );
        let chain =
            "for=198.51.100.66, for=192.0.2.1;proto=https;host=a.example, for=10.1.1.1;proto=http;host=b";
        let client = seen("10.0.0.1", &[("forwarded", chain)]);
        assert_eq!(client.ip, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(client.server_origin().unwrap(), "https://a.example");
    }

    #[test]
    fn if_all_hops_are_trusted_the_farthest_is_the_client() {
        assert_client("10.0.0.1", &[("x-forwarded-for", "10.2.2.2, 10.1.1.1")], "10.2.2.2");
    }

    #[test]
    fn an_address_is_parsed_in_each_spelling() {
        for (spelling, ip) in [
            ("for=192.0.2.1:4711", "192.0.2.1"),
            ("For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\";by=10.0.0.1", "2001:db8::1"),
            ("for=\"192.0.2.\\1\"", "192.0.2.1"),
            ("for=\"::ffff:192.0.2.1\"", "192.0.2.1"),
            (", ;proto=http;for=192.0.2.1 ,", "192.0.2.1"),
        ] {
            assert_client("10.0.0.1", &[("forwarded", spelling)], ip);
        }
        for (spelling, ip) in [
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_client("fd00::1", &[("x-forwarded-for", spelling)], ip);
        }
    }

    #[test]
    fn a_hidden_or_malformed_client_is_replaced_by_the_proxy() {
        for value in
            ["for=unknown", "for=_hidden", "for=\"", "for", "garbage", "", "for=192.0.2.1 for=192.0.2.2"]
        {
            assert_client("10.0.0.1", &[("forwarded", value)], "10.0.0.1");
        }
        assert_client("10.0.0.1", &[("x-forwarded-for", "192.0.2.1, what")], "10.0.0.1");
        assert_client("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.1.1.1")], "10.1.1.1");
    }

    #[test]
    fn a_header_that_a_proxy_passes_on_cannot_forge_the_client() {
        let forged = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_client("10.0.0.1", &forged, "10.0.0.1");
    }

    #[test]
    fn a_forged_scheme_or_host_is_ignored() {
        let lines = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "a b/@c"),
        ];
        let client = seen("10.0.0.1", &lines);
        assert_eq!(client.server_origin(), direct("10.0.0.1").server_origin());
    }

    /// A request as the transport creates it.
    fn request(peer: &str, uri: &str, host: Option<&str>) -> Request {
        let mut request = poem::http::Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = RemoteAddr(Addr::SocketAddr(peer.parse().unwrap()));
        let parts = RequestParts::from((parts, LocalAddr::default(), peer, Scheme::HTTP));
        Request::from_parts(parts, Body::empty())
    }

    #[test]
    fn the_host_is_that_of_the_request() {
        let origin = |uri, host| Client::of(&request("192.0.2.1:80", uri, host), &proxies()).server_origin();
        assert_eq!(origin("/", Some("Notes.example:8080")).unwrap(), "http://Notes.example:8080");
        assert_eq!(origin("http://other.example/", Some("notes.example")).unwrap(), "http://other.example");
        assert_eq!(origin("/", Some("user@notes.example")), None);
        assert_eq!(origin("/", None), None);
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() {
        let ip = |peer| Client::of(&request(peer, "/", None), &proxies()).ip.unwrap().to_string();
        assert_eq!(ip("[::ffff:192.0.2.1]:80"), "192.0.2.1");
        assert_eq!(ip("[2001:db8::1]:80"), "2001:db8::1");
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}|(for|host|proto|[=;,\" \\\\\\[:.0-9a-f]){0,30}") {
            seen("10.0.0.1", &[("forwarded", &value)]);
            seen("10.0.0.1", &[("x-forwarded-for", &value), ("x-forwarded-host", &value)]);
        }
    }
}
