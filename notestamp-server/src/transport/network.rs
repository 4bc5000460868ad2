//! The networks that limits count as one address.

use std::net::{IpAddr, Ipv6Addr};

/// The network that limits count as one address: an IPv4 address, or the /64 of an IPv6 address, since a client that
/// has one of those usually has all of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}
