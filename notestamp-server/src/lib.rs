//! notestamp's REST API over [`notestamp_store`].

pub mod auth;
pub mod config;
pub mod data_folder;
pub mod shutdown;
pub mod telemetry;
