//! Readers beside the writer: a few read-only connections, used on the blocking pool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{Failure, Result};

/// How many reads run concurrently; further reads wait.
const READERS_MAX: u32 = 4;

/// How many prepared statements a connection caches: more than this backend has.
pub(super) const STATEMENTS_MAX: usize = 128;

/// How long to wait while another process has the database locked, for example for a backup.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs queries. Each sees at least everything that was committed before it began (SQLite, "Write-Ahead Logging",
/// 2.2), and so every completed write.
#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of the database at `path`, which is in WAL mode and open. A connection is opened when a query needs it.
    pub(super) fn new(path: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(READERS_MAX as usize));
        Self { turns, pool: Arc::new(Pool { path, idle: Mutex::default() }) }
    }

    /// Runs a query of one statement, which reads one snapshot. A query of several statements needs its own
    /// transaction.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Failure::Closed)?;
        let pool = Arc::clone(&self.pool);
        let done = spawn_blocking(move || {
            let connection = pool.take()?;
            let outcome = query(&connection);
            pool.idle().push(connection);
            drop(turn);
            outcome
        });
        done.await?
    }

    /// Waits for the running queries and closes the connections; later queries are refused.
    pub(super) async fn close(&self) -> Result<()> {
        // Acquiring fails if the readers have been closed already.
        if let Ok(turns) = self.turns.acquire_many(READERS_MAX).await {
            self.turns.close();
            drop(turns);
        }
        let idle = std::mem::take(&mut *self.pool.idle());
        Ok(spawn_blocking(move || drop(idle)).await?)
    }
}

impl Pool {
    fn take(&self) -> Result<Connection> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // Temporary data stays in memory, so that a read needs no space on the disk.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
