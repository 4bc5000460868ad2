//! All records in one SQLite file: the embedded default, nothing to install.

mod error;
mod file;
mod listing;
mod lock;
mod ngrams;
mod objects;
mod projects;
mod readers;
mod schema;
mod sessions;
mod users;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use self::error::Failure;
use self::lock::ExclusiveLock;
use self::readers::{BUSY_TIMEOUT, Readers, STATEMENTS_MAX};
use self::writer::Writer;
use super::RecordStore;
use crate::durability::Durability;
use crate::error::Result;

const BACKEND: &str = "sqlite";

/// Keeps all records in one SQLite file, which no other process can have open meanwhile.
///
/// - A write-ahead log lies beside the file while it is open, and a lock file (`….lock`) always. To back it up
///   while it is open use SQLite's own means (`VACUUM INTO`, `.backup`), not a copy of the file.
/// - Writes go through one thread, which commits together what came together; reads run beside them
///   and see all that has been answered.
/// - [`close`](RecordStore::close) ends it in good order. Dropping it does too, but blocks the
///   thread that drops it until the accepted writes are done.
///
/// ```
/// use notestamp_store::records::{RecordStore, SqliteRecords};
/// use notestamp_store::{Durability, Error};
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("metadata.db");
/// let store = SqliteRecords::open(&path, Durability::Full).await?;
/// let again = SqliteRecords::open(&path, Durability::Full).await;
/// assert!(matches!(again, Err(Error::InUse { .. })));
/// store.close().await?;
/// # Ok::<(), Error>(())
/// # }).expect("it works");
/// ```
#[derive(Debug)]
pub struct SqliteRecords {
    // In this order they are dropped: whoever closes the last connection tidies up the log, and only
    // the writer can.
    readers: Readers,
    writer: Arc<Writer>,
}

impl SqliteRecords {
    /// Opens the database at `path`, and creates it there if need be, readable by its owner
    /// only; the folder must exist.
    ///
    /// # Errors
    /// - [`Error::InUse`](crate::Error::InUse) where another process, or another part of this one, has it open.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) where the file is damaged, or is something else.
    /// - [`Error::Backend`](crate::Error::Backend) where a newer version of this crate has written
    ///   it; it is left as it is.
    pub async fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let opened = spawn_blocking(move || Self::open_blocking(&path, durability));
        Ok(opened.await.map_err(Failure::from)??)
    }

    fn open_blocking(path: &Path, durability: Durability) -> Result<Self, Failure> {
        let path = file::resolve(path)?;
        let lock = ExclusiveLock::acquire(&path)?;
        file::create_if_missing(&path, durability)?;
        let mut connection = connect(&path, durability)?;
        schema::migrate(&mut connection, &path)?;
        let writer = Arc::new(Writer::start(connection, lock, &path)?);
        Ok(Self { readers: Readers::new(path), writer })
    }

    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.readers.read(query).await?)
    }

    async fn write<T, F>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.writer.write(step).await?)
    }
}

/// A limit as SQLite counts rows: there are never more than it can count.
fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Connects for writing.
fn connect(path: &Path, durability: Durability) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |mode| mode.get(0))?;
    if mode != "wal" {
        return Err(Failure::NoWriteAheadLog { path: path.to_owned() });
    }
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

#[async_trait]
impl RecordStore for SqliteRecords {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<()> {
        self.read(|connection| {
            let any_user = "SELECT EXISTS (SELECT 1 FROM users)";
            Ok(connection.prepare_cached(any_user)?.query_one((), |_| Ok(()))?)
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await?;
        let writer = Arc::clone(&self.writer);
        Ok(spawn_blocking(move || writer.close()).await.map_err(Failure::from)??)
    }
}
