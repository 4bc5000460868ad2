//! The suites that every backend must pass, for backends outside this crate too.

pub mod blob;
pub mod metadata;
