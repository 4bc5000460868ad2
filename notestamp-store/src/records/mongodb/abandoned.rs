//! Ends the transactions that other processes have left open.
//!
//! A process that dies within a transaction leaves the documents locked that it had written to. The server would abort
//! that transaction by itself, but only after `transactionLifetimeLimitSeconds`, a minute by default. So a process
//! whose call is kept waiting asks the server which transactions are abandoned, and ends their sessions. A user may
//! list and end its own sessions without a special role, and the processes of one store have one user.
//!
//! The server decides with its own clock and its own list of connections. Nothing is registered and no heartbeat is
//! sent, so there is nothing to clean up, and a process that does not wait asks nothing.
//!
//! To end a session of a living process is harmless: it aborts the transaction, and the process retries it or has given
//! it up already. A transaction that is being committed is not idle, so it is left alone.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::DriverInfo;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use tokio_util::task::TaskTracker;

use super::error::Result;

/// A call that takes longer than this may be waiting for an abandoned transaction.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);

/// The pause after a search, so that one process searches no more often than about once a second.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// A transaction that has been idle for this long, and whose last connection is closed, is abandoned.
///
/// The next operation of a living process could come by another connection. But its pauses between two operations are
/// shorter than this, and the driver closes a connection early only after an error.
const UNCONNECTED_IDLE_MIN: Duration = Duration::from_millis(500);

/// A transaction that is idle after this time is abandoned, even if its connection is open: no living process keeps one
/// open for longer than its calls may take. The process stands still, or a router (`mongos`) keeps the connection.
pub(super) const OPEN_TIME_MAX: Duration = Duration::from_secs(6);

/// How long a search may take.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(5);

/// The name by which the server knows the connections of this crate.
const DRIVER_NAME: &str = "notestamp-store";

/// What a client tells the server about itself, so that its transactions are found.
pub(super) fn driver_info() -> DriverInfo {
    DriverInfo::builder().name(DRIVER_NAME.to_owned()).build()
}

/// Searches for abandoned transactions and ends them, one search at a time.
pub(super) struct AbandonedTransactions {
    client: Client,
    /// The tasks that the store waits for when it is closed.
    running: TaskTracker,
    permits: Arc<Semaphore>,
}

impl AbandonedTransactions {
    pub(super) fn new(client: Client, running: TaskTracker) -> Self {
        Self { client, running, permits: Arc::new(Semaphore::new(1)) }
    }

    /// Awaits an operation. While it takes long, abandoned transactions are ended in the background.
    pub(super) async fn unhindered<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        loop {
            match timeout(WAIT_MAX, &mut operation).await {
                Ok(outcome) => return outcome,
                Err(_) => self.end_abandoned_soon(),
            }
        }
    }

    /// Starts a search, unless one is running or has just ended.
    fn end_abandoned_soon(&self) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return };
        let (client, running) = (self.client.clone(), self.running.token());
        tokio::spawn(async move {
            match timeout(SEARCH_TIME_MAX, end_abandoned(&client)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(ended)) => {
                    tracing::warn!(ended, "ended transactions that another process had left open");
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = %error, "cannot look for abandoned transactions");
                }
                Err(_) => tracing::debug!("a look for abandoned transactions took too long"),
            }
            drop(running);
            sleep(SEARCH_PAUSE).await;
            drop(permit);
        });
    }
}

/// Ends the sessions whose transactions are abandoned; returns their count.
async fn end_abandoned(client: &Client) -> Result<usize> {
    let admin = client.database("admin");
    let mut found = admin.aggregate(operations()).await?.with_type::<Operation>();
    let mut connections = HashSet::new();
    let mut transactions = Vec::new();
    while let Some(operation) = found.try_next().await? {
        let connection = operation.connection();
        match operation.transaction.zip(operation.lsid) {
            Some((times, session)) if operation.kind == IDLE_SESSION => {
                transactions.push((connection, times, session.id));
            }
            _ => connections.extend(connection),
        }
    }
    transactions.retain(|(connection, times, _)| {
        let is_connected = connection.as_ref().is_none_or(|connection| connections.contains(connection));
        times.is_abandoned(is_connected)
    });
    if transactions.is_empty() {
        return Ok(0);
    }
    let sessions: Vec<Document> = transactions.into_iter().map(|(_, _, id)| doc! { "id": id }).collect();
    let ended = sessions.len();
    admin.run_command(doc! { "killSessions": sessions }).await?;
    Ok(ended)
}

/// What the server calls the kind of an open transaction that waits for its next operation.
const IDLE_SESSION: &str = "idleSession";

/// The idle transactions of this crate, and the connections, of this user.
fn operations() -> Vec<Document> {
    let ours = doc! { "type": IDLE_SESSION, "clientMetadata.driver.name": { "$regex": DRIVER_NAME } };
    let connection = doc! { "type": { "$ne": IDLE_SESSION }, "connectionId": { "$exists": true } };
    vec![
        doc! { "$currentOp": { "allUsers": false, "idleSessions": true, "idleConnections": true } },
        doc! { "$match": { "$or": [ours, connection] } },
        doc! { "$project": {
            "type": 1,
            "host": 1,
            "connection": { "$toString": "$connectionId" },
            "lsid.id": 1,
            "transaction.timeOpenMicros": 1,
            "transaction.timeInactiveMicros": 1,
        } },
    ]
}

#[derive(Deserialize)]
struct Operation {
    #[serde(rename = "type")]
    kind: String,
    host: Option<String>,
    connection: Option<String>,
    lsid: Option<SessionOfServer>,
    transaction: Option<Times>,
}

impl Operation {
    /// A connection, whose id is unique at its node.
    fn connection(&self) -> Option<(Option<String>, String)> {
        Some((self.host.clone(), self.connection.clone()?))
    }
}

#[derive(Deserialize)]
struct SessionOfServer {
    id: mongodb::bson::Bson,
}

/// For how long a transaction has been open and idle, by the server's clock.
#[derive(Deserialize)]
struct Times {
    #[serde(rename = "timeOpenMicros")]
    open_micros: i64,
    #[serde(rename = "timeInactiveMicros")]
    idle_micros: i64,
}

impl Times {
    fn is_abandoned(&self, is_connected: bool) -> bool {
        let lasts =
            |micros: i64, limit: Duration| u128::try_from(micros).is_ok_and(|it| it > limit.as_micros());
        lasts(self.open_micros, OPEN_TIME_MAX)
            || !is_connected && lasts(self.idle_micros, UNCONNECTED_IDLE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_abandoned_after_its_longest_time_or_soon_after_its_connection() {
        let of = |open: Duration, idle: Duration| Times {
            open_micros: i64::try_from(open.as_micros()).unwrap(),
            idle_micros: i64::try_from(idle.as_micros()).unwrap(),
        };
        let second = Duration::from_secs(1);
        assert!(!of(5 * second, 5 * second).is_abandoned(true));
        assert!(of(7 * second, second / 10).is_abandoned(true));
        assert!(!of(5 * second, second / 10).is_abandoned(false), "its next operation may be on the way");
        assert!(of(second, second).is_abandoned(false));
    }
}
