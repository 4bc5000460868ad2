//! Readers beside the writer: a few read-only connections.
//!
//! A lookup of a few records takes microseconds, a list of an account's projects may take a second. So a lookup runs
//! at once on its caller's thread (see [`ShortWork`]), and a list on the blocking pool. Lists get at most half of the
//! readers, and each account reads one list at a time: a lookup never waits for a list, and the lists of one account
//! delay those of another by no more than the one that is running.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{Failure, Result};
use crate::domain::UserId;
use crate::records::account_queue::AccountQueue;
use crate::short_work::ShortWork;

/// How many reads run concurrently; further reads wait.
const READERS_MAX: u32 = 4;

/// How many of these read lists.
const LISTING_MAX: u32 = 2;

const _: () = assert!(LISTING_MAX < READERS_MAX, "lists leave readers to lookups");

/// How many prepared statements a connection caches: more than this backend has.
pub(super) const STATEMENTS_MAX: usize = 128;

/// How long to wait while another process has the database locked, for example for a backup.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs queries. Each sees at least everything that was committed before it began (SQLite, "Write-Ahead Logging",
/// 2.2), and so every completed write. If its caller's future is dropped, a query is interrupted.
#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    /// Acquired by lists before their turn among all reads.
    listing_turns: Arc<Semaphore>,
    /// Joined by lists before that.
    accounts: AccountQueue,
    lookups: ShortWork,
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
        Self {
            turns: Arc::new(Semaphore::new(READERS_MAX as usize)),
            listing_turns: Arc::new(Semaphore::new(LISTING_MAX as usize)),
            accounts: AccountQueue::default(),
            lookups: ShortWork::default(),
            pool: Arc::new(Pool { path, idle: Mutex::default() }),
        }
    }

    /// Runs a query that reads only a few rows: on this thread, if a reader is free and lookups are fast. It may be run
    /// twice.
    ///
    /// Otherwise it is like [`read`](Self::read).
    pub(super) async fn look_up<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        if self.lookups.may_run_here()
            && let Ok(turn) = self.turns.try_acquire()
        {
            let outcome = self.lookups.watch(|| self.pool.run(Duration::ZERO, &query));
            drop(turn);
            match outcome {
                // On the blocking pool it waits.
                Err(failure) if failure.is_busy() => {}
                outcome => return outcome,
            }
        }
        let lookups = self.lookups.clone();
        self.read(move |connection| lookups.watch(|| query(connection))).await
    }

    /// Runs a query of one statement, which reads one snapshot. A query of several statements needs its own
    /// transaction.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.read_in_turn((), query).await
    }

    /// Like [`read`](Self::read), for a query over many of an account's records.
    pub(super) async fn read_list<T, F>(&self, account: UserId, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        // In this order: of each account only one list waits for a reader, so the accounts take turns.
        let of_account = self.accounts.wait(account).await;
        let listing = Arc::clone(&self.listing_turns).acquire_owned().await.map_err(|_| Failure::Closed)?;
        self.read_in_turn((of_account, listing), query).await
    }

    /// Runs a query. `earlier` are the permits that it holds already; they are released when the query has ended.
    async fn read_in_turn<T, F>(&self, earlier: impl Send + 'static, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Failure::Closed)?;
        let pool = Arc::clone(&self.pool);
        let running = Arc::new(Running::default());
        let _interrupts = InterruptOnDrop(Arc::clone(&running));
        let done = spawn_blocking(move || {
            let outcome = pool.run(BUSY_TIMEOUT, |connection| running.run(connection, query));
            drop((turn, earlier));
            outcome
        });
        done.await?
    }

    /// Runs a query that may take long, in a task of its own. It takes a reader that is for lists.
    pub(super) fn read_apart<T, F>(&self, query: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (turns, listing_turns) = (Arc::clone(&self.turns), Arc::clone(&self.listing_turns));
        let pool = Arc::clone(&self.pool);
        async move {
            let listing = listing_turns.acquire_owned().await.map_err(|_| Failure::Closed)?;
            let turn = turns.acquire_owned().await.map_err(|_| Failure::Closed)?;
            let done = spawn_blocking(move || {
                let outcome = pool.run(BUSY_TIMEOUT, query);
                drop((turn, listing));
                outcome
            });
            done.await?
        }
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

/// Whether a query runs, and how to interrupt it.
#[derive(Default)]
struct Running(Mutex<Phase>);

#[derive(Default)]
enum Phase {
    #[default]
    NotBegun,
    Begun(InterruptHandle),
    /// The connection may run another query by now, which must not be interrupted.
    Ended,
    CallerGone,
}

impl Running {
    /// Runs a query, unless its caller has gone already.
    fn run<T>(&self, connection: &Connection, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        {
            let mut phase = self.phase();
            if matches!(*phase, Phase::CallerGone) {
                return Err(Failure::CallerGone);
            }
            *phase = Phase::Begun(connection.get_interrupt_handle());
        }
        let outcome = query(connection);
        *self.phase() = Phase::Ended;
        outcome
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Interrupts the query when it is dropped, which changes nothing if the query has ended.
struct InterruptOnDrop(Arc<Running>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        // The lock is held meanwhile, so that the query cannot end and pass its connection on.
        let mut phase = self.0.phase();
        match &*phase {
            Phase::NotBegun => *phase = Phase::CallerGone,
            Phase::Begun(query) => query.interrupt(),
            Phase::Ended | Phase::CallerGone => {}
        }
    }
}

impl Pool {
    /// Runs a query, which waits so long while another process has the database locked.
    fn run<T>(&self, busy_timeout: Duration, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.take()?;
        connection.busy_timeout(busy_timeout)?;
        let outcome = query(&connection);
        // An interrupt may have broken the end of a transaction off: such a connection would read an old state.
        if connection.is_autocommit() {
            self.idle().push(connection);
        }
        outcome
    }

    fn take(&self) -> Result<Connection> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        keep_plans(&connection)?;
        // Temporary data stays in memory, so that a read needs no space on the disk.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets no plan depend on bound values. Otherwise SQLite prepares a statement again after each new value for a parameter
/// that could change the plan: a list took a quarter longer.
pub(super) fn keep_plans(connection: &Connection) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use futures_util::{FutureExt, poll};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// Its first row shows that it runs; there is no second one, which it finds out after minutes.
    const ENDLESS: &str = "
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000)
        SELECT i FROM n WHERE i = 1";

    const ADA: UserId = UserId::from_bytes([1; 16]);
    const BOB: UserId = UserId::from_bytes([2; 16]);
    const CARL: UserId = UserId::from_bytes([3; 16]);

    fn readers() -> (Readers, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.db");
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
        (Readers::new(path), folder)
    }

    fn one(connection: &Connection) -> Result<i64> {
        Ok(connection.query_one("SELECT 1", (), |row| row.get(0))?)
    }

    /// An endless query, and the signal that it has begun.
    fn endless() -> (oneshot::Receiver<()>, impl FnOnce(&Connection) -> Result<()> + Send + 'static) {
        let (begins, begun) = oneshot::channel();
        let query = move |connection: &Connection| {
            let mut statement = connection.prepare(ENDLESS)?;
            let mut rows = statement.query(())?;
            rows.next()?;
            begins.send(()).unwrap();
            Ok(rows.next().map(drop)?)
        };
        (begun, query)
    }

    /// A query that ends when the sender is dropped.
    fn held() -> (mpsc::Sender<()>, impl FnOnce(&Connection) -> Result<()> + Send + 'static) {
        let (end, ended) = mpsc::channel();
        let query = move |_: &Connection| {
            ended.recv().expect_err("nothing is sent");
            Ok(())
        };
        (end, query)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_query_of_a_caller_that_has_gone_ends() {
        let (readers, _folder) = readers();
        for is_list in [false, true] {
            let (begun, query) = endless();
            let mut read = match is_list {
                true => readers.read_list(ADA, query).boxed(),
                false => readers.read(query).boxed(),
            };
            assert!(poll!(&mut read).is_pending());
            begun.await.unwrap();
            drop(read);
            let all = timeout(Duration::from_secs(30), readers.turns.acquire_many(READERS_MAX)).await;
            drop(all.expect("the query has ended").unwrap());
            // Its connection is used again, and its account's next list does not wait.
            assert_eq!(readers.pool.idle().len(), 1);
            assert_eq!(readers.read_list(ADA, one).await.unwrap(), 1);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_caller_that_goes_before_its_query_begins_never_runs_it() {
        let running = Arc::new(Running::default());
        drop(InterruptOnDrop(Arc::clone(&running)));
        let connection = Connection::open_in_memory().unwrap();
        let outcome = running.run(&connection, |_| -> Result<()> { panic!("nobody waits for it") });
        assert!(matches!(outcome, Err(Failure::CallerGone)), "{outcome:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_that_has_ended_is_not_interrupted() {
        let running = Arc::new(Running::default());
        let guard = InterruptOnDrop(Arc::clone(&running));
        let connection = Connection::open_in_memory().unwrap();
        running.run(&connection, |_| Ok(())).unwrap();
        let mut next = connection.prepare("SELECT 1 UNION ALL SELECT 2").unwrap();
        let mut rows = next.query(()).unwrap();
        assert!(rows.next().unwrap().is_some());
        drop(guard);
        assert!(rows.next().unwrap().is_some(), "the connection's next query goes on");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lookups_do_not_wait_for_lists() {
        let (readers, _folder) = readers();
        let mut lists = Vec::new();
        let mut ends = Vec::new();
        for account in [ADA, ADA, BOB, CARL, ADA] {
            let (end, query) = held();
            let mut list = readers.read_list(account, query).boxed();
            assert!(poll!(&mut list).is_pending());
            lists.push(list);
            ends.push(end);
        }
        assert_eq!(readers.turns.available_permits(), (READERS_MAX - LISTING_MAX) as usize);
        for _ in 0..10 {
            assert_eq!(readers.read(one).await.unwrap(), 1);
            assert_eq!(readers.look_up(one).await.unwrap(), 1);
        }
        drop(ends);
        for list in lists {
            list.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_lookup_runs_on_the_thread_of_its_caller() {
        let (readers, _folder) = readers();
        let here = thread::current().id();
        let thread = |_: &Connection| Ok(thread::current().id());
        // This machine may be busy: then some lookups seem to be slow, and the next run on the pool.
        while readers.look_up(thread).await.unwrap() != here {}
        assert_ne!(readers.read(thread).await.unwrap(), here);
    }

    #[tokio::test]
    async fn a_lookup_waits_on_the_pool_for_a_database_that_is_locked() {
        let (readers, folder) = readers();
        let locked = Connection::open(folder.path().join("metadata.db")).unwrap();
        locked.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE it (n)").unwrap();
        let here = thread::current().id();
        let look_up = readers.look_up(move |connection| {
            let counted = connection.query_one("SELECT count(*) FROM it", (), |row| row.get(0));
            Ok((counted.map(|count: i64| count)?, thread::current().id()))
        });
        let mut look_up = look_up.boxed();
        assert!(poll!(&mut look_up).is_pending());
        drop(locked);
        let (count, thread) = look_up.await.unwrap();
        assert_eq!(count, 0);
        assert_ne!(thread, here);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_reads_one_list_at_a_time() {
        let (readers, _folder) = readers();
        let ((end, first), (_, second)) = (held(), held());
        let mut first = readers.read_list(ADA, first).boxed();
        let mut second = readers.read_list(ADA, second).boxed();
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert_eq!(readers.listing_turns.available_permits(), LISTING_MAX as usize - 1);
        assert_eq!(readers.read_list(BOB, one).await.unwrap(), 1, "others do not wait for it");
        drop(end);
        first.await.unwrap();
        second.await.unwrap();
    }
}
