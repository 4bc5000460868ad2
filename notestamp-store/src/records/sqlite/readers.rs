//! Readers beside the writer: a few connections that can only read, used on the blocking pool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{Failure, Result};

/// How many read at the same moment; whoever comes then waits.
const READERS_MAX: u32 = 4;

/// How many statements a connection keeps prepared: more than there are.
pub(super) const STATEMENTS_MAX: usize = 128;

/// How long to wait for another process that has the database locked, such as one that backs it up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs queries. Each sees at least all that was committed before it began (SQLite, "Write-Ahead
/// Logging", 2.2), so what has been answered is seen.
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
    /// Readers of the database at `path`, which is in WAL mode and open. They connect when there is
    /// something to read.
    pub(super) fn new(path: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(READERS_MAX as usize));
        Self { turns, pool: Arc::new(Pool { path, idle: Mutex::default() }) }
    }

    /// Runs a query of one statement, which is one instant; several need a transaction of their own.
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

    /// Waits for the queries that are under way and closes the connections; later queries are refused.
    pub(super) async fn close(&self) -> Result<()> {
        // It fails where they have been closed already.
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
        // Reading needs no space on a disk.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
