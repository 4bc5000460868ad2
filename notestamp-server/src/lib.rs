//! notestamp's REST API over [`notestamp_store`].

mod api;
mod app;
pub mod auth;
pub mod config;
pub mod data_folder;
mod entity_tags;
mod error;
mod http;
mod log_limit;
mod maintenance;
mod metrics;
mod middleware;
mod offset_cursors;
mod once_per;
pub mod openapi;
mod routes;
pub mod shutdown;
mod state;
pub mod storage;
pub mod telemetry;
pub mod transport;
mod wire;

pub use app::{App, StartError};
