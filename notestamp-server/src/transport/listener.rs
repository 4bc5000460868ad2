//! Listens on an address.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections the system may queue until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on `address`, one of those in `all`.
///
/// An IPv6 wildcard address accepts IPv4 connections too if that is the system's default, but not if another address of
/// the server has the same port for IPv4.
///
/// # Errors
/// If the system refuses.
pub(crate) fn bind(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && all.iter().any(|other| other.is_ipv4() && other.port() == address.port()) {
        socket.set_only_v6(true)?;
    }
    // A restarted server can bind its port again at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn both_wildcards_share_a_port() {
        let v4 = bind((Ipv4Addr::UNSPECIFIED, 0).into(), &[]).unwrap();
        let port = v4.local_addr().unwrap().port();
        let (v4_wanted, v6_wanted) =
            ((Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into());
        let v6 = bind(v6_wanted, &[v4_wanted, v6_wanted]).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        assert!(v4.accept().await.unwrap().1.is_ipv4());
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        assert_eq!(v6.accept().await.unwrap().1.ip(), Ipv6Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn a_single_ipv6_wildcard_keeps_the_systems_default() {
        let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into(), &[]).unwrap();
        let only_v6 = socket2::SockRef::from(&listener).only_v6().unwrap();
        let default = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap().only_v6().unwrap();
        assert_eq!(only_v6, default);
    }
}
