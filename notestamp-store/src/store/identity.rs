//! The identity of a store: records and blob stores hold the same id, so that an unmounted disk or a wrong bucket is
//! not mistaken for an empty blob store.

use futures_util::StreamExt;

use crate::blob::ListedObject;
use crate::domain::{Object, ObjectKind, StoreId};
use crate::error::{Error, Result, error_chain};
use crate::records::StoreIdentity;

use super::{Shared, Store};

/// How many live objects of the records are looked for in a blob store that does not hold our id.
const SAMPLE: usize = 16;

/// How many times the id is written to a blob store that is unavailable: the first write to a new bucket may take
/// longer than a request should, for example while the bucket's server makes its first volumes.
const WRITES: u32 = 5;

impl Shared {
    /// Reads or creates the store id of the records, and checks that both blob stores hold the same id. A blob store
    /// that has never held an id gets it.
    ///
    /// # Errors
    /// [`Error::ForeignStore`] if a blob store belongs to another store, or has lost its id, or lacks the objects
    /// that the records name.
    pub(super) async fn settle_identity(&self) -> Result<StoreIdentity> {
        let proposed = match self.id_of_what_we_name().await? {
            Some(id) => id,
            None => StoreId::generate(self.clock.now(), &*self.random),
        };
        let mut identity = self.records.claim_identity(proposed).await?;
        for kind in ObjectKind::ALL {
            let blobs = self.blobs(kind);
            let found = blobs.read_store_id().await?;
            if found != Some(identity.id) {
                let is_marked = identity.is_marked(kind);
                if !self.may_be_given(kind, found, is_marked).await? {
                    return Err(self.foreign(kind, identity.id, found));
                }
                match self.write_store_id(kind, identity.id).await {
                    // The blob store is full: a later start, with free space, writes the id.
                    Err(error @ Error::Full { .. }) if !is_marked => {
                        tracing::warn!(
                            error = error_chain(&error),
                            "the store's id could not be written to a blob store"
                        );
                        continue;
                    }
                    written => written?,
                }
            }
            if !identity.is_marked(kind) {
                self.records.mark_blob_store(kind).await?;
                identity.mark(kind);
            }
        }
        Ok(identity)
    }

    /// The id of a blob store that holds objects which the records name. It is for records without an id, restored from
    /// a backup that is older than the id; records that have an id ignore it.
    async fn id_of_what_we_name(&self) -> Result<Option<StoreId>> {
        for kind in ObjectKind::ALL {
            let live = self.records.sample_live(kind, SAMPLE).await?;
            if self.holds_any(kind, &live).await?
                && let Some(id) = self.blobs(kind).read_store_id().await?
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    async fn write_store_id(&self, kind: ObjectKind, id: StoreId) -> Result<()> {
        for _ in 1..WRITES {
            match self.blobs(kind).write_store_id(id).await {
                Err(Error::Unavailable { .. }) => {}
                written => return written,
            }
        }
        self.blobs(kind).write_store_id(id).await
    }

    /// Whether a blob store that does not hold our id may be given it.
    async fn may_be_given(&self, kind: ObjectKind, found: Option<StoreId>, is_marked: bool) -> Result<bool> {
        let live = self.records.sample_live(kind, SAMPLE).await?;
        match (found, live.is_empty()) {
            // It belongs to another store, so the objects that the records name must be somewhere else.
            (Some(_), false) => Ok(false),
            (None, false) if is_marked => Ok(false),
            // An older version, without ids, may have written it: then it holds objects that the records name.
            (None, false) => self.holds_any(kind, &live).await,
            // The records name no object in it, but the other store may have objects there.
            (Some(_), true) => Ok(!self.holds_objects(kind).await?),
            (None, true) => Ok(true),
        }
    }

    async fn holds_any(&self, kind: ObjectKind, rows: &[Object]) -> Result<bool> {
        for row in rows {
            if let Some((_, size)) = row.content
                && self.blobs(kind).is_whole(row.namespace, row.id, size).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn holds_objects(&self, kind: ObjectKind) -> Result<bool> {
        let mut listing = self.blobs(kind).list();
        while let Some(found) = listing.next().await {
            if let ListedObject::Object { .. } = found? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn foreign(&self, kind: ObjectKind, expected: StoreId, found: Option<StoreId>) -> Error {
        let (blobs, records) = (self.blobs(kind).describe_place(), self.records.name());
        Error::ForeignStore { blobs, records, expected, found }
    }
}

impl Store {
    /// Checks that the blob store of this kind belongs to the records.
    ///
    /// # Errors
    /// [`Error::ForeignStore`] if it is not.
    pub(super) async fn check_identity(&self, kind: ObjectKind) -> Result<()> {
        let StoreIdentity { id, .. } = self.identity;
        if !self.identity.is_marked(kind) {
            return Ok(());
        }
        let found = self.shared.blobs(kind).read_store_id().await?;
        if found == Some(id) { Ok(()) } else { Err(self.shared.foreign(kind, id, found)) }
    }

    /// Checks that a blob store of local files still belongs to the records: its disk may be unmounted at any time, and
    /// then an empty folder is in its place. A bucket cannot be replaced under a running process.
    ///
    /// # Errors
    /// [`Error::ForeignStore`] if it does not.
    pub(super) async fn check_folder(&self, kind: ObjectKind) -> Result<()> {
        if self.shared.blobs(kind).is_folder() { self.check_identity(kind).await } else { Ok(()) }
    }

    /// Checks that the blob store of this kind responds and belongs to the records.
    ///
    /// # Errors
    /// [`Error::ForeignStore`], and those of the backend.
    pub(super) async fn ping_blobs(&self, kind: ObjectKind) -> Result<()> {
        self.shared.blobs(kind).ping().await?;
        self.check_identity(kind).await
    }
}
