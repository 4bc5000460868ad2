use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{BackupError, BlobRef, SnapshotLine};
use crate::blob::ByteStream;
use crate::clock::Timestamp;
use crate::domain::StoreId;

/// What a backup is made of: a store, in this process or in another one.
#[async_trait]
pub trait BackupSource: Send + Sync {
    /// Holds the bytes of the store, and reads its records of one instant.
    async fn begin(&self) -> Result<SourceSnapshot, BackupError>;

    /// Reads the bytes of an object that a line of the snapshot names.
    async fn read(&self, blob: &BlobRef) -> Result<ByteStream, BackupError>;
}

/// The records of a store of one instant. The bytes are held until it is dropped.
pub struct SourceSnapshot {
    /// The id of the store.
    pub store: StoreId,
    /// The instant, by the clock of the store's process.
    pub time: Timestamp,
    /// The records: the accounts first.
    pub lines: BoxStream<'static, Result<SnapshotLine, BackupError>>,
    /// Whether the bytes have been held all the time.
    pub is_held: Box<dyn Fn() -> bool + Send + Sync>,
}
