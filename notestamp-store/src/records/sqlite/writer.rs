//! The only writer: a thread that commits waiting steps in batches.
//!
//! A commit costs one sync of the disk, however many steps it contains. So the thread takes one step and all others
//! that have come while the disk was busy, and commits them in one transaction. Many concurrent saves share one sync,
//! and a single save waits for no other. Each step runs in its own savepoint, so that a failed step leaves the rest of
//! the batch unchanged. A caller gets its result after the commit, never before.
//!
//! If no space is left, the thread frees the reserve and runs the essential steps again.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::beside::log_bytes;
use super::error::{BatchFailure, Failure, Result};
use super::lock::ExclusiveLock;
use super::session_cache::Commits;
use crate::disk::Reserve;
use crate::error::error_chain;

/// The most steps in one batch. In a larger batch a sync is cheap next to the steps themselves, and their callers
/// would wait longer.
const BATCH_STEPS_MAX: usize = 256;

/// The length of the queue; when it is full, further callers wait for a place (backpressure).
const QUEUE_STEPS_MAX: usize = 1_024;

/// How much is written to the write-ahead log between two checkpoints. Between batches, so that no caller waits for one.
///
/// Such a checkpoint waits for no query: it copies the log up to the oldest state that a running query still reads, and
/// the next batch begins at the start of the log if all of it has been copied.
const CHECKPOINT_BYTES: i64 = 4 << 20;

/// The length from which on the writer checkpoints the whole write-ahead log into the database and truncates it.
///
/// Where some query is always running, the other checkpoints never reach the end of the log; then the writer waits for
/// those queries.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How much the log may grow before the next attempt, after a query ran for longer than the writer waits.
const LOG_BYTES_STEP: u64 = 4 << 20;

/// Which disk space a step may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Priority {
    /// Only the free space.
    Ordinary,
    /// The reserve too: the step frees space, ends access, or a client needs it to request either (a sign-in).
    Essential,
}

/// Sends steps to the writer thread.
///
/// Dropping it, like [`close`](Self::close), waits until the thread has done the steps that it accepted.
#[derive(Debug)]
pub(super) struct Writer {
    handles: Mutex<Handles>,
}

/// The queue and the thread; both are `None` once the writer is closed.
#[derive(Debug)]
struct Handles {
    queue: Option<mpsc::Sender<Box<dyn Step>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Starts the thread, which holds the lock until it has closed the connection.
    ///
    /// Each commit is counted before its results are returned.
    pub(super) fn start(
        connection: Connection,
        lock: ExclusiveLock,
        reserve: Reserve,
        path: &Path,
        commits: Commits,
    ) -> Result<Self> {
        let (queue, steps) = mpsc::channel(QUEUE_STEPS_MAX);
        let thread = thread::Builder::new().name("notestamp-sqlite".to_owned());
        let page_bytes = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let database = Database {
            connection,
            path: path.to_owned(),
            reserve,
            log_bytes_max: LOG_BYTES_MAX,
            page_bytes,
            commits,
        };
        let thread = thread.spawn(move || write_all(database, steps, lock));
        let failed = |source| Failure::Io { verb: "start the writer of", path: path.to_owned(), source };
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { handles: Mutex::new(Handles { queue: Some(queue), thread }) })
    }

    /// Runs a step in a transaction, and returns its result after the commit.
    ///
    /// A failed step is rolled back, and may then be run again. A step is done even if its caller is cancelled
    /// meanwhile.
    pub(super) async fn write<T, F>(&self, priority: Priority, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        let queue = self.handles().queue.clone().ok_or(Failure::Closed)?;
        let (sender, result) = oneshot::channel();
        let step = Box::new(QueuedStep { priority, run, outcome: None, sender });
        queue.send(step).await.map_err(|_| Failure::Closed)?;
        // The thread ends when all senders are dropped, so this one must not be held while waiting.
        drop(queue);
        result.await.unwrap_or(Err(Failure::Closed))
    }

    /// Shuts down gracefully: accepts no more steps, does those that it has accepted, and closes the connection.
    /// Blocks.
    ///
    /// Idempotent: a second call does nothing.
    pub(super) fn close(&self) -> Result<()> {
        let (queue, thread) = {
            let mut handles = self.handles();
            (handles.queue.take(), handles.thread.take())
        };
        drop(queue);
        match thread.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed,
            Some(Err(panic)) => Err(Failure::panicked(&*panic)),
        }
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(failure) = self.close() {
            tracing::warn!(
                error = &failure as &dyn std::error::Error,
                "the database was not shut down gracefully"
            );
        }
    }
}

/// The thread's main function.
fn write_all(
    mut database: Database,
    mut steps: mpsc::Receiver<Box<dyn Step>>,
    lock: ExclusiveLock,
) -> Result<()> {
    let mut batch = Vec::new();
    while steps.blocking_recv_many(&mut batch, BATCH_STEPS_MAX) > 0 {
        database.write(mem::take(&mut batch));
    }
    // Closing the connection checkpoints too, but does not report an error.
    let checkpointed = database.checkpoint();
    let closed = database.connection.close().map_err(|(_, error)| error);
    drop(lock);
    checkpointed?;
    Ok(closed?)
}

/// The database, as the thread uses it.
struct Database {
    connection: Connection,
    path: PathBuf,
    reserve: Reserve,
    /// The length of the log at which the next checkpoint is due.
    log_bytes_max: u64,
    /// The size of a page.
    page_bytes: i64,
    commits: Commits,
}

impl Database {
    fn write(&mut self, mut batch: Vec<Box<dyn Step>>) {
        let committed = self.commit(&mut batch);
        let (essential, done): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|step| step.priority() == Priority::Essential && step.is_short_of_space(&committed));
        done.into_iter().for_each(|step| step.report(&committed));
        if !essential.is_empty() {
            self.write_from_reserve(essential, committed);
        }
        self.reserve.complete();
        self.copy_log();
        self.keep_log_short();
    }

    /// Checkpoints what no query needs, if enough has been written since the last time. If that fails, the log grows,
    /// until [`keep_log_short`](Self::keep_log_short) reports it.
    fn copy_log(&mut self) {
        let connection = &self.connection;
        let uncopied = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)").and_then(|mut counts| {
            counts.query_one((), |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
        });
        if uncopied.is_ok_and(|pages| pages * self.page_bytes >= CHECKPOINT_BYTES) {
            let copied = connection.query_one("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
            if let Err(error) = copied {
                tracing::debug!(
                    error = error_chain(&error),
                    "the write-ahead log could not be checkpointed yet"
                );
            }
        }
    }

    /// Runs steps that have failed for lack of space again, in the space of the reserve.
    fn write_from_reserve(&mut self, steps: Vec<Box<dyn Step>>, failed: Committed) {
        if !self.reserve.delete() {
            return steps.into_iter().for_each(|step| step.report(&failed));
        }
        // One by one: together they might need more space than the reserve has, and SQLite can reuse the log between
        // them.
        let commit = |mut step| (self.commit(std::slice::from_mut(&mut step)), step);
        let committed: Vec<_> = steps.into_iter().map(commit).collect();
        // Before the results are returned: after that a client's next write could take the space.
        self.reserve.restore();
        committed.into_iter().for_each(|(committed, step)| step.report(&committed));
    }

    fn commit(&mut self, batch: &mut [Box<dyn Step>]) -> Committed {
        let committed = commit(&mut self.connection, &self.path, batch);
        self.commits.count();
        committed.map_err(|failure| Arc::new(failure.find_reason(&self.path)))
    }

    /// Checkpoints the whole log into the database, which may have to grow for it. Returns false if a query prevented
    /// it for longer than the writer waits.
    fn checkpoint(&mut self) -> Result<bool> {
        let checkpoint = |connection: &Connection, path: &Path| {
            let is_busy = connection.query_one("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
            is_busy.map(|is_busy: bool| !is_busy).map_err(|error| Failure::from(error).find_reason(path))
        };
        match checkpoint(&self.connection, &self.path) {
            Err(failure) if failure.is_full() && self.reserve.delete() => {
                let checkpointed = checkpoint(&self.connection, &self.path);
                self.reserve.restore();
                checkpointed
            }
            checkpointed => checkpointed,
        }
    }

    fn keep_log_short(&mut self) {
        let bytes = log_bytes(&self.path);
        if bytes < self.log_bytes_max {
            return;
        }
        let error = match self.checkpoint() {
            Ok(true) => {
                self.log_bytes_max = LOG_BYTES_MAX;
                return;
            }
            Ok(false) => None,
            Err(failure) => Some(error_chain(&failure)),
        };
        self.log_bytes_max = bytes + LOG_BYTES_STEP;
        tracing::warn!(
            bytes,
            error,
            "the write-ahead log of the database grows: a long read keeps an old state of it"
        );
    }
}

type Committed = Result<(), Arc<BatchFailure>>;

/// Runs all steps in one transaction. After an error no step has changed anything, unless a disk error interrupted the
/// commit itself: then the outcome is unknown.
fn commit(connection: &mut Connection, path: &Path, batch: &mut [Box<dyn Step>]) -> Result<(), BatchFailure> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in batch {
        let savepoint = transaction.savepoint()?;
        let succeeded = step.run(&savepoint, path);
        if savepoint.is_autocommit() {
            return Err(BatchFailure::RolledBack { is_full: step.is_short_of_space(&Ok(())) });
        }
        if succeeded { savepoint.commit()? } else { savepoint.finish()? }
    }
    Ok(transaction.commit()?)
}

/// A step in the queue: first it is run, then its result is sent to its caller.
trait Step: Send {
    fn priority(&self) -> Priority;

    /// Runs it on the database at `path`; returns whether its savepoint is to be committed.
    fn run(&mut self, connection: &Connection, path: &Path) -> bool;

    /// Whether it has failed for lack of space, alone or with its batch.
    fn is_short_of_space(&self, committed: &Committed) -> bool;

    /// Sends the result to the caller, if it still waits.
    fn report(self: Box<Self>, committed: &Committed);
}

struct QueuedStep<T, F> {
    priority: Priority,
    run: F,
    outcome: Option<Result<T>>,
    sender: oneshot::Sender<Result<T>>,
}

impl<T, F> Step for QueuedStep<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T> + Send,
{
    fn priority(&self) -> Priority {
        self.priority
    }

    fn run(&mut self, connection: &Connection, path: &Path) -> bool {
        // No half-done change of a panicked step is read later: its savepoint is rolled back.
        let caught = catch_unwind(AssertUnwindSafe(|| (self.run)(connection)));
        let outcome = caught.unwrap_or_else(|panic| Err(Failure::panicked(&*panic)));
        self.outcome.insert(outcome.map_err(|failure| failure.find_reason(path))).is_ok()
    }

    fn is_short_of_space(&self, committed: &Committed) -> bool {
        match (&self.outcome, committed) {
            (Some(Err(failure)), _) if failure.is_full() => true,
            (_, Err(failure)) => failure.is_full(),
            _ => false,
        }
    }

    fn report(self: Box<Self>, committed: &Committed) {
        let result = match (self.outcome, committed) {
            // The step may have read a change of another step in the batch, which has been rolled back.
            (Some(Ok(_) | Err(Failure::Outcome(_))) | None, Err(failure)) => Err(Arc::clone(failure).into()),
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => unreachable!("a batch is committed after all its steps have been run"),
        };
        // Sending fails if the caller was cancelled, and then the result is not needed.
        drop(self.sender.send(result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    type Outcome = oneshot::Receiver<Result<usize>>;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE it (n INTEGER NOT NULL UNIQUE) STRICT;
                 CREATE TABLE child (n INTEGER REFERENCES it (n) DEFERRABLE INITIALLY DEFERRED) STRICT;",
            )
            .unwrap();
        connection
    }

    fn step(run: impl Fn(&Connection) -> Result<usize> + Send + 'static) -> (Box<dyn Step>, Outcome) {
        let (sender, result) = oneshot::channel();
        (Box::new(QueuedStep { priority: Priority::Ordinary, run, outcome: None, sender }), result)
    }

    fn insert(n: i64) -> impl Fn(&Connection) -> Result<usize> + Send {
        move |connection| Ok(connection.execute("INSERT INTO it VALUES (?1)", [n])?)
    }

    fn run<const N: usize>(
        connection: &mut Connection,
        steps: [(Box<dyn Step>, Outcome); N],
    ) -> [Result<usize, Error>; N] {
        let (mut batch, outcomes): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let committed = commit(connection, Path::new(":memory:"), &mut batch).map_err(Arc::new);
        batch.drain(..).for_each(|step| step.report(&committed));
        let outcomes =
            outcomes.into_iter().map(|mut outcome| outcome.try_recv().unwrap().map_err(Error::from));
        outcomes.collect::<Vec<_>>().try_into().unwrap()
    }

    fn kept(connection: &Connection) -> Vec<i64> {
        let mut statement = connection.prepare("SELECT n FROM it ORDER BY n").unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_failing_step_leaves_its_neighbours_committed() {
        let mut connection = database();
        let half_done = |connection: &Connection| {
            insert(2)(connection)?;
            insert(1)(connection)
        };
        let outcomes = run(&mut connection, [step(insert(1)), step(half_done), step(insert(3))]);
        assert!(matches!(outcomes, [Ok(1), Err(Error::Backend { .. }), Ok(1)]), "{outcomes:?}");
        assert_eq!(kept(&connection), [1, 3]);
    }

    #[test]
    fn a_panicking_step_is_undone_and_reported() {
        let mut connection = database();
        let panics = |connection: &Connection| {
            insert(2)(connection)?;
            panic!("on purpose")
        };
        let outcomes = run(&mut connection, [step(insert(1)), step(panics), step(insert(3))]);
        let [Ok(1), Err(Error::Backend { source, .. }), Ok(1)] = outcomes else { panic!("{outcomes:?}") };
        assert_eq!(source.to_string(), "a step panicked: on purpose");
        assert_eq!(kept(&connection), [1, 3]);
    }

    #[test]
    fn a_failing_commit_is_reported_to_all_and_keeps_nothing() {
        let mut connection = database();
        let taken = |_: &Connection| Err(Error::ObjectExists.into());
        let orphan = |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (9)", ())?);
        let outcomes = run(&mut connection, [step(insert(1)), step(orphan), step(taken)]);
        assert!(outcomes.iter().all(|it| matches!(it, Err(Error::Corrupt(_)))), "{outcomes:?}");
        assert!(kept(&connection).is_empty());

        let outcomes = run(&mut connection, [step(insert(1))]);
        assert!(matches!(outcomes, [Ok(1)]), "the next batch is unharmed: {outcomes:?}");
    }

    #[test]
    fn a_full_disk_is_reported_and_later_batches_succeed() {
        let mut connection = database();
        connection.execute_batch("CREATE TABLE large (bytes BLOB) STRICT").unwrap();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + 1, |_| Ok(())).unwrap();
        let large = |connection: &Connection| {
            Ok(connection.execute("INSERT INTO large VALUES (zeroblob(1000000))", ())?)
        };
        let outcomes = run(&mut connection, [step(insert(1)), step(large), step(insert(3))]);
        let [first, Err(Error::Full { .. }), last] = outcomes else { panic!("{outcomes:?}") };
        let succeeded: Vec<i64> =
            [(1, first), (3, last)].into_iter().filter_map(|(n, it)| it.ok().map(|_| n)).collect();
        assert_eq!(kept(&connection), succeeded);

        let outcomes = run(&mut connection, [step(insert(4))]);
        assert!(matches!(outcomes, [Ok(1)]), "{outcomes:?}");
    }

    #[test]
    fn a_rollback_of_the_whole_transaction_is_reported_to_all() {
        let mut connection = database();
        let rolls_back =
            |connection: &Connection| Ok(connection.execute("INSERT OR ROLLBACK INTO it VALUES (1)", ())?);
        let outcomes = run(&mut connection, [step(insert(1)), step(rolls_back), step(insert(3))]);
        let [Err(Error::Unavailable { .. }), Err(Error::Backend { .. }), Err(Error::Unavailable { .. })] =
            outcomes
        else {
            panic!("{outcomes:?}")
        };
        assert!(kept(&connection).is_empty());
    }
}
