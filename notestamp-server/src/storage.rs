//! Opens the stores that the configuration names.

use std::sync::Arc;

#[cfg(feature = "mongodb")]
use notestamp_store::records::MongoDbRecords;
use notestamp_store::records::{MemoryRecords, RecordStore, SqliteRecords};
use notestamp_store::{
    BlobStore, Clock, DataFolderError, Error, ObjectKind, SessionTtl, Store, StoreBuilder, StoreSettings,
};

use crate::config::{Config, RecordsUrl, Retention, SESSIONS_OPEN_MAX, Storage, Sweep, UPLOADS_AT_ONCE_MAX};

/// Why the stores cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The data folder cannot be created or written to.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// A store cannot be opened.
    #[error("cannot open {store}")]
    Open {
        /// Which store, and where it is.
        store: String,
        /// The error of the store.
        #[source]
        source: Error,
    },
}

/// The settings of the store of a running server.
pub fn settings(config: &Config) -> StoreSettings {
    StoreSettings {
        media_bytes_max: config.limits.media_bytes_max,
        notes_bytes_max: config.limits.notes_bytes_max,
        quota_bytes_max: config.limits.quota_bytes,
        projects_max: config.limits.projects_max,
        sessions_open_max: SESSIONS_OPEN_MAX,
        uploads_at_once_max: UPLOADS_AT_ONCE_MAX,
        memory_bytes_max: config.limits.memory_bytes_max,
        session_ttl: SessionTtl {
            access: config.tokens.access_ttl,
            refresh: config.tokens.refresh_ttl,
            session_max: config.tokens.session_max,
        },
        ..sweep_settings(&config.storage, &config.sweep, &config.retention)
    }
}

/// The settings of a store that only sweeps.
pub fn sweep_settings(storage: &Storage, sweep: &Sweep, retention: &Retention) -> StoreSettings {
    StoreSettings {
        dedup: storage.dedup,
        notes_inline_bytes_max: storage.notes_inline_bytes_max,
        sweep_grace: sweep.grace,
        upload_time_max: sweep.upload_max_time,
        history: retention.history,
        trash: retention.trash,
        ..StoreSettings::default()
    }
}

/// Opens the record store and the two blob stores as one [`Store`].
///
/// # Errors
/// If one of them cannot be opened; the message says which.
pub async fn open(
    storage: &Storage,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<Store, StorageError> {
    open_by(storage, settings, clock, StoreBuilder::open).await
}

/// Opens the same stores to check them as they are: keeps the reservations that a killed process has left.
///
/// # Errors
/// Those of [`open`].
pub async fn open_unchanged(
    storage: &Storage,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<Store, StorageError> {
    open_by(storage, settings, clock, |builder| builder.keep_reservations().open()).await
}

/// Opens the same stores to restore a backup into them.
///
/// # Errors
/// Those of [`open`].
pub async fn open_target(
    storage: &Storage,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<Store, StorageError> {
    open_by(storage, settings, clock, |builder| builder.open_restoring().open()).await
}

async fn open_by<F: Future<Output = Result<Store, Error>>>(
    storage: &Storage,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
    open: impl FnOnce(StoreBuilder) -> F,
) -> Result<Store, StorageError> {
    if let Some(folder) = &storage.data_folder {
        folder.create(storage.durability)?;
    }
    let at = |store: String| move |source| StorageError::Open { store, source };
    let durability = storage.durability;
    let records: Arc<dyn RecordStore> = match &storage.records {
        RecordsUrl::Memory => Arc::new(MemoryRecords::new()),
        RecordsUrl::Sqlite(path) => {
            let opened = SqliteRecords::open(path, durability).await;
            Arc::new(opened.map_err(at(format!("the records in {}", storage.records)))?)
        }
        #[cfg(feature = "mongodb")]
        RecordsUrl::MongoDb(url) => {
            let opened = MongoDbRecords::open(url.expose()).await;
            Arc::new(opened.map_err(at(format!("the records in {}", storage.records)))?)
        }
        #[cfg(not(feature = "mongodb"))]
        RecordsUrl::MongoDb(_) => unreachable!("the configuration refuses what this build cannot open"),
    };
    let notes = BlobStore::open(ObjectKind::Notes, &storage.notes, durability).await;
    let notes = notes.map_err(at(format!("the notes in {}", storage.notes)))?;
    let media = BlobStore::open(ObjectKind::Media, &storage.media, durability).await;
    let media = media.map_err(at(format!("the media in {}", storage.media)))?;
    let store = open(Store::builder(records, notes, media).settings(settings).clock(clock)).await;
    store.map_err(at(format!("the store whose records are in {}", storage.records)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_of_the_server_are_those_of_the_store() {
        let defaults = settings(&Config::for_testing());
        assert_eq!(format!("{defaults:#?}"), format!("{:#?}", StoreSettings::default()));
    }
}
