//! The part of a request body that is held in memory.

use notestamp_store::{MemoryScope, MemoryShare};

use crate::error::ApiError;

/// Memory is acquired in steps of this size, so that a slow body holds little.
const STEP: u64 = 64 << 10;

/// Holds memory for a body while it arrives, as much as has arrived; dropping it gives the memory back.
pub(crate) struct BodyMemory {
    scope: MemoryScope,
    /// `None` before the first byte.
    share: Option<MemoryShare>,
    bytes: u64,
}

impl BodyMemory {
    /// Memory within this scope; nothing is held yet.
    pub(crate) fn new(scope: MemoryScope) -> Self {
        Self { scope, share: None, bytes: 0 }
    }

    /// Waits for more of the body.
    ///
    /// # Errors
    /// 503 if the client is slow, and other requests need the memory that this one holds.
    pub(crate) async fn wait_for<T>(&self, next: impl Future<Output = T>) -> Result<T, ApiError> {
        Ok(self.scope.wait_for_client(next).await?)
    }

    /// Holds memory for this many more bytes, which have arrived.
    ///
    /// # Errors
    /// 503 if the requests of all, of the account or of the address hold too much.
    pub(crate) async fn add(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.bytes += bytes as u64;
        let bytes = self.bytes.next_multiple_of(STEP);
        match &mut self.share {
            Some(share) => share.grow_to(bytes, MemoryScope::WAIT_TIME_MAX).await?,
            none => *none = Some(self.scope.acquire(bytes).await?),
        }
        Ok(())
    }

    /// The memory that is held, for what is made of the body.
    pub(crate) fn into_share(self) -> Option<MemoryShare> {
        self.share
    }
}
