//! The conformance suite of the record store, for the MongoDB backend.

#![cfg(feature = "mongodb")]

#[path = "mongodb/database.rs"]
mod database;

use std::sync::Arc;

use database::TestDatabase;
use notestamp_store::records::RecordStore;

async fn fresh() -> (Arc<dyn RecordStore>, TestDatabase) {
    let database = TestDatabase::new();
    (Arc::new(database.open().await), database)
}

notestamp_store::records_conformance!(
    #[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
    fresh
);
