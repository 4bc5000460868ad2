//! The blob suite in memory, as this crate opens it and as an embedder passes in its own store.

use std::sync::Arc;

use notestamp_store::{BlobStore, BlobUrl, Durability, ObjectKind};
use object_store::memory::InMemory;

mod opened {
    use super::*;

    async fn store() -> (BlobStore, ()) {
        let url = BlobUrl::parse("memory:///").expect("it is a URL");
        let store = BlobStore::open(ObjectKind::Media, &url, Durability::Full).await;
        (store.expect("memory can be opened"), ())
    }

    notestamp_store::blob_conformance!(store);
}

/// Treated as a remote store: with larger parts, of which several are uploaded concurrently.
mod embedded {
    use super::*;

    async fn store() -> (BlobStore, ()) {
        (BlobStore::new(ObjectKind::Media, Arc::new(InMemory::new())), ())
    }

    notestamp_store::blob_conformance!(store);
}
