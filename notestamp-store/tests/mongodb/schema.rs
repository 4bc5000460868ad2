//! Opening a database: what is created, and what is refused.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use notestamp_store::records::{
    MongoDbRecords, ObjectLedger, ProjectStore, RecordStore, SessionStore, UserStore,
};
use notestamp_store::{
    BlobStore, Email, Error, ListQuery, Metadata, Notes, ObjectKind, PasswordHash, RevocationReason,
    SaveRequest, Store, User, UserId,
};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::database::TestDatabase;
use crate::fixture::{NOW, account, behind, project, session, title};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn many_processes_that_open_a_new_database_at_once_agree() {
    let database = TestDatabase::new();
    let stores = join_all((0..4).map(|_| database.open())).await;
    let ada = account(&stores[0], "ada").await;
    for store in &stores {
        assert!(!store.is_exclusive());
        assert!(store.find_user(ada).await.unwrap().is_some());
    }
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn a_newer_schema_is_refused_and_not_changed() {
    let database = TestDatabase::new();
    database.open().await.close().await.unwrap();
    let meta = behind(&database).await.collection::<Document>("meta");
    let set = async |version: i64| {
        meta.update_one(doc! {}, doc! { "$set": { "version": version } }).await.unwrap();
    };
    let current = meta.find_one(doc! {}).await.unwrap().unwrap().get_i64("version").unwrap();
    set(1_000).await;
    let refused = MongoDbRecords::open(&database.url).await.map(drop);
    let Err(Error::Backend { source, .. }) = refused else { panic!("{refused:?}") };
    let message = source.to_string();
    assert!(message.contains(&database.name) && message.contains("newer"), "{message}");

    set(current).await;
    database.open().await;
}

/// A database as version 1 wrote it: without the n-grams by which a search finds titles.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn an_older_database_is_migrated_when_it_is_opened() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let ada = account(&store, "ada").await;
    for text in ["A lecture", "Another"] {
        project(&store, ada, text, None).await;
    }
    store.close().await.unwrap();
    let behind = behind(&database).await;
    let projects = behind.collection::<Document>("projects");
    projects.update_many(doc! {}, doc! { "$unset": { "grams": "" } }).await.unwrap();
    projects.drop_index("projects_by_gram").await.unwrap();
    let meta = behind.collection::<Document>("meta");
    meta.update_one(doc! {}, doc! { "$set": { "version": 1_i64 } }).await.unwrap();

    for store in join_all((0..2).map(|_| database.open())).await {
        for (search, found) in [("LECTURE", 1), ("e", 2)] {
            let query = ListQuery { search: Some(search.to_owned()), ..ListQuery::default() };
            assert_eq!(store.list_projects(ada, &query).await.unwrap().projects.len(), found, "{search}");
        }
    }
    assert!(meta.find_one(doc! {}).await.unwrap().unwrap().get_i64("version").unwrap() > 1);
}

/// Projects and accounts as version 5 stored them: without the time of the latest save, and without a usage of records.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn projects_of_an_older_database_get_times_and_accounts_a_usage_of_records() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let (ada, bob) = (account(&store, "ada").await, account(&store, "bob").await);
    for text in ["Größe", "Another"] {
        project(&store, ada, text, Some(b"song")).await;
    }
    let before = store.list_projects(ada, &ListQuery::default()).await.unwrap().projects;
    let usage = store.find_user(ada).await.unwrap().unwrap().usage;
    assert!(usage.record_bytes > 0);
    store.close().await.unwrap();
    let behind = behind(&database).await;
    let projects = behind.collection::<Document>("projects");
    projects.update_many(doc! {}, doc! { "$unset": { "saved": "" } }).await.unwrap();
    let fields = ["record_bytes", "trashed", "kept_bytes", "kept_record_bytes"];
    let unset: Document = fields.iter().map(|name| (format!("usage.{name}"), "".into())).collect();
    let users = behind.collection::<Document>("users");
    users.update_many(doc! {}, doc! { "$unset": unset }).await.unwrap();
    // Version 7 says of each object where its bytes are.
    let objects = behind.collection::<Document>("objects");
    objects.update_many(doc! {}, doc! { "$unset": { "inline": "" } }).await.unwrap();
    let meta = behind.collection::<Document>("meta");
    meta.update_one(doc! {}, doc! { "$set": { "version": 5_i64 } }).await.unwrap();

    for store in join_all((0..2).map(|_| database.open())).await {
        assert_eq!(store.list_projects(ada, &ListQuery::default()).await.unwrap().projects, before);
        assert_eq!(store.find_user(ada).await.unwrap().unwrap().usage, usage);
        assert_eq!(store.find_user(bob).await.unwrap().unwrap().usage, Default::default());
        assert_eq!(store.sample_live(ObjectKind::Notes, 10).await.unwrap().len(), 2);
    }
}

/// Sessions as version 4 stored them: without the epoch in which they started.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn sessions_of_an_older_database_stay_open_and_end_with_all_others() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let ada = account(&store, "ada").await;
    let (kept, signed_out) = (session(ada), session(ada));
    for session in [&kept, &signed_out] {
        assert!(store.start_session(session, 100, NOW).await.unwrap());
    }
    assert!(store.revoke_session(ada.into(), signed_out.id, RevocationReason::SignedOut, NOW).await.unwrap());
    store.close().await.unwrap();
    let behind = behind(&database).await;
    let sessions = behind.collection::<Document>("sessions");
    sessions.update_many(doc! {}, doc! { "$unset": { "epoch": "" } }).await.unwrap();
    sessions.drop_index("sessions_by_epoch").await.unwrap();
    let keys = doc! { "user": 1, "is_revoked": 1, "last_used": 1, "_id": 1 };
    let name = IndexOptions::builder().name("sessions_by_user".to_owned()).build();
    sessions.create_index(IndexModel::builder().keys(keys).options(name).build()).await.unwrap();
    let meta = behind.collection::<Document>("meta");
    meta.update_one(doc! {}, doc! { "$set": { "version": 4_i64 } }).await.unwrap();

    let [store, other] = [database.open().await, database.open().await];
    assert_eq!(store.list_sessions(ada, 10, NOW).await.unwrap(), std::slice::from_ref(&kept));
    let logged = store.find_session(signed_out.id).await.unwrap();
    assert_eq!(logged, Some(signed_out.revoke(NOW, RevocationReason::SignedOut)));
    let names = sessions.list_index_names().await.unwrap();
    assert!(!names.contains(&"sessions_by_user".to_owned()), "{names:?}");

    assert!(other.revoke_all_sessions(ada, RevocationReason::PasswordChanged, NOW).await.unwrap());
    let ended = store.find_session(kept.id).await.unwrap();
    assert_eq!(ended, Some(kept.revoke(NOW, RevocationReason::PasswordChanged)));
    let epoch = store.find_user(ada).await.unwrap().unwrap().session_epoch;
    assert!(!store.start_session(&session(ada), 100, NOW).await.unwrap());
    let new = session(ada).in_epoch(epoch);
    assert!(store.start_session(&new, 100, NOW).await.unwrap());
    assert_eq!(other.list_sessions(ada, 10, NOW).await.unwrap(), [new]);
}

/// Addresses as version 2 stored them: only trimmed and in lower case.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn addresses_of_an_older_database_are_normalized() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let cases = [
        ("ada@example.org", "ada@example.org"),
        ("jose\u{301}@example.org", "jos\u{e9}@example.org"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        // Two addresses with one normalized form: the second has it already.
        ("straße@example.org", "straße@example.org"),
        ("strasse@example.org", "strasse@example.org"),
        // Two addresses with one normalized form, which neither has yet: the older account, the first, gets it.
        ("ada@bu\u{308}cher2.example", "ada@bücher2.example"),
        ("ada@xn--bcher2-3ya.example", "ada@xn--bcher2-3ya.example"),
        ("<eve@example.org>", "<eve@example.org>"),
    ];
    let accounts: Vec<_> = (0..).zip(cases).map(|(n, _)| UserId::from_bytes([n; 16])).collect();
    for (id, (stored, _)) in accounts.iter().zip(cases) {
        let hash = PasswordHash::new("$argon2id$…");
        store.create_user(&User::new(*id, Email::stored(stored), hash, NOW)).await.unwrap();
    }
    store.close().await.unwrap();
    let behind = behind(&database).await;
    let meta = behind.collection::<Document>("meta");
    meta.update_one(doc! {}, doc! { "$set": { "version": 2_i64 } }).await.unwrap();

    for store in join_all((0..2).map(|_| database.open())).await {
        for (id, (stored, expected)) in accounts.iter().zip(cases) {
            let kept = store.find_user(*id).await.unwrap().unwrap();
            assert_eq!(kept.email.as_str(), expected, "{stored}");
        }
        for (typed, n) in [("STRASSE@example.org", 4), ("ada@BÜCHER2.example", 5)] {
            let found = store.find_user_by_email(&Email::parse(typed).unwrap()).await.unwrap().unwrap();
            assert_eq!(found.id, accounts[n], "{typed}");
        }
    }
    let schema = meta.find_one(doc! {}).await.unwrap().unwrap();
    assert!(schema.get_i64("version").unwrap() > 2, "{schema}");
    assert!(!schema.contains_key("respelled_up_to"), "{schema}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn many_processes_that_open_a_new_store_at_once_agree_on_its_id() {
    let database = TestDatabase::new();
    let buckets = Buckets::default();
    let opened = join_all((0..4).map(|_| async { buckets.open(&database).await.unwrap() })).await;
    let ids: BTreeSet<_> = opened.iter().map(Store::id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    for store in &opened {
        store.ping().await.unwrap();
    }

    let ada =
        opened[0].create_account(Email::parse("ada@example.org").unwrap(), PasswordHash::new("$")).await;
    let save = opened[1].begin_save(ada.unwrap().id).await.unwrap();
    let notes = Notes::parse("[]").unwrap();
    save.commit(SaveRequest::new(Metadata::new(title("Song"), NOW), notes)).await.unwrap();
    let refused = Buckets::default().open(&database).await;
    assert!(matches!(refused, Err(Error::ForeignStore { .. })), "{refused:?}");

    // A store of an earlier version: without an id in the database and in the buckets.
    let meta = behind(&database).await.collection::<Document>("meta");
    meta.delete_one(doc! { "_id": "store" }).await.unwrap();
    meta.update_one(doc! { "_id": "schema" }, doc! { "$set": { "version": 2_i64 } }).await.unwrap();
    for bucket in [&buckets.notes, &buckets.media] {
        bucket.delete(&Path::from(".store-id")).await.unwrap();
    }
    let opened = join_all((0..4).map(|_| async { buckets.open(&database).await.unwrap() })).await;
    let again: BTreeSet<_> = opened.iter().map(Store::id).collect();
    assert!(again.len() == 1 && again != ids, "{again:?}");
    assert_eq!(
        meta.find_one(doc! { "_id": "schema" }).await.unwrap().unwrap().get_i64("version").unwrap(),
        7
    );
}

/// Two buckets that several processes share.
#[derive(Default)]
struct Buckets {
    notes: Arc<InMemory>,
    media: Arc<InMemory>,
}

impl Buckets {
    async fn open(&self, database: &TestDatabase) -> notestamp_store::Result<Store> {
        let records = Arc::new(database.open().await);
        let notes = BlobStore::new(ObjectKind::Notes, self.notes.clone());
        let media = BlobStore::new(ObjectKind::Media, self.media.clone());
        Store::builder(records, notes, media).open().await
    }
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn a_database_of_another_program_is_refused_and_not_changed() {
    let database = TestDatabase::new();
    let other = behind(&database).await;
    other.collection("users").insert_one(doc! { "name": "Ada" }).await.unwrap();
    let refused = MongoDbRecords::open(&database.url).await.map(drop);
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    assert_eq!(other.list_collection_names().await.unwrap(), ["users"]);
}

/// In an earlier version MongoDB deleted expired sessions by its own clock. A clock that was ahead for one moment
/// deleted valid sessions.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn mongodb_deletes_no_session_by_its_own_clock() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let started = session(account(&store, "ada").await);
    store.start_session(&started, 100, NOW).await.unwrap();
    store.close().await.unwrap();
    let sessions = behind(&database).await.collection::<Document>("sessions");
    let by_server = IndexOptions::builder()
        .name("sessions_ended".to_owned())
        .expire_after(Duration::from_secs(24 * 3600))
        .build();
    let by_server = IndexModel::builder().keys(doc! { "tokens_end_by_server": 1 }).options(by_server).build();
    sessions.create_index(by_server).await.unwrap();

    let store = database.open().await;
    let indexes: Vec<_> = sessions.list_indexes().await.unwrap().try_collect().await.unwrap();
    let removes = |index: &IndexModel| index.options.as_ref().is_some_and(|it| it.expire_after.is_some());
    assert!(!indexes.iter().any(removes), "{indexes:#?}");
    assert_eq!(store.find_session(started.id).await.unwrap(), Some(started));
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn no_error_and_no_debug_text_contains_a_password() {
    let database = TestDatabase::new();
    let with_password = database.url.replace("mongodb://", "mongodb://ada:open-sesame@");
    let refused = MongoDbRecords::open(&with_password).await.unwrap_err();
    assert!(matches!(refused, Error::Backend { .. }), "{refused:?}");
    assert_silent(&refused);

    let store = database.open().await;
    assert_eq!(format!("{store:?}"), format!("MongoDbRecords {{ database: {:?} }}", database.name));
}

#[tokio::test]
async fn the_error_about_a_malformed_url_does_not_repeat_it() {
    for url in [
        "open-sesame",
        "mongodb://ada:open-sesame/of@ali@localhost/notestamp",
        "mongodb://ada:open-sesame%@localhost",
        "mongodb://localhost/?serverSelectionTimeoutMS=open-sesame",
        "postgres://ada:open-sesame@localhost/notestamp",
        "mongodb://open-sesame:port/",
        "",
    ] {
        let refused = MongoDbRecords::open(url).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{url}: {refused:?}");
        assert_silent(&refused);
    }
}

/// Asserts that neither an error nor its sources contain the password, in any format.
#[track_caller]
fn assert_silent(error: &Error) {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error:?} {error}");
        source = error.source();
    }
    assert!(!text.contains("sesame"), "{text}");
}
