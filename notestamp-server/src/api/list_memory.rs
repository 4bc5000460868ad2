//! The part of a list that is held in memory.

use notestamp_store::{Caller, MemoryScope, Project, Store};

use crate::transport::HeldMemory;

/// Holds memory for a list, until its client has taken the response.
pub(crate) struct ListMemory {
    scope: MemoryScope,
    held: HeldMemory,
    bytes: u64,
}

/// How many copies of a page are held at once: its projects, and their JSON.
const COPIES: usize = 2;

/// The bytes of an entry besides its metadata.
const ENTRY_BYTES: usize = 256;

impl ListMemory {
    /// Nothing is held yet.
    pub(crate) fn new(store: &Store, caller: Caller, held: &HeldMemory) -> Self {
        Self { scope: store.memory_of(caller), held: held.clone(), bytes: 0 }
    }

    /// Holds this many bytes, if fewer are held.
    ///
    /// # Errors
    /// [`OutOfMemory`](notestamp_store::Error::OutOfMemory) if other requests hold too much.
    pub(crate) async fn hold(&mut self, bytes: usize) -> notestamp_store::Result<()> {
        let missing = (bytes as u64).saturating_sub(self.bytes);
        if missing > 0 {
            self.held.hold(self.scope.acquire(missing).await?);
            self.bytes += missing;
        }
        Ok(())
    }

    /// Holds the bytes of a page with these projects, before it is written.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold).
    pub(crate) async fn hold_page(
        &mut self,
        projects: impl IntoIterator<Item = &Project>,
    ) -> notestamp_store::Result<()> {
        let entries = projects.into_iter().map(|project| project.metadata.json_len() + ENTRY_BYTES);
        self.hold(COPIES * entries.sum::<usize>()).await
    }
}
