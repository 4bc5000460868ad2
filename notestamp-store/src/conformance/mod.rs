//! The suites that every backend passes, for backends outside this crate too.
//!
//! A backend's whole test file is a factory for a fresh store and one macro call, which makes a
//! test of each case, named for what it claims.

pub mod blob;
pub mod records;
