//! notestamp's REST API over [`notestamp_store`]: [`App`] is a server made of a [`Config`](config::Config).

#![warn(unreachable_pub)]

mod allocator;
mod api;
mod app;
mod auth;
pub mod config;
mod entity_tags;
mod error;
mod http;
mod https_redirect;
mod log_limit;
mod maintenance;
mod metrics;
mod middleware;
mod offset_cursors;
mod once_per;
pub mod openapi;
mod routes;
pub mod shutdown;
mod site;
mod state;
pub mod storage;
pub mod telemetry;
pub mod tools;
mod transport;
mod wire;

pub use allocator::give_memory_back;
pub use app::{App, StartError};
pub use auth::{InvalidSigningKeys, SigningKey, SigningKeyError, SigningKeys};
pub use transport::{TlsError, raise_descriptor_limit};
