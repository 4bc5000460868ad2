//! The client's address and the origin that it sent the request to, as trusted proxies report them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use poem::http::Version;
use poem::http::header::{FORWARDED, HOST, HeaderMap, HeaderName};
use poem::http::uri::{Authority, Scheme};
use poem::{FromRequest, Request, RequestBody};

use crate::config::PublicUrl;
use crate::http::single_header::Single;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of a request, and the origin that it sent the request to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its address; absent if the connection has none.
    pub ip: Option<IpAddr>,
    /// Whether the client used `http` or `https`.
    pub scheme: Scheme,
    /// The host, and the port if it named one, that it sent the request to; absent if it named no valid host.
    pub host: Option<Authority>,
}

impl Client {
    /// The server's own origin as this client sees it; `None` if the host is absent.
    pub fn server_origin(&self) -> Option<String> {
        self.host.as_ref().map(|host| format!("{}://{host}", self.scheme))
    }

    /// Returns whether a browser would keep `Secure` cookies from this server: over https, or at a loopback host.
    pub fn is_secure_context(&self) -> bool {
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

/// The proxies whose forwarding headers are trusted.
///
/// - The headers count only if the peer is a trusted proxy: `Forwarded` (RFC 7239), or else `X-Forwarded-For`, `-Proto`
///   and `-Host`.
/// - Each proxy appends the address that it received the request from. So the lists are read from the right, past the
///   trusted proxies; the first other address is the client, and it may have forged everything to the left of it.
/// - Most proxies maintain one of the two kinds and pass the other on unchanged. So if both are present and name
///   different clients, both are ignored, and the peer counts as the client: a client that forges one of them shares
///   the proxy's address and its limits with all others that do.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client of a request.
    pub fn client_of(&self, request: &Request) -> Client {
        let direct = Client {
            ip: request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical()),
            scheme: request.scheme().clone(),
            // An absolute request target, or `:authority`, wins over `Host` (RFC 9112, 3.2.2).
            host: match (request.original_uri().authority(), Single::of(request.headers(), &HOST)) {
                (Some(authority), _) => Some(authority.clone()),
                (None, Single::One(host)) => host.to_str().ok().and_then(authority),
                // HTTP/1.0 has no `Host`: the local address of the connection stands for it.
                (None, Single::Absent) if request.version() <= Version::HTTP_10 => {
                    request.local_addr().as_socket_addr().and_then(|address| authority(&address.to_string()))
                }
                (None, Single::Absent | Single::Several) => None,
            },
        };
        self.behind(direct, request.headers())
    }

    /// Returns the peer of a request that has forwarding headers, if they are ignored because the peer is not trusted.
    pub fn ignores_forwarding_headers_of(&self, request: &Request) -> Option<IpAddr> {
        let names = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];
        if !names.iter().any(|name| request.headers().contains_key(name)) {
            return None;
        }
        let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
        (!self.trusts(peer)).then_some(peer)
    }

    /// Returns the client behind `peer`, the other end of the connection.
    fn behind(&self, peer: Client, headers: &HeaderMap) -> Client {
        let Some(ip) = peer.ip.filter(|ip| self.trusts(*ip)) else { return peer };
        let forwarded = headers.contains_key(FORWARDED).then(|| self.walk(ip, &forwarded_hops(headers)));
        let x_forwarded =
            headers.contains_key(X_FORWARDED_FOR).then(|| self.walk(ip, &x_forwarded_hops(headers)));
        let seen = match (forwarded, x_forwarded) {
            (Some(forwarded), Some(x_forwarded)) if forwarded.ip != x_forwarded.ip => return peer,
            (Some(forwarded), _) => forwarded,
            (None, Some(x_forwarded)) => x_forwarded,
            // A proxy may report the scheme and the host without the client.
            (None, None) => self.walk(ip, &x_forwarded_hops(headers)),
        };
        Client {
            ip: Some(seen.ip),
            scheme: seen.scheme.unwrap_or(peer.scheme),
            host: seen.host.or(peer.host),
        }
    }

    /// Follows the hops, the nearest first, as long as a trusted proxy reports them.
    fn walk(&self, peer: IpAddr, hops: &[Hop]) -> Seen {
        let mut seen = Seen { ip: peer, scheme: None, host: None };
        for hop in hops.iter().rev() {
            seen.scheme = hop.scheme.clone().or(seen.scheme);
            seen.host = hop.host.clone().or(seen.host);
            match hop.ip {
                Some(ip) => seen.ip = ip,
                None => break,
            }
            if !self.trusts(seen.ip) {
                break;
            }
        }
        seen
    }

    /// Returns whether this address, in its canonical form, is that of a trusted proxy.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// The network that limits count as one address: an IPv4 address, or the /64 of an IPv6 address, since a client that
/// has one of those usually has all of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// What one proxy reports about the request that it passed on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Hop {
    /// The address that it received the request from; absent if the proxy hides it.
    ip: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<Authority>,
}

/// What the trusted proxies report together.
struct Seen {
    ip: IpAddr,
    scheme: Option<Scheme>,
    host: Option<Authority>,
}

/// The elements of `Forwarded`, the nearest last; empty if the header is absent or malformed.
fn forwarded_hops(headers: &HeaderMap) -> Vec<Hop> {
    joined(headers, &FORWARDED).and_then(|text| parse_forwarded(&text)).unwrap_or_default()
}

/// `1#forwarded-element` (RFC 7239, 4).
fn parse_forwarded(text: &str) -> Option<Vec<Hop>> {
    let mut hops = vec![];
    let mut hop = None;
    let mut rest = text.trim_start();
    loop {
        // Empty elements and empty pairs are allowed.
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = take_value(after)?;
            let hop: &mut Hop = hop.get_or_insert_default();
            match name.trim_end().to_ascii_lowercase().as_str() {
                "for" => hop.ip = ip(&value),
                "proto" => hop.scheme = scheme(&value),
                "host" => hop.host = authority(&value),
                _ => {}
            }
            rest = after.trim_start();
        }
        match rest.chars().next() {
            Some(';') => {}
            Some(',') => hops.extend(hop.take()),
            Some(_) => return None,
            None => {
                hops.extend(hop);
                return Some(hops);
            }
        }
        rest = rest[1..].trim_start();
    }
}

/// Takes a token or a quoted string off the front of `text`.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// The elements of `X-Forwarded-For`, the nearest last, each with its scheme and host. The lists of
/// schemes and hosts may be shorter, since some proxies replace them: then they belong to the nearest hops.
fn x_forwarded_hops(headers: &HeaderMap) -> Vec<Hop> {
    let list = |header| {
        let text = joined(headers, header).unwrap_or_default();
        let values = text.split(',').rev().map(str::trim).filter(|value| !value.is_empty());
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let (clients, schemes, hosts) =
        (list(&X_FORWARDED_FOR), list(&X_FORWARDED_PROTO), list(&X_FORWARDED_HOST));
    // A proxy that does not report the client is one hop too.
    let hop = |at: usize| Hop {
        ip: clients.get(at).and_then(|value| ip(value)),
        scheme: schemes.get(at).and_then(|value| scheme(value)),
        host: hosts.get(at).and_then(|value| authority(value)),
    };
    (0..clients.len().max(1)).rev().map(hop).collect()
}

/// All lines of a header as one list.
fn joined(headers: &HeaderMap, header: &HeaderName) -> Option<String> {
    let lines: Result<Vec<_>, _> = headers.get_all(header).iter().map(|line| line.to_str()).collect();
    lines.ok().map(|lines| lines.join(","))
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn ip(text: &str) -> Option<IpAddr> {
    let ip = match text.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(ip.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::HTTP),
        "https" => Some(Scheme::HTTPS),
        _ => None,
    }
}

/// `uri-host [":" port]`, as `Host` has it.
fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|authority: &Authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
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
        proxies().behind(direct(peer), &headers(lines))
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
        assert_eq!(TrustedProxies::default().behind(direct("10.0.0.1"), &headers(&BOTH)), direct("10.0.0.1"));
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
        let origin = |uri, host| proxies().client_of(&request("192.0.2.1:80", uri, host)).server_origin();
        assert_eq!(origin("/", Some("Notes.example:8080")).unwrap(), "http://Notes.example:8080");
        assert_eq!(origin("http://other.example/", Some("notes.example")).unwrap(), "http://other.example");
        assert_eq!(origin("/", Some("user@notes.example")), None);
        assert_eq!(origin("/", None), None);
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() {
        let ip = |peer| proxies().client_of(&request(peer, "/", None)).ip.unwrap().to_string();
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
