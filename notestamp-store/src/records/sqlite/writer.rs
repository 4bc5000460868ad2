//! The one writer: a thread that commits what waits together.
//!
//! A commit costs a sync of the disk, however much is in it. So the thread takes one step, and with it all that
//! came while the disk was busy, and commits them in one transaction: many savers pay for one sync, and a
//! lone one waits for nobody. Each step runs in a savepoint of its own, so that one that fails
//! leaves its neighbours alone, and nobody is answered before the commit.
//!
//! Where no space is left, the reserve is given up for the essential steps, which are run again.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::{BatchFailure, Failure, Result};
use super::file::log_bytes;
use super::lock::ExclusiveLock;
use crate::disk::Reserve;
use crate::error::error_chain;

/// How many steps are committed together at most: beyond that a sync is cheap next to the steps
/// themselves, and those who wait would wait longer.
const BATCH_STEPS_MAX: usize = 256;

/// How many steps may wait; whoever comes then waits for a place.
const QUEUE_STEPS_MAX: usize = 1_024;

/// From which length on the write-ahead log is put back into the database until nothing is left in it.
///
/// SQLite does that by itself at 4 MiB, but only as far as no query that is under way still reads an older state, and
/// where some query always is, never to the end. Then the writer waits for those queries.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// By how much the log may grow before that is tried again, where a query takes longer than the writer waits.
const LOG_BYTES_STEP: u64 = 4 << 20;

/// Which space a step may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Priority {
    /// That which is free.
    Ordinary,
    /// The reserve too: it frees space, ends access, or is needed to ask for either.
    Essential,
}

/// Hands steps to the writer thread.
///
/// Dropping it, like [`close`](Self::close), waits for the thread to do what it has accepted.
#[derive(Debug)]
pub(super) struct Writer {
    handles: Mutex<Handles>,
}

/// Both are none once it is closed.
#[derive(Debug)]
struct Handles {
    queue: Option<mpsc::Sender<Box<dyn Step>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Starts the thread. It keeps the lock until it has closed the connection.
    pub(super) fn start(
        connection: Connection,
        lock: ExclusiveLock,
        reserve: Reserve,
        path: &Path,
    ) -> Result<Self> {
        let (queue, steps) = mpsc::channel(QUEUE_STEPS_MAX);
        let thread = thread::Builder::new().name("notestamp-sqlite".to_owned());
        let database = Database { connection, path: path.to_owned(), reserve, log_bytes_max: LOG_BYTES_MAX };
        let thread = thread.spawn(move || write_all(database, steps, lock));
        let failed = |source| Failure::Io { verb: "start the writer of", path: path.to_owned(), source };
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { handles: Mutex::new(Handles { queue: Some(queue), thread }) })
    }

    /// Runs a step in a transaction, and answers once that is committed.
    ///
    /// A step that fails is undone, and may then be run again. One whose caller goes away meanwhile is done nevertheless.
    pub(super) async fn write<T, F>(&self, priority: Priority, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        let queue = self.handles().queue.clone().ok_or(Failure::Closed)?;
        let (answer, answered) = oneshot::channel();
        let step = Box::new(AnsweredStep { priority, run, outcome: None, answer });
        queue.send(step).await.map_err(|_| Failure::Closed)?;
        // Held any longer, it would keep a thread alive that has been told to end.
        drop(queue);
        answered.await.unwrap_or(Err(Failure::Closed))
    }

    /// Accepts no more steps, does those that it has accepted, and closes the connection. Blocks.
    ///
    /// Done again, it does nothing.
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
                "the database was not closed in good order"
            );
        }
    }
}

/// What the thread does.
fn write_all(
    mut database: Database,
    mut steps: mpsc::Receiver<Box<dyn Step>>,
    lock: ExclusiveLock,
) -> Result<()> {
    let mut batch = Vec::new();
    while steps.blocking_recv_many(&mut batch, BATCH_STEPS_MAX) > 0 {
        database.write(mem::take(&mut batch));
    }
    // Closing would do the same, but would not say what went wrong.
    let checkpointed = database.checkpoint();
    let closed = database.connection.close().map_err(|(_, error)| error);
    drop(lock);
    checkpointed?;
    Ok(closed?)
}

/// What the thread writes to.
struct Database {
    connection: Connection,
    path: PathBuf,
    reserve: Reserve,
    /// How long the log may become before it is put back into the database again.
    log_bytes_max: u64,
}

impl Database {
    fn write(&mut self, mut batch: Vec<Box<dyn Step>>) {
        let committed = self.commit(&mut batch);
        let (essential, done): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|step| step.priority() == Priority::Essential && step.is_short_of_space(&committed));
        done.into_iter().for_each(|step| step.answer(&committed));
        if !essential.is_empty() {
            self.write_from_reserve(essential, committed);
        }
        self.reserve.complete();
        self.keep_log_short();
    }

    /// Runs steps again that have failed for lack of space, in the space that the reserve gives.
    fn write_from_reserve(&mut self, steps: Vec<Box<dyn Step>>, failed: Committed) {
        if !self.reserve.release() {
            return steps.into_iter().for_each(|step| step.answer(&failed));
        }
        // One by one: together they might need more than there is, and the log is used over again between them.
        let commit = |mut step| (self.commit(std::slice::from_mut(&mut step)), step);
        let committed: Vec<_> = steps.into_iter().map(commit).collect();
        // Before the responses, after which a client's next write could take the space.
        self.reserve.restore();
        committed.into_iter().for_each(|(committed, step)| step.answer(&committed));
    }

    fn commit(&mut self, batch: &mut [Box<dyn Step>]) -> Committed {
        let committed = commit(&mut self.connection, &self.path, batch);
        committed.map_err(|failure| Arc::new(failure.find_reason(&self.path)))
    }

    /// Puts the whole log back into the database, which may have to grow for it; returns whether no query stood in the
    /// way for longer than the writer waits.
    fn checkpoint(&mut self) -> Result<bool> {
        let checkpoint = |connection: &Connection, path: &Path| {
            let is_busy = connection.query_one("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
            is_busy.map(|is_busy: bool| !is_busy).map_err(|error| Failure::from(error).find_reason(path))
        };
        match checkpoint(&self.connection, &self.path) {
            Err(failure) if failure.is_full() && self.reserve.release() => {
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
            "the write-ahead log of the database grows: something reads an old state of it"
        );
    }
}

type Committed = Result<(), Arc<BatchFailure>>;

/// Runs all steps in one transaction. Where it fails, no step has changed anything, unless
/// the commit itself was cut short by an error of the disk.
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

/// A step that waits to be run, and then to be answered.
trait Step: Send {
    fn priority(&self) -> Priority;

    /// Runs it on the database at `path`; says whether it is to be kept.
    fn run(&mut self, connection: &Connection, path: &Path) -> bool;

    /// Whether it has failed for lack of space, by itself or with its batch.
    fn is_short_of_space(&self, committed: &Committed) -> bool;

    /// Answers the caller, if it still listens.
    fn answer(self: Box<Self>, committed: &Committed);
}

struct AnsweredStep<T, F> {
    priority: Priority,
    run: F,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Step for AnsweredStep<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T> + Send,
{
    fn priority(&self) -> Priority {
        self.priority
    }

    fn run(&mut self, connection: &Connection, path: &Path) -> bool {
        // Nothing that a panic may leave half done is looked at again: its savepoint is rolled back.
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

    fn answer(self: Box<Self>, committed: &Committed) {
        let answer = match (self.outcome, committed) {
            // What it found may have been a neighbour's doing, which is undone.
            (Some(Ok(_) | Err(Failure::Outcome(_))) | None, Err(failure)) => Err(Arc::clone(failure).into()),
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => unreachable!("a batch is committed after all its steps have been run"),
        };
        // A caller that has gone away needs no answer.
        drop(self.answer.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    type Answer = oneshot::Receiver<Result<usize>>;

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

    fn step(run: impl Fn(&Connection) -> Result<usize> + Send + 'static) -> (Box<dyn Step>, Answer) {
        let (answer, answered) = oneshot::channel();
        (Box::new(AnsweredStep { priority: Priority::Ordinary, run, outcome: None, answer }), answered)
    }

    fn insert(n: i64) -> impl Fn(&Connection) -> Result<usize> + Send {
        move |connection| Ok(connection.execute("INSERT INTO it VALUES (?1)", [n])?)
    }

    fn run<const N: usize>(
        connection: &mut Connection,
        steps: [(Box<dyn Step>, Answer); N],
    ) -> [Result<usize, Error>; N] {
        let (mut batch, answers): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let committed = commit(connection, Path::new(":memory:"), &mut batch).map_err(Arc::new);
        batch.drain(..).for_each(|step| step.answer(&committed));
        let answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap().map_err(Error::from));
        answers.collect::<Vec<_>>().try_into().unwrap()
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
        let answers = run(&mut connection, [step(insert(1)), step(half_done), step(insert(3))]);
        assert!(matches!(answers, [Ok(1), Err(Error::Backend { .. }), Ok(1)]), "{answers:?}");
        assert_eq!(kept(&connection), [1, 3]);
    }

    #[test]
    fn a_panicking_step_is_undone_and_answered() {
        let mut connection = database();
        let panics = |connection: &Connection| {
            insert(2)(connection)?;
            panic!("on purpose")
        };
        let answers = run(&mut connection, [step(insert(1)), step(panics), step(insert(3))]);
        let [Ok(1), Err(Error::Backend { source, .. }), Ok(1)] = answers else { panic!("{answers:?}") };
        assert_eq!(source.to_string(), "a step panicked: on purpose");
        assert_eq!(kept(&connection), [1, 3]);
    }

    #[test]
    fn a_failing_commit_is_answered_to_all_and_keeps_nothing() {
        let mut connection = database();
        let taken = |_: &Connection| Err(Error::AlreadyExists { what: "what a neighbour made" }.into());
        let orphan = |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (9)", ())?);
        let answers = run(&mut connection, [step(insert(1)), step(orphan), step(taken)]);
        assert!(answers.iter().all(|it| matches!(it, Err(Error::Corrupt(_)))), "{answers:?}");
        assert!(kept(&connection).is_empty());

        let answers = run(&mut connection, [step(insert(1))]);
        assert!(matches!(answers, [Ok(1)]), "the next batch is unharmed: {answers:?}");
    }

    #[test]
    fn a_full_disk_is_full_and_harms_no_later_batch() {
        let mut connection = database();
        connection.execute_batch("CREATE TABLE large (bytes BLOB) STRICT").unwrap();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + 1, |_| Ok(())).unwrap();
        let large = |connection: &Connection| {
            Ok(connection.execute("INSERT INTO large VALUES (zeroblob(1000000))", ())?)
        };
        let answers = run(&mut connection, [step(insert(1)), step(large), step(insert(3))]);
        let [first, Err(Error::Full { .. }), last] = answers else { panic!("{answers:?}") };
        let answered: Vec<i64> =
            [(1, first), (3, last)].into_iter().filter_map(|(n, it)| it.ok().map(|_| n)).collect();
        assert_eq!(kept(&connection), answered);

        let answers = run(&mut connection, [step(insert(4))]);
        assert!(matches!(answers, [Ok(1)]), "{answers:?}");
    }

    #[test]
    fn a_rollback_of_the_whole_transaction_is_answered_to_all() {
        let mut connection = database();
        let rolls_back =
            |connection: &Connection| Ok(connection.execute("INSERT OR ROLLBACK INTO it VALUES (1)", ())?);
        let answers = run(&mut connection, [step(insert(1)), step(rolls_back), step(insert(3))]);
        let [Err(Error::Unavailable { .. }), Err(Error::Backend { .. }), Err(Error::Unavailable { .. })] =
            answers
        else {
            panic!("{answers:?}")
        };
        assert!(kept(&connection).is_empty());
    }
}
