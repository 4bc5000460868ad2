//! All records in a MongoDB replica set, which any number of server processes share.
//!
//! # Which reads and writes see what
//!
//! A *write* completes when a majority of the nodes has it in its journal (`w: "majority", j: true`). So it survives
//! the loss of any node, and every later primary has it.
//!
//! A *read* goes to the primary, with read concern `local` except for two cases. The primary has all completed writes,
//! and a new primary has them from its first moment on. With `majority` a new primary lags until it has committed a
//! write of its own, and a session that was signed out could be found open meanwhile. What `local` may show too early
//! is a write that has not completed yet, and that an election may roll back. So a read on which an *irreversible*
//! action depends uses `majority`: the bytes of a doomed object are deleted, so its doom must not be rolled back.
//!
//! The nodes are selected by their role, never by their address alone. A URL with a direct connection to one node is
//! refused: the driver would read from that node even if it has fallen behind.
//!
//! The other case is the read of a session, which may have been ended at a new primary. It must not come from a
//! primary that has been replaced and does not know it, because it stood still or is cut off. If the set has several
//! nodes, this read is `linearizable`: a majority confirms the primary before it responds. The later reads of the same
//! request are as new as the request itself, since that primary had every write that completed before the request
//! began. The confirmation costs one exchange with the nodes (about 3 ms, while a local read takes 0.3 ms). A set of
//! one node reads with `local`: its only node cannot be replaced, and a linearizable read there would wait for the
//! next flush of its journal, about a tenth of a second.
//!
//! A *step over several documents* is a transaction with its own snapshot. If two transactions write the same document
//! (a write conflict), one of them is aborted and retried. So:
//!
//! - A transaction that relies on a document writes to it: first to the user record, then to every ledger row of a
//!   plan. MongoDB does not count a write that changes nothing, so each of these writes increments `writes`.
//! - A session is started in a transaction that writes to its user record, so that it conflicts with the removal of
//!   the account. A session is also ended early in such a transaction: an operation by that session writes to the user
//!   record and only reads the session, so that one of the two transactions is retried. Rotating or confirming a
//!   session reads the user record first and then changes one document, without a transaction. Either it comes before
//!   the removal, or its change is never found, since every lookup of a session checks that its account exists.
//! - A lookup of one record checks that the account exists after it has read the record. A removed account never comes
//!   back, so an account that exists afterwards existed when the record was read.
//! - A unique index refuses what the snapshot does not show: a concurrent save of the same bytes was committed first.
//!   This transaction is retried too, and then finds the other save's row.
//!
//! Of the transactions of one account, one runs at a time in a process ([`AccountQueue`]). A transaction for which
//! others wait is committed twice: first so that they can see it (`w: 1`), and then durably (`w: "majority"`, which
//! includes the journal unless the replica set is configured with `writeConcernMajorityJournalDefault: false`). Only
//! after the second commit does its method return.
//!
//! A method has the time limit [`TIME_MAX`], retries included. After that it fails as unavailable, and the transaction
//! that it had begun is aborted as soon as the server can be reached. A process that dies within a transaction leaves
//! its documents locked; the other processes end that transaction within seconds, as soon as one of their calls is kept
//! waiting ([`abandoned`]).

mod abandoned;
mod account;
mod audit;
mod bson;
mod collections;
mod damage;
mod documents;
mod error;
mod history;
mod holds;
mod identity;
mod imports;
mod listing;
mod objects;
mod projects;
mod purge;
mod restores;
mod save_reads;
mod schema;
mod sessions;
mod transaction;
mod trash;
mod users;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::abandoned::AbandonedTransactions;
use self::collections::Collections;
use self::error::{BACKEND, Failure, Result as StepResult};
use super::account_queue::AccountQueue;
use super::{DamagedPage, RecordKey, RecordKind, RecordStore, StoreIdentity};
use crate::clock::Timestamp;
use crate::domain::{InvalidValue, ObjectKind, StoreId};
use crate::error::Result;

/// The database that is used if the URL names no other.
const DATABASE_DEFAULT: &str = "notestamp";

const TIME_MAX: Duration = MongoDbRecords::TIME_MAX;

const _: () = {
    assert!(abandoned::OPEN_TIME_MAX.as_millis() > TIME_MAX.as_millis());
    assert!(abandoned::WAIT_MAX.as_millis() < TIME_MAX.as_millis(), "else no call looks for what hinders it");
};

/// Settings of the driver, unless the URL sets others. The driver's defaults are longer than [`TIME_MAX`].
const SERVER_SELECTION_TIME_MAX: Duration = Duration::from_secs(3);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);

const _: () = {
    assert!(SERVER_SELECTION_TIME_MAX.as_millis() < TIME_MAX.as_millis());
    assert!(CONNECT_TIME_MAX.as_millis() < SERVER_SELECTION_TIME_MAX.as_millis());
    assert!(HEARTBEAT_INTERVAL.as_millis() < SERVER_SELECTION_TIME_MAX.as_millis());
};

/// Keeps all records in a MongoDB database, which any number of processes can have open.
///
/// - It needs a replica set, of at least one node, or a sharded cluster, because transactions do.
/// - It sets read and write concerns itself, and retries reads and writes, whatever the URL says. Open the store again
///   after a replica set of one node has got more nodes.
/// - No record depends on the server's clock.
///
/// ```no_run
/// use notestamp_store::records::{RecordStore, MongoDbRecords};
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let store = MongoDbRecords::open("mongodb://db1.example.org,db2.example.org/notestamp").await?;
/// store.ping().await?;
/// store.close().await?;
/// # Ok::<(), notestamp_store::Error>(())
/// # }).expect("it works");
/// ```
pub struct MongoDbRecords {
    client: Client,
    collections: Collections,
    account_queue: AccountQueue,
    abandoned: AbandonedTransactions,
    /// The read concern for lookups of sessions.
    session_reads: ReadConcern,
    /// The calls that are running; closed with the store.
    running: TaskTracker,
}

impl MongoDbRecords {
    /// The time limit of each method, retries included; after it the method fails with
    /// [`Error::Unavailable`](crate::Error::Unavailable). Shorter than a client's timeout.
    pub const TIME_MAX: Duration = Duration::from_secs(5);

    /// Opens the database that a connection string names (`notestamp` if it names no database), and creates its
    /// collections and indexes if they are absent.
    ///
    /// # Errors
    /// - [`Error::Invalid`](crate::Error::Invalid) if `url` is not a valid connection string, or requests a direct
    ///   connection to one node. An error never repeats the URL, which may contain a password.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if no primary responds.
    /// - [`Error::Backend`](crate::Error::Backend) if the server is not a replica set or refuses the credentials, or
    ///   if a newer version of this crate has written the database; the database is not changed.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) if the database is another program's.
    pub async fn open(url: &str) -> Result<Self> {
        let options = within(TIME_MAX, async { parse(url).await }).await?;
        let client = Client::with_options(options).map_err(Failure::from)?;
        let database = client.default_database().expect("the options name one");
        let collections = Collections::of(&database);
        let session_reads = within(TIME_MAX, session_reads(&client)).await?;
        let running = TaskTracker::new();
        let abandoned = AbandonedTransactions::new(client.clone(), running.clone());
        let store = Self {
            client,
            collections,
            session_reads,
            account_queue: AccountQueue::default(),
            abandoned,
            running,
        };
        // Building indexes happens only once, and may take long because of the disk.
        let prepared = within(4 * TIME_MAX, schema::prepare(&store.collections));
        store.abandoned.unhindered(prepared).await?;
        while store.abandoned.unhindered(within(TIME_MAX, schema::migrate(&store.collections))).await? {}
        Ok(store)
    }

    /// Runs an operation that needs no transaction, with the timeout [`TIME_MAX`].
    async fn bounded<T>(&self, operation: impl Future<Output = StepResult<T>>) -> Result<T> {
        let _running = self.begin()?;
        Ok(self.abandoned.unhindered(within(TIME_MAX, operation)).await?)
    }

    /// Registers a running call, which `close` waits for until the returned token is dropped.
    fn begin(&self) -> StepResult<TaskTrackerToken> {
        // In this order: if `close` misses the token, this check sees that the tracker is closed.
        let running = self.running.token();
        if self.running.is_closed() { Err(Failure::Closed) } else { Ok(running) }
    }
}

/// The read concern for sessions at this server: see the module documentation.
///
/// Transactions need a replica set, or a router (`mongos`) in front of several; any other server is refused.
async fn session_reads(client: &Client) -> StepResult<ReadConcern> {
    let hello = error::first_response(client.database("admin").run_command(doc! { "hello": 1 }).await)?;
    let is_mongos = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !is_mongos && !hello.contains_key("setName") {
        return Err(Failure::Standalone);
    }
    let nodes = ["hosts", "passives"].map(|kind| hello.get_array(kind).map_or(0, Vec::len));
    let is_alone = !is_mongos && nodes.iter().sum::<usize>() == 1;
    Ok(if is_alone { ReadConcern::local() } else { ReadConcern::linearizable() })
}

async fn within<T>(limit: Duration, operation: impl Future<Output = StepResult<T>>) -> StepResult<T> {
    timeout(limit, operation).await.unwrap_or(Err(Failure::TimedOut { limit, last: None }))
}

/// Parses a connection string, and sets the options that the guarantees of this backend depend on.
async fn parse(url: &str) -> StepResult<ClientOptions> {
    let mut options = ClientOptions::parse(url).await.map_err(|error| match &*error.kind {
        // These errors contain host names, and no other part of the URL.
        ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => Failure::Driver(error),
        ErrorKind::InvalidArgument { message, .. } if let Some(why) = wrong_option(url, message) => {
            InvalidValue::new("MongoDB URL", &why).into()
        }
        // Other errors may repeat a part of the URL, which may be part of a password.
        _ => InvalidValue::new(
            "MongoDB URL",
            "is not a connection string (mongodb://host1,host2/database?options, with user and password, if any, \
             percent-encoded before the hosts)",
        )
        .into(),
    })?;
    if options.direct_connection == Some(true) {
        // With it the driver reads from that node even if it is not the primary.
        let why = "has directConnection=true, and a node by itself may be behind: leave it out, so that the primary is found";
        return Err(InvalidValue::new("MongoDB URL", why).into());
    }
    options.default_database.get_or_insert_with(|| DATABASE_DEFAULT.to_owned());
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIME_MAX);
    options.connect_timeout.get_or_insert(CONNECT_TIME_MAX);
    options.heartbeat_freq.get_or_insert(HEARTBEAT_INTERVAL);
    // Retry once after a broken connection, whatever the URL says: the contract of the records depends on it.
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options.read_concern = Some(ReadConcern::local());
    options.write_concern = Some(durable());
    options.driver_info = Some(abandoned::driver_info());
    options.selection_criteria = Some(primary());
    Ok(options)
}

/// Finds in the driver's message which option of a connection string it has refused, and why; without values.
fn wrong_option(url: &str, said: &str) -> Option<String> {
    let (_, options) = url.rsplit_once('?')?;
    // An `@` here means that the `?` belongs to a password that is not percent-encoded, and does not begin the
    // options.
    if options.contains('@') {
        return None;
    }
    let names = options.split('&').filter_map(|option| option.split('=').next());
    let words: Vec<_> = said.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let name = names.filter(|name| !name.is_empty()).find(|name| words.contains(&&*name.to_lowercase()))?;
    let why =
        if said.contains("invalid option") { "which is unknown" } else { "with a value that it cannot have" };
    Some(format!("has the option {name}, {why}"))
}

/// The write concern: a completed write survives the loss of any node.
fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

#[async_trait]
impl RecordStore for MongoDbRecords {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity> {
        self.bounded(identity::claim(&self.collections, proposed)).await
    }

    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()> {
        self.bounded(identity::mark(&self.collections, kind)).await
    }

    async fn find_damaged(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<DamagedPage> {
        let Some(limit) = bson::limit(limit) else { return Ok(DamagedPage::default()) };
        self.bounded(damage::find(&self.collections, kind, after, limit)).await
    }

    async fn ping(&self) -> Result<()> {
        self.bounded(async {
            let users = self.collections.users.clone_with_type::<Document>();
            let any_user = users.find_one(doc! {}).projection(doc! { "_id": 1 });
            Ok(any_user.await.map(drop)?)
        })
        .await
    }

    async fn server_time(&self) -> Result<Option<Timestamp>> {
        self.bounded(async {
            let hello = self.collections.database.run_command(doc! { "hello": 1 }).await?;
            Ok(hello
                .get_datetime("localTime")
                .ok()
                .map(|time| Timestamp::from_millis(time.timestamp_millis())))
        })
        .await
    }

    async fn ensure_room(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if self.running.close() {
            // Running calls have a time limit. The driver may still have to abort unfinished transactions; it gets as
            // much time again.
            self.running.wait().await;
            drop(timeout(TIME_MAX, self.client.clone().shutdown()).await);
        }
        Ok(())
    }
}

/// Shows only the name of the database: the client's options contain the password.
impl fmt::Debug for MongoDbRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDbRecords").field("database", &self.collections.database.name()).finish()
    }
}
