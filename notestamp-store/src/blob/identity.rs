//! Whose a blob store is: one small object of its own says so.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::{BlobStore, path};
use crate::domain::StoreId;
use crate::error::Result;

impl BlobStore {
    /// The id of the store that this one belongs to; absent where it holds none that can be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend).
    pub(crate) async fn read_store_id(&self) -> Result<Option<StoreId>> {
        let found = match self.backend.objects.get(&Path::from(path::STORE_ID)).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(text) => Ok(str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Writes the id of the store that this one belongs to.
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full), [`Error::Unavailable`](crate::Error::Unavailable) or
    /// [`Error::Backend`](crate::Error::Backend).
    pub(crate) async fn write_store_id(&self, id: StoreId) -> Result<()> {
        let text = PutPayload::from(format!("{id}\n"));
        let written = self.backend.objects.put(&Path::from(path::STORE_ID), text).await;
        written.map(drop).map_err(|error| self.error(error))
    }

    /// What it is and where, for people.
    pub(crate) fn describe_place(&self) -> String {
        format!("{} {}", self.name, self.location)
    }
}
