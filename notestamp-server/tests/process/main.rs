//! The server as a process: killed, traced and measured from outside.

#![allow(clippy::unwrap_used, reason = "all of it is tests, helpers too")]

mod backup;
mod check;
mod client;
mod connections;
mod crash;
mod damaged;
mod durability;
mod export;
mod file_errors;
mod full_disk;
mod generated;
mod https;
mod import;
mod legacy;
mod memory;
mod monitoring;
mod output;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod server;
mod tools;
