//! Servers that are misconfigured, unavailable or faulty: a method returns within its time limit, with an error that
//! says what to do.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use notestamp_store::records::{
    MongoDbRecords, ProjectStore, RecordStore, SaveOutcome, SessionStore, UserStore,
};
use notestamp_store::{Error, Namespace, Precondition, Result, Timestamp};
use tokio::time::Instant;

use crate::fixture::{NOW, account, commit_save, save, session, user};
use crate::server::Mongod;

/// The extra time that a loaded machine may need beyond the time limit.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn an_absent_server_is_unavailable_in_time() {
    let started = Instant::now();
    let refused = MongoDbRecords::open("mongodb://127.0.0.1:1/notestamp").await.map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { backend: "mongodb", .. })), "{refused:?}");
    assert!(started.elapsed() < MongoDbRecords::TIME_MAX + SLACK, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_direct_connection_is_refused_with_advice() {
    let url = "mongodb://ada:SECRET@127.0.0.1:1/notestamp?replicaSet=rs0&directConnection=true";
    let refused = MongoDbRecords::open(url).await.map(drop);
    let Err(Error::Invalid(why)) = refused else { panic!("{refused:?}") };
    let message = why.to_string();
    assert!(message.contains("directConnection") && !message.contains("SECRET"), "{message}");
}

#[tokio::test]
async fn an_unsupported_option_is_named_without_its_value() {
    for (option, why) in [
        ("retryWritse=SECRET", "has the option retryWritse, which is unknown"),
        ("w=1&maxPoolSize=SECRET", "has the option maxPoolSize, with a value that it cannot have"),
    ] {
        let url = format!("mongodb://ada:SECRET@127.0.0.1:1/notestamp?replicaSet=rs0&{option}");
        let refused = MongoDbRecords::open(&url).await.map(drop);
        let Err(Error::Invalid(invalid)) = refused else { panic!("{refused:?}") };
        assert_eq!(invalid.to_string(), format!("MongoDB URL {why}"));
    }
}

#[tokio::test]
async fn a_part_of_a_password_is_not_shown_as_an_option() {
    let url = "mongodb://ada:x?SECRET=y@127.0.0.1:1/notestamp";
    let refused = MongoDbRecords::open(url).await.map(drop);
    let Err(Error::Invalid(invalid)) = refused else { panic!("{refused:?}") };
    assert!(!invalid.to_string().to_uppercase().contains("SECRET"), "{invalid}");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_standalone_server_is_refused_with_advice() {
    let server = Mongod::standalone().await;
    let refused = MongoDbRecords::open(&server.url()).await.map(drop);
    let Err(Error::Backend { source, .. }) = refused else { panic!("{refused:?}") };
    let message = source.to_string();
    assert!(message.contains("--replSet") && message.contains("rs.initiate()"), "{message}");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn an_uninitiated_replica_set_is_unavailable_with_advice() {
    let server = Mongod::uninitiated().await;
    let refused = MongoDbRecords::open(&server.url()).await.map(drop);
    let Err(Error::Unavailable { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("rs.initiate()"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_hanging_server_is_unavailable_in_time_and_recovers() {
    let server = Mongod::replica_set().await;
    let store = Arc::new(MongoDbRecords::open(&server.url()).await.unwrap());
    let ada = account(&*store, "ada").await;
    let commit = save(&*store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();

    // A save is in the middle of its transaction, in which it has written to the user record.
    let disturbance = server.disturb("update", 1, doc! { "blockConnection": true, "blockTimeMS": 500 }).await;
    let saving = tokio::spawn({
        let (store, commit) = (Arc::clone(&store), commit.clone());
        async move { timed(async { store.commit_save(&commit).await.map(drop) }).await }
    });
    disturbance.has_begun().await;
    server.signal("STOP");
    let (found, created, started, pinged) = tokio::join!(
        timed(async { store.find_user(ada).await.map(drop) }),
        timed(async { store.create_user(&user("bob")).await }),
        timed(async { store.start_session(&session(ada), 100, NOW).await.map(drop) }),
        timed(async { store.ping().await }),
    );
    let saved = saving.await.unwrap();
    for (outcome, took) in [found, saved, created, started, pinged] {
        assert!(matches!(outcome, Err(Error::Unavailable { backend: "mongodb", .. })), "{outcome:?}");
        assert!(took < MongoDbRecords::TIME_MAX + SLACK, "{took:?}");
    }

    server.signal("CONT");
    // The user record is unlocked long before the server would abort that transaction by itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    let saved = loop {
        match store.commit_save(&commit).await {
            Err(Error::Unavailable { .. }) if Instant::now() < deadline => {}
            outcome => break outcome,
        }
    };
    // The first save, whose outcome is unknown, may have been committed.
    assert!(matches!(saved, Ok(_) | Err(Error::UploadExpired)), "{saved:?}");
    let user = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!((user.usage.projects, user.usage.bytes, user.saves), (1, 2, 1));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_former_primary_is_unavailable() {
    let server = Mongod::replica_set().await;
    let store = MongoDbRecords::open(&server.url()).await.unwrap();
    // NotWritablePrimary, NotPrimaryNoSecondaryOk, and, during the rollback of writes that no majority has,
    // NotPrimaryOrSecondary.
    for code in [10_107, 13_435, 13_436] {
        server.disturb("find", 2, doc! { "errorCode": code }).await;
        let found = store.find_user_by_email(&user("ada").email).await;
        assert!(matches!(found, Err(Error::Unavailable { .. })), "{code}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn no_session_remains_if_its_account_is_removed_while_it_starts() {
    let server = Mongod::replica_set().await;
    let (store, other) = two_handles(&server).await;
    let ada = account(&store, "ada").await;
    // The session is written by an update, in a transaction that has written to the user record.
    let disturbance = server.disturb("update", 1, doc! { "blockConnection": true, "blockTimeMS": 500 }).await;
    let start = tokio::spawn(async move { store.start_session(&session(ada), 100, NOW).await });
    disturbance.has_begun().await;
    assert!(other.remove_user(ada.into(), NOW).await.unwrap());
    while other.purge_removed(10, NOW).await.unwrap() > 0 {}
    let started = start.await.unwrap();
    assert!(matches!(started, Ok(true) | Err(Error::NoSuchAccount)), "{started:?}");
    let left = other.forget_expired_sessions(10, Timestamp::MAX).await.unwrap();
    assert_eq!(left, 0, "{started:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_save_whose_commit_is_in_doubt_is_committed_once() {
    let server = Mongod::replica_set().await;
    let (store, other) = two_handles(&server).await;
    let ada = account(&store, "ada").await;
    let not_replicated = doc! { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "not yet" };
    let doubts = [
        // The commit has not reached the server, but the client cannot know that.
        doc! { "closeConnection": true },
        // The commit is done, but perhaps not on a majority.
        doc! { "writeConcernError": not_replicated },
        // The commit is done, and another process has ended the session meanwhile.
        doc! { "writeConcernError": doc! { "code": 11_601, "codeName": "Interrupted", "errmsg": "ended" } },
    ];
    for (n, doubt) in (1_u64..).zip(doubts) {
        let commit = save(&store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();
        // More often than the driver retries by itself.
        server.disturb("commitTransaction", 3, doubt).await;
        let saved = store.commit_save(&commit).await;
        assert!(matches!(saved, Ok(SaveOutcome::Saved { .. })), "{saved:?}");
        let user = other.find_user(ada).await.unwrap().unwrap();
        assert_eq!((user.saves, user.usage.projects), (n, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn an_interrupted_transaction_is_retried_from_the_beginning() {
    let server = Mongod::replica_set().await;
    let (store, other) = two_handles(&server).await;
    let ada = account(&store, "ada").await;
    for (n, command) in (1_u64..).zip(["findAndModify", "aggregate", "update"]) {
        for fault in [
            doc! { "closeConnection": true },
            doc! { "errorCode": 112, "errorLabels": ["TransientTransactionError"] },
        ] {
            let title = format!("title {n}");
            let commit = save(&store, ada, &title, Some(b"song"), Namespace::Owner(ada)).await.unwrap();
            server.disturb(command, 3, fault).await;
            let saved = commit_save(&store, &commit).await;
            assert!(matches!(saved, Ok(SaveOutcome::Saved { .. })), "{command}: {saved:?}");
        }
        let user = other.find_user(ada).await.unwrap().unwrap();
        assert_eq!((user.saves, user.usage.projects), (2 * n, n), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn the_url_cannot_turn_retries_off() {
    let server = Mongod::replica_set().await;
    let url = server.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}retryWrites=false&retryReads=false");
    let store = MongoDbRecords::open(&url).await.unwrap();
    let ada = account(&store, "ada").await;
    for command in ["update", "find"] {
        server.disturb(command, 1, doc! { "closeConnection": true }).await;
        let hash = user("ada").password_hash;
        assert!(store.replace_password_hash(ada, &hash, &hash).await.unwrap(), "{command}");
        assert!(store.find_user(ada).await.unwrap().is_some(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_lost_abort_does_not_lock_the_account() {
    let server = Mongod::replica_set().await;
    let (store, other) = two_handles(&server).await;
    let ada = account(&store, "ada").await;
    let mut commit = save(&store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();
    commit.precondition = Precondition::Exists;
    // More often than the driver retries by itself.
    server.disturb("abortTransaction", 2, doc! { "closeConnection": true }).await;
    let refused = store.commit_save(&commit).await.map(drop);
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })), "{refused:?}");
    let commit = save(&other, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();
    other.commit_save(&commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn saves_of_one_account_in_one_process_wait_for_each_other_and_none_is_aborted() {
    let server = Mongod::replica_set().await;
    let store = Arc::new(MongoDbRecords::open(&server.url()).await.unwrap());
    let ada = account(&*store, "ada").await;
    let mut commits = Vec::new();
    for n in 0..20 {
        commits.push(save(&*store, ada, &format!("title {n}"), None, Namespace::Owner(ada)).await.unwrap());
    }
    let aborted = async || {
        let status = server.command(doc! { "serverStatus": 1 }).await;
        status.get_document("transactions").unwrap().get_i64("totalAborted").unwrap()
    };
    let before = aborted().await;
    let saving = commits.into_iter().map(|commit| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit_save(&commit).await.map(drop) })
    });
    for saved in saving.collect::<Vec<_>>() {
        saved.await.unwrap().unwrap();
    }
    assert_eq!(aborted().await - before, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_connection_interrupted_by_a_shutdown_is_unavailable() {
    let server = Mongod::replica_set().await;
    let user = doc! { "createUser": "ada", "pwd": "secret", "roles": ["root"] };
    while MongoDbRecords::open(&server.url()).await.is_err() {}
    server.command(user).await;
    let url = server.url().replace("mongodb://", "mongodb://ada:secret@") + "?authSource=admin";
    MongoDbRecords::open(&url).await.unwrap();

    server.disturb("saslContinue", 1_000_000, doc! { "errorCode": 91 }).await;
    let refused = MongoDbRecords::open(&url).await.map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn a_commit_without_a_response_is_unavailable_in_time() {
    let server = Mongod::replica_set().await;
    let (store, other) = two_handles(&server).await;
    let ada = account(&store, "ada").await;
    let commit = save(&store, ada, "Song", None, Namespace::Owner(ada)).await.unwrap();
    server.disturb("commitTransaction", 1_000_000, doc! { "closeConnection": true }).await;
    let (saved, took) = timed(async { store.commit_save(&commit).await.map(drop) }).await;
    assert!(matches!(saved, Err(Error::Unavailable { .. })), "{saved:?}");
    assert!(took < MongoDbRecords::TIME_MAX + SLACK, "{took:?}");
    // The transaction was aborted, so the user record is not locked.
    assert!(
        other
            .replace_password_hash(ada, &user("ada").password_hash, &user("ada").password_hash)
            .await
            .unwrap()
    );
}

/// Two handles on one database, as two processes would open it.
async fn two_handles(server: &Mongod) -> (MongoDbRecords, MongoDbRecords) {
    let url = server.url();
    (MongoDbRecords::open(&url).await.unwrap(), MongoDbRecords::open(&url).await.unwrap())
}

/// The outcome of an operation, and how long it took.
async fn timed(operation: impl Future<Output = Result<()>>) -> (Result<()>, Duration) {
    let started = Instant::now();
    (operation.await, started.elapsed())
}
