//! The headers by which proxies report where a request came from: `Forwarded` (RFC 7239), and the older
//! `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

use poem::http::header::{FORWARDED, HeaderMap, HeaderName};
use poem::http::uri::{Authority, Scheme};

/// The header that names the client.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Returns whether any of the headers is present.
pub(crate) fn are_present(headers: &HeaderMap) -> bool {
    let names = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];
    names.iter().any(|name| headers.contains_key(name))
}

/// What one proxy reports about the request that it passed on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Hop {
    /// The address that it received the request from; absent if the proxy hides it.
    pub(crate) ip: Option<IpAddr>,
    /// Whether the request came by `http` or `https`; absent if the proxy does not report it.
    pub(crate) scheme: Option<Scheme>,
    /// The host that the request was sent to; absent if the proxy does not report it.
    pub(crate) host: Option<Authority>,
}

/// The elements of `Forwarded`, the nearest last; empty if the header is absent or malformed.
pub(crate) fn hops(headers: &HeaderMap) -> Vec<Hop> {
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
pub(crate) fn x_hops(headers: &HeaderMap) -> Vec<Hop> {
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
pub(crate) fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|authority: &Authority| !authority.as_str().contains('@'))
}
