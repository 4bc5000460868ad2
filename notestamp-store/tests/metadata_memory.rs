//! The memory backend keeps the contract.

use std::sync::Arc;

use notestamp_store::metadata::{MemoryMetadata, MetadataStore};

async fn fresh() -> (Arc<dyn MetadataStore>, ()) {
    (Arc::new(MemoryMetadata::new()), ())
}

notestamp_store::metadata_conformance!(fresh);
