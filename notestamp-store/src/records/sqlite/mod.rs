//! All records in one SQLite file: the embedded default, which needs no server.

mod account;
mod audit;
mod beside;
mod columns;
mod damage;
mod error;
mod file;
mod history;
mod holds;
mod identity;
mod imports;
mod listing;
mod lock;
mod media_use;
mod ngrams;
mod objects;
mod projects;
mod purge;
mod readers;
mod restore_mark;
mod restores;
mod rows;
mod schema;
mod session_cache;
mod sessions;
mod trash;
mod users;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use self::error::{BACKEND, Failure};
use self::lock::ExclusiveLock;
use self::readers::{BUSY_TIMEOUT, Readers, STATEMENTS_MAX};
use self::session_cache::{Commits, SessionCache};
use self::writer::{Priority, Writer};
use super::{DamagedPage, RecordKey, RecordKind, RecordStore, StoreIdentity};
use crate::disk::{self, Reserve};
use crate::domain::{ObjectKind, StoreId, UserId};
use crate::durability::Durability;
use crate::error::Result;
use crate::short_work::ShortWork;

/// Keeps all records in one SQLite file, which one process at a time can have open.
///
/// - Beside the file lie a write-ahead log while it is open, and always a lock file (`….lock`) and a file that
///   reserves space (`….reserve`, 16 MiB), so that deletions, sign-ins and sign-outs succeed on a full disk. To back
///   up an open database use SQLite's own means (`VACUUM INTO`, `.backup`), not a copy of the file.
/// - One thread makes all writes, and commits concurrent writes in one transaction; reads run beside it, and see every
///   completed write.
/// - [`close`](RecordStore::close) shuts down gracefully. Dropping it does too, but blocks the dropping thread until
///   the accepted writes are done.
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
    // Fields are dropped in this order. The last connection to close writes the log back into the database and deletes
    // it, which only the writer's connection can do.
    readers: Readers,
    writer: Arc<Writer>,
    sessions: SessionCache,
    /// Calls that ask how much space is free.
    space_calls: ShortWork,
    path: PathBuf,
}

impl SqliteRecords {
    /// Opens the database at `path`. Creates it, readable by its owner only, if it does not exist; its folder must
    /// exist.
    ///
    /// # Errors
    /// - [`Error::InUse`](crate::Error::InUse) if another process, or another part of this one, has it open.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) if the file is damaged, or is not a database of this crate.
    /// - [`Error::Backend`](crate::Error::Backend) if a newer version of this crate has written it; the file is not
    ///   changed.
    pub async fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let opened = spawn_blocking(move || Self::open_blocking(&path, durability));
        Ok(opened.await.map_err(Failure::from)??)
    }

    fn open_blocking(path: &Path, durability: Durability) -> Result<Self, Failure> {
        let path = file::resolve(path)?;
        let lock = ExclusiveLock::acquire(&path)?;
        let mut reserve = Reserve::find(beside::path(&path, ".reserve"));
        let connection = match prepare(&path, durability) {
            Err(failure) if failure.is_full() && reserve.delete() => prepare(&path, durability)?,
            prepared => prepared?,
        };
        reserve.restore();
        reserve.complete();
        let commits = Commits::default();
        let writer = Arc::new(Writer::start(connection, lock, reserve, &path, commits.clone())?);
        let readers = Readers::new(path.clone());
        let sessions = SessionCache::new(commits);
        Ok(Self { readers, writer, sessions, space_calls: ShortWork::default(), path })
    }

    /// Runs a query that reads only a few rows. It may be run twice.
    async fn look_up<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.readers.look_up(query).await?)
    }

    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.readers.read(query).await?)
    }

    /// Runs a query over many of an account's projects: it takes its turn among those of its account, and leaves
    /// readers free for other queries.
    async fn read_list<T, F>(&self, account: UserId, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.readers.read_list(account, query).await?)
    }

    async fn write<T, F>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.writer.write(Priority::Ordinary, step).await?)
    }

    /// Runs a write that must succeed on a full disk too: it frees space, ends access, or a client needs it to request
    /// either (a sign-in).
    async fn write_essential<T, F>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.writer.write(Priority::Essential, step).await?)
    }

    /// The failure of a write beside the database.
    fn unwritable(&self, source: io::Error) -> Failure {
        Failure::Io { verb: "write to", path: self.path.clone(), source }
    }
}

/// Creates the database if it is absent, connects to it, and migrates its schema.
fn prepare(path: &Path, durability: Durability) -> Result<Connection, Failure> {
    let prepared = || {
        file::create_if_missing(path, durability)?;
        let mut connection = connect(path, durability)?;
        schema::migrate(&mut connection, path)?;
        Ok(connection)
    };
    prepared().map_err(|failure: Failure| failure.find_reason(path))
}

/// The size of the pages of a new database. A save changes about twenty pages, most of them in a few bytes, and each is
/// written whole: with SQLite's default of 4 KiB that is 76 KiB for 2 KiB of notes, with 1 KiB it is 23. Reading a list
/// of 20 from a large database takes a fifth longer, because its trees are one level deeper.
const PAGE_BYTES: u32 = 1 << 10;

/// Opens the connection for writing.
fn connect(path: &Path, durability: Durability) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Only a database that is being created takes it.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
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
    readers::keep_plans(&connection)?;
    // Deleted content is overwritten: otherwise it stays in the file until its space is used again.
    connection.pragma_update(None, "secure_delete", true)?;
    // The writer checkpoints by itself, after it has returned the results.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Otherwise SQLite writes the temporary data of statements to files, on a disk that may be full.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
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

    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity> {
        // The identity exists except at the first start, and reading it needs no space on a full disk.
        match self.look_up(identity::find).await? {
            Some(identity) => Ok(identity),
            None => self.write_essential(move |connection| identity::claim(connection, proposed)).await,
        }
    }

    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()> {
        self.write_essential(move |connection| identity::mark(connection, kind)).await
    }

    async fn find_damaged(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<DamagedPage> {
        self.read(move |connection| damage::find(connection, kind, after.as_ref(), limit)).await
    }

    async fn ping(&self) -> Result<()> {
        let path = self.path.clone();
        let probed = spawn_blocking(move || beside::why_not_writable(&path)).await.map_err(Failure::from)?;
        if let Some(reason) = probed {
            return Err(self.unwritable(reason).into());
        }
        self.read(|connection| {
            let any_user = "SELECT EXISTS (SELECT 1 FROM users)";
            Ok(connection.prepare_cached(any_user)?.query_one((), |_| Ok(()))?)
        })
        .await
    }

    async fn ensure_room(&self) -> Result<()> {
        let path = self.path.clone();
        let asked = self.space_calls.run(move || disk::ensure_room(disk::folder_of(&path)));
        let checked = asked.await.map_err(Failure::from)?;
        Ok(checked.map_err(|full| self.unwritable(full))?)
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await?;
        let writer = Arc::clone(&self.writer);
        Ok(spawn_blocking(move || writer.close()).await.map_err(Failure::from)??)
    }
}
