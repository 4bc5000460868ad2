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
            for attempt in 0.. {
                match transaction.attempt(context, &step).await {
                    Err(failure) if failure.is_transient() => last = Some(failure.to_string()),
                    outcome => return outcome,
                }
                sleep(transaction.pause(attempt)).await;
            }
            unreachable!("the attempts have no end")
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
        for attempt in 0.. {
            match self.session.commit_transaction().await {
                Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                    sleep(self.pause(attempt)).await;
                }
                outcome => return outcome,
            }
        }
        unreachable!("the attempts have no end")
    }

    /// How long to wait before the next attempt: longer each time, and not as long as whoever collided with us.
    ///
    /// No two transactions that run at the same moment share a session, so its random id spreads them.
    fn pause(&self, attempt: usize) -> Duration {
        let spread = match self.session.id().get("id") {
            Some(Bson::Binary(id)) => id.bytes.get(attempt % 16).copied().unwrap_or(0),
            _ => 0,
        };
        let step = PAUSE_MIN * 2_u32.pow(u32::try_from(attempt.min(DOUBLINGS_MAX)).expect("it is small"));
        step / 2 + step * u32::from(spread) / 256
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
