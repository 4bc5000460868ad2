//! The addresses of the server, and the proxies that it trusts.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::InvalidSetting;
use super::public_url::PublicUrl;

/// The addresses that the server listens on, its public URL, and its trusted proxies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// The addresses to listen on, never empty; each serves all routes. Port 0 means any free port.
    pub addresses: Vec<SocketAddr>,
    /// The URL by which browsers reach the server; if absent, the `Host` of each request decides.
    pub public_url: Option<PublicUrl>,
    /// Reverse proxies whose `Forwarded` and `X-Forwarded-*` headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The address that serves `/metrics` and nothing else; if absent, there are no metrics.
    pub metrics_address: Option<SocketAddr>,
}

#[derive(clap::Args)]
pub(super) struct ListenArgs {
    /// Address to listen on; port 0 selects a free port. The actual address is printed (repeatable)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    listen: Vec<SocketAddr>,

    /// URL by which browsers reach the server, used in links [default: from the Host header]
    #[arg(long, value_name = "URL", value_parser = PublicUrl::parse)]
    public_url: Option<PublicUrl>,

    /// Reverse proxy whose Forwarded and X-Forwarded-* headers are trusted: an address, a network,
    /// or `none` (repeatable)
    #[arg(long, value_name = "CIDR", default_value = "none", value_parser = parse_proxy)]
    trusted_proxy: Vec<Option<IpNet>>,

    /// Address that serves /metrics for Prometheus, or `off`
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = parse_optional_address)]
    metrics_listen: OrOff<SocketAddr>,
}

/// An optional value of a flag that is always present: clap treats a type that is spelled `Option` as a flag that may
/// be absent.
pub(super) type OrOff<T> = Option<T>;

impl From<ListenArgs> for Listen {
    fn from(args: ListenArgs) -> Self {
        Self {
            addresses: args.listen,
            public_url: args.public_url,
            trusted_proxies: args.trusted_proxy.into_iter().flatten().collect(),
            metrics_address: args.metrics_listen,
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, InvalidSetting> {
    text.parse().map_err(|_| {
        InvalidSetting::new(format!(
            "`{text}` is not an IP address and a port: write it like 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080"
        ))
    })
}

pub(super) fn parse_optional_address(text: &str) -> Result<Option<SocketAddr>, InvalidSetting> {
    match text {
        "off" => Ok(None),
        address => parse_address(address).map(Some),
    }
}

fn parse_proxy(text: &str) -> Result<Option<IpNet>, InvalidSetting> {
    if text == "none" {
        return Ok(None);
    }
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(Some).map_err(|_| {
        InvalidSetting::new(format!(
            "`{text}` is not an IP address or network: write it like 10.0.0.7, 10.0.0.0/8 or fd00::/8, or `none`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_proxy_address_is_a_network_of_one() {
        for (text, network) in [("10.0.0.7", "10.0.0.7/32"), ("::1", "::1/128"), ("10.0.0.0/8", "10.0.0.0/8")]
        {
            assert_eq!(parse_proxy(text), Ok(Some(network.parse().unwrap())), "{text}");
        }
        assert_eq!(parse_proxy("none"), Ok(None));
    }

    #[test]
    fn addresses_without_a_port_and_names_are_refused() {
        for text in ["127.0.0.1", "localhost:8080", ":8080", "8080", "[::1]", "127.0.0.1:99999"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
        for text in ["10.0.0.0/33", "proxy.internal", "10.0.0.7:80", ""] {
            assert!(parse_proxy(text).is_err(), "{text}");
        }
    }
}
