//! Connections: admission control, timeouts, and HTTP/1.
//!
//! The server speaks HTTP/1 only. HTTP/2 without TLS would bypass every limit: one connection carries any number of
//! requests, and its flow-control windows let the peer keep responses in memory for any time.

mod activity;
pub mod admission;
pub mod descriptors;
pub mod guarded_stream;
pub mod idle_timer;
pub mod listener;
mod response_body;
pub mod server;
mod trusted_proxies;

pub use activity::Pace;
pub use admission::ConnectionLimits;
pub use guarded_stream::TimeLimits;
pub use server::Server;
pub use trusted_proxies::{TrustedProxies, network};
