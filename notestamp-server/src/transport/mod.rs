//! Connections: admission control, timeouts, and HTTP/1.
//!
//! The server speaks HTTP/1 only. HTTP/2 without TLS would bypass every limit: one connection carries any number of
//! requests, and its flow-control windows let the peer keep responses in memory for any time.

mod activity;
pub(crate) mod admission;
mod connection;
pub(crate) mod descriptors;
pub(crate) mod guarded_stream;
mod held_memory;
pub(crate) mod idle_timer;
pub(crate) mod listener;
mod network;
mod refusal;
mod request_body;
mod response_body;
pub(crate) mod server;
mod tls;
pub(crate) mod traffic;
mod trusted_proxies;

pub(crate) use activity::Pace;
pub(crate) use admission::ConnectionLimits;
pub use descriptors::raise_limit as raise_descriptor_limit;
pub(crate) use held_memory::HeldMemory;
pub(crate) use network::network;
pub(crate) use server::{ACCEPT_PAUSE, Server};
pub(crate) use tls::Tls;
pub use tls::TlsError;
pub(crate) use trusted_proxies::TrustedProxies;
