//! What the MongoDB backend promises beyond the contract of all: a server that can keep it, answers in time,
//! indexes for all that is asked, and accounts that stay in step under many processes.

#![cfg(feature = "mongodb")]
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]

mod damaged;
mod database;
mod faults;
mod fixture;
mod indexes;
mod race;
mod schema;
mod server;
