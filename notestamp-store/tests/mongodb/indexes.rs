//! Checks each operation in the server's profiler: it walked an index, and sorted nothing.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Document, Uuid, doc};
use notestamp_store::protocol::{MediaCheck, NewNotes, StaleBefore, TrashRestore, Written};
use notestamp_store::records::{
    HistoryStore, MongoDbRecords, ObjectLedger, ProjectStore, RecordAudit, SaveOutcome, SessionStore,
    TrashStore, UserStore,
};
use notestamp_store::{
    Cursor, Digest, ListQuery, Namespace, ObjectId, ObjectKind, Order, OsRandom, PasswordHash, Precondition,
    Project, RevocationReason, Sort, Start, Timestamp, TrashCursor, UserId,
};

use crate::database::TestDatabase;
use crate::fixture::{NOW, account, behind, project, save, session, title, user};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn every_page_of_every_listing_walks_an_index_from_its_cursor() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let ada = account(&store, "ada").await;
    let mut projects = Vec::new();
    for n in 0..20 {
        projects.push(project(&store, ada, &format!("title {n:02}"), None).await);
    }
    let client = behind(&database).await;
    for query in every_listing(&projects[10]) {
        let operations = profile(&client, async {
            store.list_projects(ada, &query).await.unwrap();
        })
        .await;
        let walks: Vec<_> = operations.iter().filter(|it| is_of(it, "projects")).collect();
        if query.search.is_some() {
            let [count, found] = *walks else { panic!("{query:?}: {walks:#?}") };
            for walk in [count, found] {
                let plan = walk.get_str("planSummary").unwrap();
                assert_eq!(plan, "IXSCAN { owner: 1, grams: 1 }", "{walk:#?}");
            }
            assert_eq!(count.get_i32("docsExamined").unwrap(), 0, "{count:#?}");
            continue;
        }
        let [walk] = *walks else { panic!("{query:?}: {walks:#?}") };
        assert_walks_an_index(walk);
        let key = match query.sort() {
            Sort::Saved => "save: 1 }",
            Sort::LastModified => "by_last_modified: 1 }",
            Sort::Title => "by_title: 1 }",
        };
        assert!(walk.get_str("planSummary").unwrap().ends_with(key), "{walk:#?}");
        // All have the same time of modification, so a walk that began at the time alone would examine all of them.
        let examined = usize::try_from(walk.get_i32("docsExamined").unwrap()).unwrap();
        let of_type = query.kind.is_none() || query.kind.as_deref() == Some("");
        let left = if query.after().is_some() { 10 } else { 20 };
        let expected = if of_type { query.limit.map_or(left, |limit| left.min(limit.get() + 1)) } else { 0 };
        assert!(examined <= expected, "{query:?}: examined {examined} of {expected}: {walk:#?}");
    }
}

/// All sort orders, ascending and descending, with and without a type, a search, a limit and a cursor.
fn every_listing(from: &Project) -> Vec<ListQuery> {
    let mut queries = Vec::new();
    for sort in [Sort::Saved, Sort::LastModified, Sort::Title] {
        for order in [Order::Ascending, Order::Descending] {
            for kind in [None, Some(""), Some("audio")] {
                for search in [None, Some("title")] {
                    for (limit, after) in [
                        (None, None),
                        (NonZeroUsize::new(3), None),
                        (NonZeroUsize::new(3), Some(Cursor::of(from, sort))),
                    ] {
                        let (search, kind) = (search.map(str::to_owned), kind.map(str::to_owned));
                        let contains = search.clone();
                        let order = Some(order);
                        queries.push(ListQuery {
                            search,
                            contains,
                            kind,
                            start: Start::new(sort, after).unwrap(),
                            order,
                            limit,
                            skip: 0,
                        });
                    }
                }
            }
        }
    }
    queries
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn a_search_looks_up_rare_ngrams_and_walks_for_common_ones() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let ada = account(&store, "ada").await;
    let client = behind(&database).await;
    let projects = client.collection::<Document>("projects");
    for text in ["A common title", "A rare one"] {
        project(&store, ada, text, None).await;
    }
    let common = projects.find_one(doc! { "title": "A common title" }).await.unwrap().unwrap();
    let copies = (0..1_000).map(|n| {
        let mut copy = common.clone();
        let title = format!("A common title {n}");
        copy.extend(doc! { "_id": Uuid::new(), "title": &title, "save": 10 + n });
        copy.insert("by_title", doc! { "folded": title.to_lowercase(), "title": title });
        copy
    });
    projects.insert_many(copies).await.unwrap();

    for (search, found, key) in [
        ("A RARE", 1, "grams: 1 }"),
        // Every title contains an `a`, but none an `x`.
        ("ax", 0, "grams: 1 }"),
        ("COMMON", 3, "save: 1 }"),
        ("o", 3, "save: 1 }"),
    ] {
        let query = ListQuery {
            search: Some(search.to_owned()),
            limit: NonZeroUsize::new(3),
            ..ListQuery::default()
        };
        let operations = profile(&client, async {
            assert_eq!(store.list_projects(ada, &query).await.unwrap().projects.len(), found, "{search}");
        })
        .await;
        let last = operations.iter().rfind(|it| is_of(it, "projects")).unwrap();
        assert!(last.get_str("planSummary").unwrap().ends_with(key), "{search}: {last:#?}");
        assert!(last.get_i32("docsExamined").unwrap() <= 4, "{search}: {last:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn every_other_operation_walks_an_index() {
    let database = TestDatabase::new();
    let store = database.open().await;
    // Other accounts, so that the query planner prefers an index.
    for n in 0..20 {
        let owner = account(&store, &format!("other{n}")).await;
        project(&store, owner, "Song", Some(b"song")).await;
        store.start_session(&session(owner), 100, NOW).await.unwrap();
    }
    let client = behind(&database).await;
    let operations = profile(&client, use_everything(&store)).await;
    // The collection of removed accounts is left out: a purge reads it without an order.
    let judged = |it: &&Document| {
        ["users", "sessions", "projects", "versions", "trash", "objects"].iter().any(|name| is_of(it, name))
    };
    let judged: Vec<_> =
        operations.iter().filter(judged).filter(|it| it.contains_key("planSummary")).collect();
    assert!(judged.len() > 40, "{judged:#?}");
    judged.into_iter().for_each(assert_walks_an_index);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn all_sessions_end_by_as_many_writes_as_one() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let client = behind(&database).await;
    let mut writes = Vec::new();
    for count in [1, 120] {
        let ada = user(&format!("ada{count}"));
        store.create_user(&ada).await.unwrap();
        let start = async |epoch| {
            for _ in 0..count {
                assert!(store.start_session(&session(ada.id).in_epoch(epoch), 1_000, NOW).await.unwrap());
            }
        };
        start(ada.session_epoch).await;
        let ended = profile(&client, async {
            assert!(store.revoke_all_sessions(ada.id, RevocationReason::Ended, NOW).await.unwrap());
        })
        .await;
        start(store.find_user(ada.id).await.unwrap().unwrap().session_epoch).await;
        let changed = profile(&client, async {
            let (after, new) = (PasswordHash::new("$argon2id$other"), session(ada.id));
            let changed = store.change_password(ada.id.into(), &ada.password_hash, &after, &new, NOW).await;
            assert!(changed.unwrap().is_some());
        })
        .await;
        start(store.find_user(ada.id).await.unwrap().unwrap().session_epoch).await;
        let removed = profile(&client, async {
            assert!(store.remove_user(ada.id.into(), NOW).await.unwrap());
        })
        .await;
        writes.push([ended, changed, removed].map(|operations| documents_written(&operations)));
    }
    assert_eq!(writes[0], writes[1]);
    assert!(writes[0].iter().all(|count| (1..=4).contains(count)), "{writes:?}");
}

/// How many documents these operations have changed, added or deleted.
fn documents_written(operations: &[Document]) -> i64 {
    let counts = ["nModified", "ninserted", "ndeleted", "nUpserted"];
    let count = |it: &Document, name: &str| {
        it.get(name).map_or(0, |n| n.as_i64().or(n.as_i32().map(i64::from)).unwrap())
    };
    operations.iter().flat_map(|it| counts.map(|name| count(it, name))).sum()
}

/// Calls every method except those that scan everything.
async fn use_everything(store: &MongoDbRecords) {
    let ada = user("ada");
    store.create_user(&ada).await.unwrap();
    store.find_user(ada.id).await.unwrap().unwrap();
    store.find_user_by_email(&ada.email).await.unwrap().unwrap();
    let hash = PasswordHash::new("$argon2id$other");
    assert!(store.replace_password_hash(ada.id, &ada.password_hash, &hash).await.unwrap());

    let started = session(ada.id);
    store.start_session(&started, 100, NOW).await.unwrap();
    store.find_session(started.id).await.unwrap().unwrap();
    assert!(store.replace_session(&started, &started).await.unwrap());
    assert_eq!(store.list_sessions(ada.id, 10, NOW).await.unwrap().len(), 1);
    store.revoke_session(ada.id.into(), started.id, RevocationReason::Ended, NOW).await.unwrap();
    store.revoke_all_sessions(ada.id, RevocationReason::Ended, NOW).await.unwrap();
    store.forget_expired_sessions(1, Timestamp::MAX).await.unwrap();
    let epoch = store.find_user(ada.id).await.unwrap().unwrap().session_epoch;
    for _ in 0..3 {
        store.start_session(&session(ada.id).in_epoch(epoch), 2, NOW).await.unwrap();
    }

    let song = project(store, ada.id, "Song", Some(b"song")).await;
    project(store, ada.id, "Same song", Some(b"song")).await;
    store.find_project(ada.id, &title("Song")).await.unwrap().unwrap();
    store.find_project_by_id(ada.id, song.id).await.unwrap().unwrap();
    let mut again = save(store, ada.id, "Third", Some(b"song"), Namespace::Owner(ada.id)).await.unwrap();
    again.checks.push(MediaCheck { object: song.media.unwrap().object, is_whole: false });
    assert!(matches!(store.commit_save(&again).await, Ok(SaveOutcome::Saved { .. })));
    store.sample_live(ObjectKind::Media, 10).await.unwrap();
    let digest = Digest::of(b"song");
    store.find_owned_media(ada.id, digest).await.unwrap().unwrap();
    store.find_live_media(Namespace::Owner(ada.id), digest).await.unwrap().unwrap();
    use_history_and_trash(store, &song).await;
    use_inline_notes(store, ada.id).await;
    store.delete_project(ada.id.into(), &title("Song"), NOW).await.unwrap();
    store.doom_reserved(&[song.notes.object], NOW).await.unwrap();
    let before = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MAX };
    store.doom_stale(&before, 10, NOW).await.unwrap();
    let doomed = store.list_doomed(Some(song.notes.object), 10).await.unwrap();
    store.list_objects(Some(song.notes.object), 10).await.unwrap();
    store.forget_doomed(&doomed.iter().map(|row| row.id).collect::<Vec<_>>()).await.unwrap();

    store.remove_user(ada.id.into(), NOW).await.unwrap();
    store.purge_removed(10, NOW).await.unwrap();
}

/// Saves inline notes, reads and replaces them.
async fn use_inline_notes(store: &MongoDbRecords, owner: UserId) {
    for _ in 0..2 {
        let mut inline = save(store, owner, "Inline", None, Namespace::Owner(owner)).await.unwrap();
        let object = ObjectId::generate(NOW, &OsRandom);
        inline.notes =
            NewNotes::Inline { object, digest: Digest::of(b"[]"), bytes: Bytes::from_static(b"[]") };
        assert!(matches!(store.commit_save(&inline).await, Ok(SaveOutcome::Saved { .. })));
        assert!(store.find_with_bytes(object).await.unwrap().unwrap().1.is_some());
        store.find_inline_bytes(object).await.unwrap().unwrap();
        store.sample_live(ObjectKind::Notes, 10).await.unwrap();
        assert!(store.audit_objects(None, 100).await.unwrap().iter().any(|it| it.inline_size == Some(2)));
    }
}

/// Keeps versions of a project, and moves it to the trash and back.
async fn use_history_and_trash(store: &MongoDbRecords, song: &Project) {
    const MONTH: Duration = Duration::from_secs(30 * 86_400);
    let (owner, id) = (song.owner, song.id);
    for bytes in [b"more", b"most"] {
        let mut next = save(store, owner, "Song", Some(bytes), Namespace::Owner(owner)).await.unwrap();
        next.history = Some(MONTH);
        assert!(matches!(store.commit_save(&next).await, Ok(SaveOutcome::Saved { .. })));
    }
    store.find_version(owner, id, song.revision).await.unwrap().unwrap();
    assert_eq!(store.list_versions(owner, id, Some(song.revision.next()), 10).await.unwrap().len(), 1);
    let span = NOW..NOW.after(MONTH);
    let first = store.list_replaced(span.clone(), None, 1).await.unwrap();
    assert_eq!(store.list_replaced(span, first.first().copied(), 10).await.unwrap().len(), 1);
    let later = NOW.after(MONTH / 2);
    assert_eq!(store.thin_history(owner, id, Some(MONTH), 10, later).await.unwrap().purged, 1);

    let trash = async || store.trash_project_if(owner.into(), &id.into(), &Precondition::None, 9, NOW).await;
    trash().await.unwrap();
    let listed = store.list_trash(owner, None, 10).await.unwrap();
    store.list_trash(owner, listed.first().map(TrashCursor::of), 10).await.unwrap();
    store.list_expired_trash(later, 10).await.unwrap();
    let restore = TrashRestore { caller: owner.into(), id, title: None, projects_max: 9, now: NOW };
    store.restore_trashed(&restore).await.unwrap();
    trash().await.unwrap();
    assert_eq!(store.purge_trashed(owner.into(), &[id], NOW).await.unwrap().0, 1);
    // The oldest of what is kept gives way to the quota.
    for text in ["[]", "[1]"] {
        let mut next = save(store, owner, "Song", None, Namespace::Owner(owner)).await.unwrap();
        (next.history, next.quota_bytes_max) = (Some(MONTH), Some(5_000));
        let (object, bytes) = (next.notes.written().object, text.as_bytes());
        next.notes = NewNotes::Written(Written { object, digest: Digest::of(bytes), size: 2 });
        assert!(matches!(store.commit_save(&next).await, Ok(SaveOutcome::Saved { .. })));
    }
}

/// Runs operations, and returns the server's profile of them.
async fn profile(client: &Database, operations: impl Future<Output = ()>) -> Vec<Document> {
    let set = async |level: i32| {
        client.run_command(doc! { "profile": level }).await.unwrap();
    };
    client.collection::<Document>("system.profile").drop().await.unwrap();
    set(2).await;
    operations.await;
    set(0).await;
    let profile = client.collection::<Document>("system.profile");
    profile.find(doc! {}).await.unwrap().try_collect().await.unwrap()
}

fn is_of(operation: &Document, collection: &str) -> bool {
    operation.get_str("ns").unwrap().ends_with(&format!(".{collection}"))
}

#[track_caller]
fn assert_walks_an_index(operation: &Document) {
    let plan = operation.get_str("planSummary").unwrap();
    assert!(!plan.contains("COLLSCAN") && !operation.contains_key("hasSortStage"), "{operation:#?}");
}
