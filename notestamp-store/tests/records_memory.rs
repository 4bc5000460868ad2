//! The conformance suite of the record store, for the memory backend.

use std::sync::Arc;

use notestamp_store::records::{MemoryRecords, RecordStore};

async fn fresh() -> (Arc<dyn RecordStore>, ()) {
    (Arc::new(MemoryRecords::new()), ())
}

notestamp_store::records_conformance!(fresh);
