//! The proxies of the operator, and the networks that limits count as one address.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The proxies whose forwarding headers are trusted, and whose connections have no limit per address.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Returns whether this address, in its canonical form, is that of a trusted proxy.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// The network that limits count as one address: an IPv4 address, or the /64 of an IPv6 address, since a client that
/// has one of those usually has all of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}
