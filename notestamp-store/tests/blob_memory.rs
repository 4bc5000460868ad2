//! The blob suite in memory, as this crate opens it and as an embedder's own store.

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

/// Taken as a remote store: other parts, several at once.
mod embedded {
    use super::*;

    async fn store() -> (BlobStore, ()) {
        (BlobStore::new(ObjectKind::Media, Arc::new(InMemory::new())), ())
    }

    notestamp_store::blob_conformance!(store);
}
