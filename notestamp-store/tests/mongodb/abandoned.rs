//! Transactions that a process has left open: the others end them, without waiting for the server's own limit of a
//! minute.

use std::process::Command;
use std::time::Duration;

use mongodb::bson::{Document, Uuid, doc};
use mongodb::options::{ClientOptions, DriverInfo};
use mongodb::{Client, ClientSession};
use notestamp_store::records::{MongoDbRecords, ProjectStore, RecordStore, SaveOutcome};
use notestamp_store::{Error, Namespace, UserId};
use tokio::time::Instant;

use crate::fixture::{account, save};
use crate::server::Mongod;

/// Within this time the others must be able to save.
const TIME_MAX: Duration = Duration::from_secs(10);

/// A client of the server, as this crate makes it, or as another program does.
async fn client(server: &Mongod, driver: Option<&str>) -> Client {
    let mut options = ClientOptions::parse(server.url()).await.unwrap();
    options.driver_info = driver.map(|name| DriverInfo::builder().name(name.to_owned()).build());
    Client::with_options(options).unwrap()
}

/// Begins a transaction that has written to this document of this collection.
async fn transaction_on(client: &Client, collection: &str, id: Uuid) -> ClientSession {
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let documents = client.database("notestamp_test").collection::<Document>(collection);
    let write = doc! { "$inc": { "writes": 1 } };
    documents.update_one(doc! { "_id": id }, write).upsert(true).session(&mut session).await.unwrap();
    session
}

/// Saves a project as soon as that is possible.
async fn save_at_last(store: &MongoDbRecords, owner: UserId) -> Duration {
    let commit = save(store, owner, "Song", None, Namespace::Owner(owner)).await.unwrap();
    let start = Instant::now();
    loop {
        match store.commit_save(&commit).await {
            Ok(SaveOutcome::Saved { .. }) => return start.elapsed(),
            Err(Error::Unavailable { .. }) => assert!(start.elapsed() < TIME_MAX, "still locked"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_process_that_stands_still_in_a_transaction_locks_its_account_for_seconds_only() {
    let server = Mongod::replica_set().await;
    let store = MongoDbRecords::open(&server.url()).await.unwrap();
    let ada = account(&store, "ada").await;
    let (ours, foreign) = (client(&server, Some("notestamp-store")).await, client(&server, None).await);
    let mut other_programs = transaction_on(&foreign, "other", Uuid::new()).await;
    let mut stalled = transaction_on(&ours, "users", Uuid::from_bytes(*ada.as_bytes())).await;

    save_at_last(&store, ada).await;
    let too_late = stalled.commit_transaction().await.unwrap_err();
    assert!(too_late.contains_label("TransientTransactionError"), "{too_late:?}");
    other_programs.commit_transaction().await.expect("a transaction of another program is left alone");
}

/// A command that locks a whole collection, such as `dropIndexes`, would wait for the transaction, and all other calls
/// would wait behind it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_process_that_starts_does_not_wait_for_the_open_transactions_of_others() {
    let server = Mongod::replica_set().await;
    let store = MongoDbRecords::open(&server.url()).await.unwrap();
    store.close().await.unwrap();
    let foreign = client(&server, None).await;
    let mut open = Vec::new();
    for collection in ["users", "removed_users", "sessions", "projects", "objects"] {
        open.push(transaction_on(&foreign, collection, Uuid::new()).await);
    }
    MongoDbRecords::open(&server.url()).await.expect("no lock of a collection is requested");
    for mut transaction in open {
        transaction.commit_transaction().await.expect("it was not aborted");
    }
}

/// The process is this test's own, run again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_process_that_dies_in_a_transaction_keeps_nobody_from_saving() {
    const URL: &str = "NOTESTAMP_TEST_DYING_URL";
    const OWNER: &str = "NOTESTAMP_TEST_DYING_OWNER";
    if let (Ok(url), Ok(owner)) = (std::env::var(URL), std::env::var(OWNER)) {
        return die_in_a_transaction(&url, &owner).await;
    }
    let server = Mongod::replica_set().await;
    let store = MongoDbRecords::open(&server.url()).await.unwrap();
    let ada = account(&store, "ada").await;
    let name = "abandoned::a_process_that_dies_in_a_transaction_keeps_nobody_from_saving";
    let dead = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored"])
        .env(URL, server.url())
        .env(OWNER, Uuid::from_bytes(*ada.as_bytes()).to_string())
        .output()
        .unwrap();
    assert!(!dead.status.success(), "it has died");

    let commit = save(&store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();
    let saved = store.commit_save(&commit).await;
    assert!(matches!(saved, Ok(SaveOutcome::Saved { .. })), "not even one call fails: {saved:?}");
}

async fn die_in_a_transaction(url: &str, owner: &str) {
    let mut options = ClientOptions::parse(url).await.unwrap();
    options.driver_info = Some(DriverInfo::builder().name("notestamp-store".to_owned()).build());
    let client = Client::with_options(options).unwrap();
    let _open = transaction_on(&client, "users", Uuid::parse_str(owner).unwrap()).await;
    // Without unwinding: nothing is aborted.
    std::process::abort();
}
