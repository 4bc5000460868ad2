//! The proxies of the operator.

use std::net::IpAddr;

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
