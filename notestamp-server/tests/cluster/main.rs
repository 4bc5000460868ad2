//! Several server processes over one MongoDB and one bucket: under a random load, killed in the middle of it, and while
//! a backend is unavailable.
//!
//! `scripts/services start` starts the services, and prints the environment variables with which these tests find them.

#![allow(clippy::unwrap_used, reason = "all of it is tests, helpers too")]

mod account;
mod bucket;
mod deployment;
#[path = "../process/generated.rs"]
mod generated;
mod http;
mod ledger;
mod mongodb;
mod outages;
mod races;
mod relay;
mod secrets;
#[path = "../process/server.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod server;
mod sessions;
mod workload;

use std::env;

use tokio::sync::{Mutex, MutexGuard};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is needed"))
}

/// One test at a time: each keeps all of a small machine busy, and some measure response times.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
