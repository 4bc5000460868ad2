//! The memory backend keeps the contract.

use std::sync::Arc;

use notestamp_store::records::{MemoryRecords, RecordStore};

async fn fresh() -> (Arc<dyn RecordStore>, ()) {
    (Arc::new(MemoryRecords::new()), ())
}

notestamp_store::records_conformance!(fresh);
