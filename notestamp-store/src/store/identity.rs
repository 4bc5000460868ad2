//! A store knows whose it is: an unmounted disk or a wrong bucket must not look like an empty one.

use futures_util::StreamExt;

use crate::blob::ListedObject;
use crate::domain::{Object, ObjectKind, StoreId};
use crate::error::{Error, Result, error_chain};
use crate::records::StoreIdentity;

use super::{BLOB_STORES, Shared, Store};

/// How many objects are looked for in a blob store that has no id yet.
const SAMPLE: usize = 16;

impl Shared {
    /// Finds out which store the records are of, and that both blob stores are of the same one. Those that have never
    /// been given its id are given it.
    ///
    /// # Errors
    /// [`Error::ForeignStore`] where a blob store is of another store, or has lost its id and with it what the records
    /// name.
    pub(super) async fn settle_identity(&self) -> Result<StoreIdentity> {
        let proposed = match self.id_of_what_we_name().await? {
            Some(id) => id,
            None => StoreId::generate(self.clock.now(), &*self.random),
        };
        let mut identity = self.records.claim_identity(proposed).await?;
        for kind in BLOB_STORES {
            let blobs = self.blobs(kind);
            let found = blobs.read_store_id().await?;
            if found != Some(identity.id) {
                let is_marked = identity.is_marked(kind);
                if !self.may_be_given(kind, found, is_marked).await? {
                    return Err(self.foreign(kind, identity.id, found));
                }
                match blobs.write_store_id(identity.id).await {
                    // It is given it at a start that finds room.
                    Err(error @ Error::Full { .. }) if !is_marked => {
                        tracing::warn!(
                            error = error_chain(&error),
                            "a blob store could not be given the store's id"
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

    /// The id that a blob store holds together with what the records name: for records without an id, which are a copy
    /// from before they were given it. Where they have one, this is it, or of no use.
    async fn id_of_what_we_name(&self) -> Result<Option<StoreId>> {
        for kind in BLOB_STORES {
            let live = self.records.sample_live(kind, SAMPLE).await?;
            if self.holds_any(kind, &live).await?
                && let Some(id) = self.blobs(kind).read_store_id().await?
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether a blob store that does not hold our id may be given it.
    async fn may_be_given(&self, kind: ObjectKind, found: Option<StoreId>, is_marked: bool) -> Result<bool> {
        let live = self.records.sample_live(kind, SAMPLE).await?;
        match (found, live.is_empty()) {
            // What the records name must be somewhere else.
            (Some(_), false) => Ok(false),
            (None, false) if is_marked => Ok(false),
            // It was written by a program that knew of no ids: then it holds what the records name.
            (None, false) => self.holds_any(kind, &live).await,
            // We have nothing in it, but another store may.
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
    /// Returns if the blob store of this kind is the one that the records belong to.
    ///
    /// # Errors
    /// [`Error::ForeignStore`] where it is not.
    pub(super) async fn check_identity(&self, kind: ObjectKind) -> Result<()> {
        let StoreIdentity { id, .. } = self.identity;
        if !self.identity.is_marked(kind) {
            return Ok(());
        }
        let found = self.shared.blobs(kind).read_store_id().await?;
        if found == Some(id) { Ok(()) } else { Err(self.shared.foreign(kind, id, found)) }
    }

    /// Returns if the blob store of this kind responds and is the one that the records belong to.
    ///
    /// # Errors
    /// [`Error::ForeignStore`], and those of the backend.
    pub(super) async fn ping_blobs(&self, kind: ObjectKind) -> Result<()> {
        self.shared.blobs(kind).ping().await?;
        self.check_identity(kind).await
    }
}
