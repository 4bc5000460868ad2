//! The embedded default: everything of a store in one local folder.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Store, StoreBuilder};
use crate::blob::{BlobStore, BlobUrl};
use crate::data_folder::DataFolder;
use crate::domain::ObjectKind;
use crate::durability::Durability;
use crate::error::{Error, Result};
use crate::records::SqliteRecords;

impl Store {
    /// Opens the store in a folder, which is created if it does not exist: the records in SQLite, notes and media in
    /// files. It has the default settings, and the layout of a [`DataFolder`], so a folder of the server can be opened
    /// too.
    ///
    /// # Errors
    /// - [`Error::InUse`] if a process, such as a server, has the folder open.
    /// - [`Error::ForeignStore`] if a part of the folder belongs to another store.
    /// - If the folder cannot be created, read or written.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let place = tempfile::tempdir()?;
    /// # let path = place.path().join("library");
    /// use notestamp_store::Store;
    ///
    /// let store = Store::in_folder(path).await?;
    /// store.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn in_folder(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder_in_folder(path, Durability::Full).await?.open().await
    }

    /// Starts to build the store in a folder, to choose its settings and how durable its writes are.
    ///
    /// # Errors
    /// Those of [`in_folder`](Self::in_folder).
    pub async fn builder_in_folder(path: impl AsRef<Path>, durability: Durability) -> Result<StoreBuilder> {
        let folder = DataFolder::new(path.as_ref()).map_err(failed)?;
        let created = folder.clone();
        spawn_blocking(move || created.create(durability)).await.map_err(failed)?.map_err(failed)?;
        let records = SqliteRecords::open(folder.sqlite_file(), durability).await?;
        let blobs = |path| BlobUrl::folder(path).expect("the path of the folder is absolute");
        let (notes, media) = (blobs(folder.notes_folder()), blobs(folder.media_folder()));
        let notes = BlobStore::open(ObjectKind::Notes, &notes, durability).await?;
        let media = BlobStore::open(ObjectKind::Media, &media, durability).await?;
        Ok(Self::builder(Arc::new(records), notes, media))
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Backend { backend: "data folder", source: error.into() }
}
