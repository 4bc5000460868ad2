#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod blob;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod domain;
mod durability;
mod error;
// The record store.
pub mod metadata;
pub mod protocol;
mod random;

pub use blob::{BlobStore, BlobUrl, ByteStream, Found, Ingest, Unfinished};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use domain::*;
pub use durability::Durability;
pub use error::{Error, Result};
pub use random::{OsRandom, Random};
