//! All records in a MongoDB replica set: for any number of server processes.
//!
//! # Which reads and writes see what
//!
//! A *write* is answered when a majority of the nodes has it in its journal (`w: "majority", j: true`). So it
//! survives the loss of any node, and every primary to come has it.
//!
//! A *read* goes to the primary, with read concern `local` but for one. The primary has all answered writes, and so
//! has the next one from its first moment on. `majority` would lag there until the new primary has
//! committed something of its own, and a session that was signed out could be found open meanwhile. What
//! `local` may show too early is a change that has not been answered yet, and that an election may undo.
//! So what is *acted on for good* is read with `majority`: the bytes of a doomed object are deleted, and
//! its doom must not be undone.
//!
//! So the nodes are asked by what they are, never by their address alone: a URL that insists on one of them is refused,
//! since the driver then reads from a node that has fallen behind, too.
//!
//! One read must not be answered by a primary that has been replaced and does not know it, because it stood
//! still or is cut off: that of a session, which may have been ended at the new one. Where a set has several nodes it is
//! `linearizable`: a majority confirms the primary before it answers. What the same request reads after that is as
//! new as the request, since that primary had all that was answered before it began. It costs an exchange with the
//! nodes (about 3 ms, where a local read takes 0.3). A node that is alone cannot be replaced, and would wait
//! for its journal at its leisure, a tenth of a second.
//!
//! A *step over several documents* is a transaction with a snapshot of its own. Of two transactions that
//! write the same document one is aborted and done again, so:
//!
//! - Who relies on a document writes to it: the account before all else, then every ledger row of a
//!   plan. A write that changes nothing does not count as one, so each of these writes counts `writes` up.
//! - A session is started in a transaction that writes to its account, so it collides with the removal. So is one ended
//!   before its time: an operation by that session writes to the account and only reads the session, and of the two
//!   transactions one is done again. What
//!   rotates or confirms a session reads the account first and then changes the one document: either it comes before
//!   the removal, or what it changes is found no more, since whoever finds a session asks for its account.
//! - A lookup of one record asks for the account after it has the record. An account does not come back, so
//!   an account that is there afterwards was there when the record was read.
//! - A unique index refuses what a snapshot does not show: another saver of the same bytes has won. That
//!   too is done again, and then finds the winner's row.
//!
//! All of a method has [`TIME_MAX`], its repetitions included; after that it is unavailable, and what it had begun is
//! ended as soon as the server can be reached. A process that dies within a transaction leaves its
//! documents locked until the server ends that by itself (`transactionLifetimeLimitSeconds`, a minute by
//! default; ten seconds would do); others that want these documents are unavailable for so long.

mod account_queue;
mod bson;
mod collections;
mod damage;
mod error;
mod identity;
mod listing;
mod objects;
mod projects;
mod schema;
mod sessions;
mod transaction;
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

use self::account_queue::AccountQueue;
use self::collections::Collections;
use self::error::{Failure, Result as StepResult};
use super::{DamagedPage, RecordKey, RecordKind, RecordStore, StoreIdentity};
use crate::domain::{InvalidValue, ObjectKind, StoreId};
use crate::error::Result;

const BACKEND: &str = "mongodb";

/// The database where the URL names none.
const DATABASE_DEFAULT: &str = "notestamp";

const TIME_MAX: Duration = MongoDbRecords::TIME_MAX;

/// What the driver is told, where the URL says nothing else. Its own defaults outlast [`TIME_MAX`].
const SERVER_SELECTION_TIME_MAX: Duration = Duration::from_secs(3);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps all records in a MongoDB database, which any number of processes can have open.
///
/// - It needs a replica set, of one node at least, or a sharded cluster: transactions do.
/// - The concerns for reading and writing, and that each is tried again, are this backend's own, whatever the URL says. Where a set of one node gets
///   more, open it anew.
/// - Its clock is never asked, but for one thing: sessions whose tokens have ended for a day by the server's clock are
///   removed by an index, should nobody call [`forget_expired_sessions`].
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
///
/// [`forget_expired_sessions`]: super::SessionStore::forget_expired_sessions
pub struct MongoDbRecords {
    client: Client,
    collections: Collections,
    account_queue: AccountQueue,
    /// With which sessions are looked up.
    session_reads: ReadConcern,
    /// What is under way; closed with the store.
    running: TaskTracker,
}

impl MongoDbRecords {
    /// How long a method takes at most, whatever happens; after that it is
    /// [`Error::Unavailable`](crate::Error::Unavailable). Less than a client waits.
    pub const TIME_MAX: Duration = Duration::from_secs(5);

    /// Opens the database that a connection string names (`notestamp` where it names none), and makes its
    /// collections and indexes there if need be.
    ///
    /// # Errors
    /// - [`Error::Invalid`](crate::Error::Invalid) where `url` is no connection string, or asks for a direct connection
    ///   to one node. It is never repeated in an error: there may be a password in it.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) where no primary answers.
    /// - [`Error::Backend`](crate::Error::Backend) where the server is no replica set, refuses the credentials, or
    ///   a newer version of this crate has written the database; it is left as it is.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) where the database is another program's.
    pub async fn open(url: &str) -> Result<Self> {
        let options = within(TIME_MAX, async { parse(url).await }).await?;
        let client = Client::with_options(options).map_err(Failure::from)?;
        let database = client.default_database().expect("the options name one");
        let collections = Collections::of(&database);
        let session_reads = within(TIME_MAX, session_reads(&client)).await?;
        let store = Self {
            client,
            collections,
            session_reads,
            account_queue: AccountQueue::default(),
            running: TaskTracker::new(),
        };
        // Indexes are made only once, and then they may have to wait for the disk.
        within(4 * TIME_MAX, schema::prepare(&store.collections)).await?;
        while within(TIME_MAX, schema::migrate(&store.collections)).await? {}
        Ok(store)
    }

    /// Runs what needs no transaction, within [`TIME_MAX`].
    async fn bounded<T>(&self, operation: impl Future<Output = StepResult<T>>) -> Result<T> {
        let _running = self.begin()?;
        Ok(within(TIME_MAX, operation).await?)
    }

    /// Says that something is under way for as long as the answer is kept.
    fn begin(&self) -> StepResult<TaskTrackerToken> {
        // In this order: a close that does not see the token has been seen here.
        let running = self.running.token();
        if self.running.is_closed() { Err(Failure::Closed) } else { Ok(running) }
    }
}

/// How sessions are to be read here: see the module's own page.
///
/// Transactions need a replica set, or what stands before several of them; anything else is refused.
async fn session_reads(client: &Client) -> StepResult<ReadConcern> {
    let hello = error::first_answer(client.database("admin").run_command(doc! { "hello": 1 }).await)?;
    let is_mongos = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !is_mongos && !hello.contains_key("setName") {
        return Err(Failure::Standalone);
    }
    let nodes = ["hosts", "passives"].map(|kind| hello.get_array(kind).map_or(0, Vec::len));
    let is_alone = !is_mongos && nodes.iter().sum::<usize>() == 1;
    Ok(if is_alone { ReadConcern::local() } else { ReadConcern::linearizable() })
}

async fn within<T>(limit: Duration, operation: impl Future<Output = StepResult<T>>) -> StepResult<T> {
    timeout(limit, operation).await.unwrap_or(Err(Failure::NoAnswer { limit, last: None }))
}

/// Reads a connection string, and settles what the records depend on.
async fn parse(url: &str) -> StepResult<ClientOptions> {
    let mut options = ClientOptions::parse(url).await.map_err(|error| match &*error.kind {
        // These name hosts, and nothing else of the URL.
        ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => Failure::Driver(error),
        ErrorKind::InvalidArgument { message, .. } if let Some(why) = wrong_option(url, message) => {
            InvalidValue::new("MongoDB URL", &why).into()
        }
        // Anything else may repeat a piece of it, which may be a piece of a password.
        _ => InvalidValue::new(
            "MongoDB URL",
            "is no connection string (mongodb://host1,host2/database?options, with user and password, if any, \
             percent-encoded before the hosts)",
        )
        .into(),
    })?;
    if options.direct_connection == Some(true) {
        // Then the driver reads from whatever node that is, and it need not be the primary.
        let why = "has directConnection=true, and a node by itself may be behind: leave it out, so that the primary is found";
        return Err(InvalidValue::new("MongoDB URL", why).into());
    }
    options.default_database.get_or_insert_with(|| DATABASE_DEFAULT.to_owned());
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIME_MAX);
    options.connect_timeout.get_or_insert(CONNECT_TIME_MAX);
    options.heartbeat_freq.get_or_insert(HEARTBEAT_INTERVAL);
    // One try more where a connection broke off: what the records promise counts on it, whatever a URL says.
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options.read_concern = Some(ReadConcern::local());
    options.write_concern = Some(durable());
    options.selection_criteria = Some(primary());
    Ok(options)
}

/// Which option of a connection string the driver has refused, by what it said; values are not repeated.
fn wrong_option(url: &str, said: &str) -> Option<String> {
    let (_, options) = url.rsplit_once('?')?;
    // Then this is not where the options begin, but a password that is not percent-encoded.
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

/// What is answered survives the loss of any node.
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

    async fn ensure_room(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if self.running.close() {
            // What is under way is bounded; the driver may have to abort what was given up, and that is worth no more.
            self.running.wait().await;
            drop(timeout(TIME_MAX, self.client.clone().shutdown()).await);
        }
        Ok(())
    }
}

/// Names the database; the client's options have the password.
impl fmt::Debug for MongoDbRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDbRecords").field("database", &self.collections.database.name()).finish()
    }
}
