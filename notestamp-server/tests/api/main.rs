//! The API as its clients see it. Each test has a server of its own, in this process, and speaks HTTP with it.
//!
//! All tests run over each set of stores: memory, embedded, and mongodb_s3. A test has the attribute
//! `#[apply(api_test)]`, which each set defines; tests that need services are ignored by default.
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]
#![expect(clippy::duplicate_mod, reason = "the same claims are tested over each set of stores")]

#[macro_use(apply)]
extern crate macro_rules_attribute;

mod harness;
mod stores;

macro_rules! api_test {
    ($($case:tt)*) => { #[tokio::test] $($case)* };
}

/// Like `api_test`, with a runtime of several threads.
macro_rules! api_test_in_threads {
    ($($case:tt)*) => { #[tokio::test(flavor = "multi_thread", worker_threads = 4)] $($case)* };
}

/// Everything in memory.
#[path = "."]
mod memory {
    type TestServer = crate::harness::TestServer<crate::stores::Memory>;

    mod accounts;
    mod bad_tokens;
    mod clients;
    mod delete_project;
    mod ended_sessions;
    mod errors;
    mod failed_sign_ins;
    mod form_parts;
    mod health;
    mod held_requests;
    mod history;
    mod known_devices;
    mod late_requests;
    mod limits;
    mod listing;
    mod media;
    mod metadata;
    mod open_project;
    mod origins;
    mod preconditions;
    mod project_listing;
    mod project_media;
    mod project_saving;
    mod refresh;
    mod replays;
    mod save_project;
    mod sign_in;
    mod signing_keys;
    mod titles;
    mod trash;
    mod whole_lists;
}

/// SQLite and files in one folder: the default of the server.
#[path = "."]
mod embedded {
    type TestServer = crate::harness::TestServer<crate::stores::Embedded>;

    mod accounts;
    mod bad_tokens;
    mod clients;
    mod delete_project;
    mod ended_sessions;
    mod errors;
    mod failed_sign_ins;
    mod form_parts;
    mod health;
    mod held_requests;
    mod history;
    mod known_devices;
    mod late_requests;
    mod limits;
    mod listing;
    mod media;
    mod metadata;
    mod open_project;
    mod origins;
    mod preconditions;
    mod project_listing;
    mod project_media;
    mod project_saving;
    mod refresh;
    mod replays;
    mod restart;
    mod save_project;
    mod sign_in;
    mod signing_keys;
    mod titles;
    mod trash;
    mod whole_lists;
}

/// MongoDB and a bucket, which several servers can share.
#[cfg(all(feature = "mongodb", feature = "s3"))]
#[path = "."]
mod mongodb_s3 {
    /// The server runs in its own thread, because it must be able to end an open transaction while the test drops the
    /// database.
    macro_rules! api_test {
        ($($case:tt)*) => {
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            #[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
            $($case)*
        };
    }

    macro_rules! api_test_in_threads {
        ($($case:tt)*) => {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            #[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
            $($case)*
        };
    }

    type TestServer = crate::harness::TestServer<crate::stores::MongoDbS3>;

    mod accounts;
    mod bad_tokens;
    mod clients;
    mod delete_project;
    mod ended_sessions;
    mod errors;
    mod failed_sign_ins;
    mod form_parts;
    mod health;
    mod held_requests;
    mod history;
    mod known_devices;
    mod late_requests;
    mod limits;
    mod listing;
    mod media;
    mod metadata;
    mod open_project;
    mod origins;
    mod preconditions;
    mod project_listing;
    mod project_media;
    mod project_saving;
    mod refresh;
    mod replays;
    mod restart;
    mod save_project;
    mod sign_in;
    mod signing_keys;
    mod titles;
    mod trash;
    mod whole_lists;
}

mod data_folder;
mod every_operation;
mod late_cookies;
mod log;
mod openapi;
mod site;
mod slow_notes;
mod token;
