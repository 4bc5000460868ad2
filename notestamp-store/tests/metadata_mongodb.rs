//! The MongoDB backend keeps the contract.

#![cfg(feature = "mongodb")]

#[path = "mongodb/database.rs"]
mod database;

use std::sync::Arc;

use database::TestDatabase;
use notestamp_store::metadata::MetadataStore;

async fn fresh() -> (Arc<dyn MetadataStore>, TestDatabase) {
    let database = TestDatabase::new();
    (Arc::new(database.open().await), database)
}

notestamp_store::metadata_conformance!(
    #[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
    fresh
);
