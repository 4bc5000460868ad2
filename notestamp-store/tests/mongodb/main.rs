//! What the MongoDB backend promises beyond the common contract: it refuses a server that cannot keep the contract,
//! keeps its time limits, uses an index for each operation, and stays consistent with several processes.

#![cfg(feature = "mongodb")]
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]

mod abandoned;
mod checks;
mod contention;
mod damaged;
mod database;
mod faults;
mod fixture;
mod indexes;
mod race;
mod schema;
mod server;
