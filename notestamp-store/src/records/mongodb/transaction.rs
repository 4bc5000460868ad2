//! Steps over several documents: one transaction each, retried as a whole until it is committed or its time limit is
//! reached.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mongodb::ClientSession;
use mongodb::bson::{Bson, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{Acknowledgment, ReadConcern, TransactionOptions, WriteConcern};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::collections::Collections;
use super::error::{Failure, Result as StepResult, is_commit_in_doubt};
use super::{MongoDbRecords, TIME_MAX, durable, primary};
use crate::domain::UserId;
use crate::error::Result;
use crate::records::account_queue::Turn;

/// A running transaction: every read and write with its session belongs to it.
pub(super) struct Transaction {
    pub(super) session: ClientSession,
    pub(super) collections: Collections,
}

impl MongoDbRecords {
    /// Runs a step in a transaction, and returns its result after the commit.
    ///
    /// The step may run several times, each time from the beginning: it must be free of side effects outside the
    /// transaction.
    ///
    /// # Errors
    /// - The error of the step: then nothing has changed.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the transaction is not known to be committed after
    ///   [`TIME_MAX`]: then the outcome is unknown.
    pub(super) async fn transaction<C, T, F>(&self, context: &C, step: F) -> Result<T>
    where
        C: ?Sized + Sync,
        F: for<'t> Fn(&'t mut Transaction, &'t C) -> BoxFuture<'t, StepResult<T>> + Sync,
    {
        self.transaction_in_turn(None, context, step).await
    }

    /// Like [`transaction`](Self::transaction), for a step that writes to the user record of this account.
    pub(super) async fn account_transaction<C, T, F>(
        &self,
        account: UserId,
        context: &C,
        step: F,
    ) -> Result<T>
    where
        C: ?Sized + Sync,
        F: for<'t> Fn(&'t mut Transaction, &'t C) -> BoxFuture<'t, StepResult<T>> + Sync,
    {
        self.transaction_in_turn(Some(account), context, step).await
    }

    async fn transaction_in_turn<C, T, F>(&self, account: Option<UserId>, context: &C, step: F) -> Result<T>
    where
        C: ?Sized + Sync,
        F: for<'t> Fn(&'t mut Transaction, &'t C) -> BoxFuture<'t, StepResult<T>> + Sync,
    {
        let _running = self.begin()?;
        let mut last = None;
        let committed = timeout(TIME_MAX, async {
            let mut turn = match account {
                Some(account) => Some(self.account_queue.wait(account).await),
                None => None,
            };
            let session = self.client.start_session().await?;
            let mut running = Running::of(Transaction { session, collections: self.collections.clone() });
            let mut attempts = 0;
            loop {
                match running.transaction().attempt(context, &step, &mut turn).await {
                    Err(failure) if failure.is_transient() => last = Some(failure.to_string()),
                    Ok(value) => {
                        running.is_committed();
                        return Ok(value);
                    }
                    Err(failure) => return Err(failure),
                }
                sleep(running.transaction().pause(attempts)).await;
                attempts += 1;
            }
        });
        let committed = self.abandoned.unhindered(committed).await;
        Ok(committed.unwrap_or(Err(Failure::TimedOut { limit: TIME_MAX, last }))?)
    }
}

impl Transaction {
    /// Runs the step once.
    ///
    /// If others wait for this turn with the account, the transaction is committed in two steps: the turn ends when the
    /// others can see the commit, and the method returns when the commit is durable. So the waits for the journals, up
    /// to a tenth of a second each, do not add up. A later commit is durable only together with this one. The other
    /// transactions are committed in one step.
    async fn attempt<C, T, F>(&mut self, context: &C, step: &F, turn: &mut Option<Turn>) -> StepResult<T>
    where
        C: ?Sized,
        F: for<'t> Fn(&'t mut Self, &'t C) -> BoxFuture<'t, StepResult<T>>,
    {
        let is_awaited = turn.as_ref().is_some_and(Turn::is_awaited);
        let first = if is_awaited { visible() } else { durable() };
        self.session.start_transaction().with_options(options(first)).await?;
        match step(self, context).await {
            Ok(value) => {
                self.commit().await?;
                if is_awaited {
                    *turn = None;
                    // The driver sends a repeated commit with `w: "majority"`.
                    self.commit().await?;
                }
                Ok(value)
            }
            Err(failure) => {
                // If the server refused an operation, it has aborted the transaction already, and this fails. The
                // driver does not report whether the abort reached the server.
                drop(self.session.abort_transaction().await);
                Err(failure)
            }
        }
    }

    /// Commits. While the outcome is unknown, only the commit is retried, never the step.
    ///
    /// If the last response is a transient error after all (there is no such transaction), it comes from a majority:
    /// the transaction was aborted.
    async fn commit(&mut self) -> Result<(), DriverError> {
        let mut attempts = 0;
        loop {
            match self.session.commit_transaction().await {
                Err(error) if is_commit_in_doubt(&error) => {
                    sleep(self.pause(attempts)).await;
                    attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// The pause after this many attempts: longer each time, with a random part, so that transactions that conflicted
    /// do not retry in step.
    ///
    /// The random part comes from the id of the driver's session, which is random and which no concurrent transaction
    /// shares.
    fn pause(&self, attempts: usize) -> Duration {
        let random = match self.session.id().get("id") {
            Some(Bson::Binary(id)) => id.bytes.get(attempts % 16).copied(),
            _ => None,
        };
        let pause = PAUSE_MIN * (1 << attempts.min(DOUBLINGS_MAX));
        pause / 2 + pause * u32::from(random.unwrap_or(0)) / 256
    }
}

/// A transaction that must not be left open: unless it is committed when it is dropped, it is aborted in the
/// background.
///
/// It is dropped uncommitted after an error, when it is not known whether the abort reached the server, or in the
/// middle, when its time limit is reached or its caller is cancelled.
struct Running(Option<Transaction>);

impl Running {
    fn of(transaction: Transaction) -> Self {
        Self(Some(transaction))
    }

    fn transaction(&mut self) -> &mut Transaction {
        self.0.as_mut().expect("it is not committed")
    }

    /// Marks the transaction as committed: dropping it needs no abort.
    fn is_committed(&mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(transaction), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(transaction.abort());
        }
    }
}

impl Transaction {
    /// Aborts the transaction at the server, so that the documents that it has written are no longer locked.
    ///
    /// The driver sends one abort and does not retry it. But a server that hangs at this moment may later continue
    /// with the transaction.
    async fn abort(mut self) {
        let aborted = timeout(ABORT_TIME_MAX, async {
            while !matches!(timeout(TIME_MAX, self.supersede()).await, Ok(Ok(()))) {
                sleep(ABORT_PAUSE).await;
            }
        });
        if aborted.await.is_err() {
            tracing::warn!(
                "a cancelled transaction could not be aborted; the server aborts it by its own time limit"
            );
        }
    }

    /// Begins another transaction in the same session. The server then aborts this one, and refuses its delayed
    /// operations as too old.
    async fn supersede(&mut self) -> Result<(), DriverError> {
        drop(self.session.abort_transaction().await);
        self.session.start_transaction().await?;
        self.collections.meta.find_one(doc! {}).session(&mut self.session).await?;
        self.session.abort_transaction().await
    }
}

/// After this time the server has aborted the transaction by itself: [`TRANSACTION_TIME_OF_SERVER`], plus the time until
/// it checks.
const ABORT_TIME_MAX: Duration = Duration::from_secs(120);
const ABORT_PAUSE: Duration = Duration::from_secs(1);

/// How long a transaction may be open at the server: the default of its `transactionLifetimeLimitSeconds`.
const TRANSACTION_TIME_OF_SERVER: Duration = Duration::from_secs(60);

const _: () = {
    assert!(ABORT_PAUSE.as_millis() + TIME_MAX.as_millis() < ABORT_TIME_MAX.as_millis());
    assert!(
        ABORT_TIME_MAX.as_millis() > TRANSACTION_TIME_OF_SERVER.as_millis(),
        "else a transaction may stay open that nobody aborts"
    );
};

/// About the round-trip time to a nearby server.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// After this many attempts the pauses stop growing: 64 ms, plus or minus a half.
const DOUBLINGS_MAX: usize = 5;

/// Options of a transaction: it reads a snapshot of what a majority has, or will have by the time of the commit; see
/// the module documentation.
fn options(write_concern: WriteConcern) -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(write_concern)
        .selection_criteria(primary())
        .build()
}

/// The write concern of a commit that is to be repeated with a durable one: the primary has made it visible.
fn visible() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Nodes(1)).build()
}
