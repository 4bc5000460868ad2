//! Servers that are not what they should be: an answer in time, and one that says what to do.

use std::time::{Duration, Instant};

use notestamp_store::metadata::{MetadataStore, MongoDbMetadata, ProjectStore, SessionStore, UserStore};
use notestamp_store::{Error, Namespace, Result};

use crate::fixture::{account, save, session, user};
use crate::server::Mongod;

/// What a machine under load may add to the bound.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_in_time() {
    let started = Instant::now();
    let refused = MongoDbMetadata::open("mongodb://127.0.0.1:1/notestamp").await.map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { backend: "mongodb", .. })), "{refused:?}");
    assert!(started.elapsed() < MongoDbMetadata::TIME_MAX + SLACK, "{:?}", started.elapsed());
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_standalone_server_is_refused_with_what_to_do() {
    let server = Mongod::standalone().await;
    let refused = MongoDbMetadata::open(&server.url()).await.map(drop);
    let Err(Error::Backend { source, .. }) = refused else { panic!("{refused:?}") };
    let message = source.to_string();
    assert!(message.contains("--replSet") && message.contains("rs.initiate()"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_server_that_hangs_is_unavailable_in_time_and_then_serves_again() {
    let server = Mongod::replica_set().await;
    let store = MongoDbMetadata::open(&server.url()).await.unwrap();
    let ada = account(&store, "ada").await;
    let commit = save(&store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();

    server.signal("STOP");
    let (found, saved, created, started, pinged) = tokio::join!(
        timed(async { store.find_user(ada).await.map(drop) }),
        timed(async { store.commit_save(&commit).await.map(drop) }),
        timed(async { store.create_user(&user("bob")).await }),
        timed(async { store.start_session(&session(ada)).await }),
        timed(async { store.ping().await }),
    );
    for (outcome, took) in [found, saved, created, started, pinged] {
        assert!(matches!(outcome, Err(Error::Unavailable { backend: "mongodb", .. })), "{outcome:?}");
        assert!(took < MongoDbMetadata::TIME_MAX + SLACK, "{took:?}");
    }

    server.signal("CONT");
    // What was in the middle of a transaction may have left the account locked, for a minute at most.
    let deadline = Instant::now() + Duration::from_secs(75);
    let saved = loop {
        match store.commit_save(&commit).await {
            Err(Error::Unavailable { .. }) if Instant::now() < deadline => {}
            outcome => break outcome,
        }
    };
    // The one that nobody was told of may have been committed after all.
    assert!(matches!(saved, Ok(_) | Err(Error::UploadExpired)), "{saved:?}");
    let user = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!((user.usage.projects, user.usage.bytes, user.saves), (1, 2, 1));
    store.close().await.unwrap();
}

/// What came of it, and how long that took.
async fn timed(operation: impl Future<Output = Result<()>>) -> (Result<()>, Duration) {
    let started = Instant::now();
    (operation.await, started.elapsed())
}
