//! Connections: who may have one, how long it may stand still, and HTTP/1 on it.
//!
//! The server speaks HTTP/1 only. HTTP/2 without TLS would be a second way around every limit: one connection of it
//! carries any number of requests, and its windows hold responses in memory for as long as the peer likes.

mod activity;
pub mod admission;
pub mod descriptors;
pub mod guarded_stream;
pub mod idle_timer;
pub mod listener;
mod response_body;
pub mod server;

pub use activity::Pace;
pub use admission::ConnectionLimits;
pub use guarded_stream::TimeLimits;
pub use server::Server;
