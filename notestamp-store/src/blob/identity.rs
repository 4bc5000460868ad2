//! The store id in a blob store: one small object, which says to which store the blob store belongs.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::local::LocalRoot;
use super::{BlobStore, path};
use crate::domain::StoreId;
use crate::error::Result;

impl BlobStore {
    /// Reads the id of the store to which this blob store belongs; `None` if the id is absent or invalid.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend).
    pub(crate) async fn read_store_id(&self) -> Result<Option<StoreId>> {
        let parse = |text: &[u8]| str::from_utf8(text).ok().and_then(|text| text.trim_end().parse().ok());
        if let Some(local) = &self.backend.local {
            let text = self.briefly_on_disk(local, LocalRoot::read_store_id).await?;
            return Ok(text.as_deref().and_then(parse));
        }
        let found = match self.backend.objects.get(&Path::from(path::STORE_ID)).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(text) => Ok(parse(&text)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Writes the id of the store to which this blob store belongs.
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full), [`Error::Unavailable`](crate::Error::Unavailable) or
    /// [`Error::Backend`](crate::Error::Backend).
    pub(crate) async fn write_store_id(&self, id: StoreId) -> Result<()> {
        let text = PutPayload::from(format!("{id}\n"));
        let written = self.backend.objects.put(&Path::from(path::STORE_ID), text).await;
        written.map(drop).map_err(|error| self.error(error))
    }

    /// The name and the location of this blob store, for messages.
    pub(crate) fn describe_place(&self) -> String {
        format!("{} {}", self.name, self.location)
    }
}
