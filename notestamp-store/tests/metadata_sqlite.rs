//! The SQLite backend keeps the contract.

#![cfg(feature = "sqlite")]

use std::sync::Arc;

use notestamp_store::Durability;
use notestamp_store::metadata::{MetadataStore, SqliteMetadata};
use tempfile::TempDir;

async fn fresh() -> (Arc<dyn MetadataStore>, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // Nothing here looks at what a loss of power leaves, and syncing takes long.
    let store = SqliteMetadata::open(folder.path().join("metadata.db"), Durability::Relaxed).await;
    (Arc::new(store.expect("a new database can be opened")), folder)
}

notestamp_store::metadata_conformance!(fresh);
