//! What a check needs of a blob store: whether one entry exists, and a place for what belongs to nothing.

use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::{BlobStore, path};
use crate::domain::{Namespace, ObjectId};
use crate::error::{Error, Result};

impl BlobStore {
    /// The size of an object; `None` if it is absent.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`].
    pub(crate) async fn size_of(&self, namespace: Namespace, object: ObjectId) -> Result<Option<u64>> {
        match self.backend.objects.head(&path::of(namespace, object)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Whether there is an entry at a path, as a listing returned it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`].
    pub(crate) async fn has_entry(&self, entry: &str) -> Result<bool> {
        if let Some(local) = &self.backend.local {
            let entry = entry.to_owned();
            return self.on_disk(local, move |root| root.has_entry(&entry)).await;
        }
        match self.backend.objects.head(&self.parse(entry)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Moves an entry into the quarantine of this blob store, which listings leave out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]; the entry is then where it was, and possibly in the quarantine too.
    pub(crate) async fn quarantine(&self, entry: &str) -> Result<()> {
        if let Some(local) = &self.backend.local {
            let entry = entry.to_owned();
            return self.on_disk(local, move |root| root.quarantine(&entry)).await;
        }
        let (from, to) = (self.parse(entry)?, self.parse(&format!("{}{entry}", path::QUARANTINE))?);
        self.backend.objects.rename(&from, &to).await.map_err(|error| self.error(error))
    }

    fn parse(&self, entry: &str) -> Result<Path> {
        Path::parse(entry).map_err(|error| Error::Backend { backend: self.name, source: error.into() })
    }
}
