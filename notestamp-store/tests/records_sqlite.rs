//! The conformance suite of the record store, for the SQLite backend.

#![cfg(feature = "sqlite")]

use std::sync::Arc;

use notestamp_store::Durability;
use notestamp_store::records::{RecordStore, SqliteRecords};
use tempfile::TempDir;

async fn fresh() -> (Arc<dyn RecordStore>, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // These tests do not cover a power loss, and syncing takes long.
    let store = SqliteRecords::open(folder.path().join("metadata.db"), Durability::Relaxed).await;
    (Arc::new(store.expect("a new database can be opened")), folder)
}

notestamp_store::records_conformance!(fresh);
