//! The API as its clients see it. Each test has a server of its own, in this process, and speaks HTTP with it.
//!
//! All of them run twice, over each set of stores that needs no service: in memory, and embedded.
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]
#![expect(clippy::duplicate_mod, reason = "the same claims are tested over both sets of stores")]

mod harness;

/// Everything in memory.
#[path = "."]
mod memory {
    type TestServer = crate::harness::TestServer<crate::harness::Memory>;

    mod accounts;
    mod bad_tokens;
    mod deleting;
    mod ended_sessions;
    mod errors;
    mod failed_sign_ins;
    mod limits;
    mod listing;
    mod media;
    mod metadata;
    mod opening;
    mod origins;
    mod preconditions;
    mod project_clients;
    mod project_listing;
    mod project_media;
    mod project_saving;
    mod project_titles;
    mod refresh;
    mod replays;
    mod saving;
    mod service;
    mod sign_in;
    mod signing_keys;
}

/// SQLite and files in one folder: what a server without any settings does.
#[path = "."]
mod embedded {
    type TestServer = crate::harness::TestServer<crate::harness::Embedded>;

    mod accounts;
    mod bad_tokens;
    mod deleting;
    mod ended_sessions;
    mod errors;
    mod failed_sign_ins;
    mod limits;
    mod listing;
    mod media;
    mod metadata;
    mod opening;
    mod origins;
    mod preconditions;
    mod project_clients;
    mod project_listing;
    mod project_media;
    mod project_saving;
    mod project_titles;
    mod refresh;
    mod replays;
    mod restart;
    mod saving;
    mod service;
    mod sign_in;
    mod signing_keys;
}

mod every_operation;
mod openapi;
mod token;
