//! Steps over several documents: one transaction each, done again as a whole until it is committed or its time is up.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mongodb::ClientSession;
use mongodb::bson::{Bson, doc};
use mongodb::error::{Error as DriverError, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, SessionOptions, TransactionOptions};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::collections::Collections;
use super::error::{Failure, Result as StepResult};
use super::{MongoDbRecords, TIME_MAX, durable, primary};
use crate::domain::UserId;
use crate::error::Result;

/// A transaction that is under way: what is read and written with its session belongs to it.
pub(super) struct Transaction {
    pub(super) session: ClientSession,
    pub(super) collections: Collections,
}

impl MongoDbRecords {
    /// Runs a step in a transaction, and answers what it answered once that is committed.
    ///
    /// The step may run several times, each time from the beginning: it must not do anything but read and write
    /// in the transaction.
    ///
    /// # Errors
    /// What the step fails with, and then nothing is changed.
    /// [`Error::Unavailable`](crate::Error::Unavailable) where it is not known to be committed after [`TIME_MAX`].
    pub(super) async fn transaction<C, T, F>(&self, context: &C, step: F) -> Result<T>
    where
        C: ?Sized + Sync,
        F: for<'t> Fn(&'t mut Transaction, &'t C) -> BoxFuture<'t, StepResult<T>> + Sync,
    {
        self.transaction_in_turn(None, context, step).await
    }

    /// [`transaction`](Self::transaction), where the step writes to this account.
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
            let _turn = match account {
                Some(account) => Some(self.account_queue.wait(account).await),
                None => None,
            };
            let options = SessionOptions::builder().default_transaction_options(options()).build();
            let session = self.client.start_session().with_options(options).await?;
            let mut running = Running::of(Transaction { session, collections: self.collections.clone() });
            let mut attempts = 0;
            loop {
                match running.transaction().attempt(context, &step).await {
                    Err(failure) if failure.is_transient() => last = Some(failure.to_string()),
                    Ok(answer) => {
                        running.is_committed();
                        return Ok(answer);
                    }
                    Err(failure) => return Err(failure),
                }
                sleep(running.transaction().pause(attempts)).await;
                attempts += 1;
            }
        });
        let committed = committed.await;
        Ok(committed.unwrap_or(Err(Failure::NoAnswer { limit: TIME_MAX, last }))?)
    }
}

impl Transaction {
    async fn attempt<C, T, F>(&mut self, context: &C, step: &F) -> StepResult<T>
    where
        C: ?Sized,
        F: for<'t> Fn(&'t mut Self, &'t C) -> BoxFuture<'t, StepResult<T>>,
    {
        self.session.start_transaction().await?;
        match step(self, context).await {
            Ok(answer) => {
                self.commit().await?;
                Ok(answer)
            }
            Err(failure) => {
                // The server has aborted it already where it was the server that refused, and says so. The driver
                // does not say whether it was told at all.
                drop(self.session.abort_transaction().await);
                Err(failure)
            }
        }
    }

    /// Commits; while nobody knows whether it is committed, that alone is asked again, never the step.
    ///
    /// An answer that is transient after all (there is no such transaction) comes from a majority: it was aborted.
    async fn commit(&mut self) -> Result<(), DriverError> {
        let mut attempts = 0;
        loop {
            match self.session.commit_transaction().await {
                Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                    sleep(self.pause(attempts)).await;
                    attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// How long to wait after so many attempts: longer each time, and not as long as whoever collided with us.
    ///
    /// No two transactions that run at the same moment share a session, so its random id spreads them.
    fn pause(&self, attempts: usize) -> Duration {
        let random = match self.session.id().get("id") {
            Some(Bson::Binary(id)) => id.bytes.get(attempts % 16).copied(),
            _ => None,
        };
        let pause = PAUSE_MIN * (1 << attempts.min(DOUBLINGS_MAX));
        pause / 2 + pause * u32::from(random.unwrap_or(0)) / 256
    }
}

/// A transaction that is not to be left open: unless it is committed when it is dropped, it is ended behind everybody's
/// back. It has failed, and it is not known whether the server was told, or it was in the middle, for lack of time or
/// because nobody waits for it any more.
struct Running(Option<Transaction>);

impl Running {
    fn of(transaction: Transaction) -> Self {
        Self(Some(transaction))
    }

    fn transaction(&mut self) -> &mut Transaction {
        self.0.as_mut().expect("it is not committed")
    }

    /// The server says that it is.
    fn is_committed(&mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(transaction), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(transaction.release());
        }
    }
}

impl Transaction {
    /// Ends it for the server, so that what it has written to is not locked any longer.
    ///
    /// The driver asks for that once and goes its way, but a server that hangs now goes on from there later.
    async fn release(mut self) {
        let released = timeout(RELEASE_TIME_MAX, async {
            while !matches!(timeout(TIME_MAX, self.supersede()).await, Ok(Ok(()))) {
                sleep(RELEASE_PAUSE).await;
            }
        });
        if released.await.is_err() {
            tracing::warn!(
                "a transaction that was given up could not be ended; the server will do so by itself"
            );
        }
    }

    /// Begins another in the same session: that ends this one, and what of it comes late is refused as too old.
    async fn supersede(&mut self) -> Result<(), DriverError> {
        drop(self.session.abort_transaction().await);
        self.session.start_transaction().await?;
        self.collections.meta.find_one(doc! {}).session(&mut self.session).await?;
        self.session.abort_transaction().await
    }
}

/// After that the server has ended it by itself: `transactionLifetimeLimitSeconds`, and the time to notice.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(120);
const RELEASE_PAUSE: Duration = Duration::from_secs(1);

/// About the time of one exchange with a server nearby.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// After that many attempts the pauses grow no more: 64 ms, give or take a half.
const DOUBLINGS_MAX: usize = 5;

/// A snapshot of what a majority has, or will have by the time of the commit; see the module's own page.
fn options() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .selection_criteria(primary())
        .build()
}
