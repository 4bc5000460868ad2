//! Steps over several documents: one transaction each, done again as a whole until it is committed or its time is up.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mongodb::ClientSession;
use mongodb::bson::Bson;
use mongodb::error::{Error as DriverError, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, SessionOptions, TransactionOptions};
use tokio::time::{sleep, timeout};

use super::collections::Collections;
use super::error::{Failure, Result as StepResult};
use super::{MongoDbMetadata, TIME_MAX, durable, primary};
use crate::error::Result;

/// A transaction that is under way: what is read and written with its session belongs to it.
pub(super) struct Transaction {
    pub(super) session: ClientSession,
    pub(super) collections: Collections,
}

impl MongoDbMetadata {
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
        let _running = self.begin()?;
        let mut last = None;
        let committed = timeout(TIME_MAX, async {
            let options = SessionOptions::builder().default_transaction_options(options()).build();
            let session = self.client.start_session().with_options(options).await?;
            let mut transaction = Transaction { session, collections: self.collections.clone() };
            let mut attempts = 0;
            loop {
                match transaction.attempt(context, &step).await {
                    Err(failure) if failure.is_transient() => last = Some(failure.to_string()),
                    outcome => return outcome,
                }
                sleep(transaction.pause(attempts)).await;
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
                // The server has aborted it already where it was the server that refused, and says so.
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
