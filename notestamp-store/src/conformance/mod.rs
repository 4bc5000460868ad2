//! The conformance suites that every backend passes, also for backends outside this crate.
//!
//! The test file of a backend consists of a factory for a fresh store and one macro call. The macro makes a test of
//! each case, named for the promise that it checks.

pub mod blob;
pub mod records;
