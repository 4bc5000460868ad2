//! Documents that cannot be read do not affect other operations.

use mongodb::bson::{Document, doc};
use notestamp_store::protocol::StaleBefore;
use notestamp_store::records::{
    MongoDbRecords, ObjectLedger, ProjectStore, RecordKind, RecordStore, SessionStore, UserStore,
};
use notestamp_store::{Email, Error, ListQuery, Start, Timestamp};

use crate::database::TestDatabase;
use crate::fixture::{NOW, account, behind, project, session, title};

const MANY: usize = 1_000;

async fn damaged(store: &MongoDbRecords) -> Vec<RecordKind> {
    let mut damaged = Vec::new();
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let page = store.find_damaged(kind, after, 2).await.unwrap();
            damaged.extend(page.damaged.into_iter().map(|record| record.kind));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    damaged
}

async fn titles(store: &MongoDbRecords, owner: notestamp_store::UserId, query: &ListQuery) -> Vec<String> {
    let page = store.list_projects(owner, query).await.unwrap();
    page.projects.into_iter().map(|project| project.metadata.title.as_str().to_owned()).collect()
}

async fn purge(store: &MongoDbRecords) {
    while store.purge_removed(2, NOW).await.unwrap() > 0 {}
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn a_damaged_project_is_omitted_from_lists_and_purged() {
    for damage in [
        doc! { "title": "\n" },
        doc! { "extra": "no JSON" },
        doc! { "media.digest": "no digest" },
        doc! { "revision": "first" },
        doc! { "media.object": 7, "notes": "nowhere" },
    ] {
        let is_purged = !damage.contains_key("notes");
        let database = TestDatabase::new();
        let store = database.open().await;
        let ada = account(&store, "ada").await;
        for text in ["a", "b", "c"] {
            project(&store, ada, text, Some(b"song")).await;
        }
        let projects = behind(&database).await.collection::<Document>("projects");
        projects.update_one(doc! { "title": "b" }, doc! { "$set": damage.clone() }).await.unwrap();

        assert_eq!(titles(&store, ada, &ListQuery::default()).await, ["c", "a"], "{damage}");
        let by_one = |start| ListQuery { limit: 1.try_into().ok(), start, ..ListQuery::default() };
        let first = store.list_projects(ada, &by_one(Start::default())).await.unwrap();
        assert!(first.next.is_some(), "{damage}");
        assert_eq!(titles(&store, ada, &by_one(Start::After(first.next.unwrap()))).await, ["a"]);
        let found = store.find_project(ada, &title("b")).await;
        assert!(matches!(found, Err(Error::Corrupt(_)) | Ok(None)), "{damage}: {found:?}");
        assert_eq!(damaged(&store).await, [RecordKind::Project], "{damage}");

        // Other projects are not affected.
        project(&store, ada, "d", Some(b"song")).await;
        store.delete_project(ada.into(), &title("c"), NOW).await.unwrap();
        assert_eq!(titles(&store, ada, &ListQuery::default()).await, ["d", "a"]);
        let bob = account(&store, "bob").await;
        project(&store, bob, "a", None).await;
        for owner in [ada, bob] {
            assert!(store.remove_user(owner.into(), NOW).await.unwrap());
        }
        purge(&store).await;
        let left = projects.count_documents(doc! {}).await.unwrap();
        assert_eq!(left, u64::from(!is_purged), "{damage}");
        let removed = behind(&database).await.collection::<Document>("removed_users");
        assert_eq!(removed.count_documents(doc! {}).await.unwrap(), left);
        if is_purged {
            let all = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MAX };
            store.doom_stale(&all, MANY, NOW).await.unwrap();
            let doomed = store.list_doomed(None, MANY).await.unwrap();
            assert_eq!(doomed.len(), store.list_objects(None, MANY).await.unwrap().len(), "{damage}");
        }
    }
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn a_purge_completes_with_more_damaged_projects_than_one_batch() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let ada = account(&store, "ada").await;
    for n in 0..8 {
        project(&store, ada, &format!("title {n}"), None).await;
    }
    let projects = behind(&database).await.collection::<Document>("projects");
    let some = doc! { "save": { "$in": [1, 2, 3, 5, 6] } };
    projects.update_many(some, doc! { "$set": { "notes": "nowhere" } }).await.unwrap();
    assert!(store.remove_user(ada.into(), NOW).await.unwrap());
    purge(&store).await;
    assert_eq!(projects.count_documents(doc! {}).await.unwrap(), 5);
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn damaged_sessions_accounts_and_objects_affect_no_others() {
    let database = TestDatabase::new();
    let store = database.open().await;
    let (ada, bob) = (account(&store, "ada").await, account(&store, "bob").await);
    let behind = behind(&database).await;
    let collection = |name: &str| behind.collection::<Document>(name);
    let (broken, whole) = (session(ada), session(ada));
    for started in [&broken, &whole] {
        store.start_session(started, 100, NOW).await.unwrap();
    }
    let id = mongodb::bson::Uuid::from_bytes(*broken.id.as_bytes());
    let damage = doc! { "$set": { "generation": "none" } };
    collection("sessions").update_one(doc! { "_id": id }, damage).await.unwrap();
    assert_eq!(store.list_sessions(ada, 1, NOW).await.unwrap(), [whole]);
    let found = store.find_session(broken.id).await;
    assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");

    for n in 0..4 {
        project(&store, bob, &format!("title {n}"), None).await;
    }
    for n in 0..4 {
        store.delete_project(bob.into(), &title(&format!("title {n}")), NOW).await.unwrap();
    }
    let doomed = store.list_doomed(None, MANY).await.unwrap();
    for row in &doomed[..2] {
        let id = mongodb::bson::Uuid::from_bytes(*row.id.as_bytes());
        collection("objects").update_one(doc! { "_id": id }, doc! { "$set": { "kind": 7 } }).await.unwrap();
    }
    assert_eq!(store.list_doomed(None, 1).await.unwrap(), doomed[2..3]);
    assert_eq!(store.list_objects(None, MANY).await.unwrap(), doomed[2..]);

    let damage = doc! { "$set": { "usage": 1 } };
    collection("users").update_one(doc! { "email": "ada@example.org" }, damage).await.unwrap();
    let found = store.find_user_by_email(&Email::parse("ada@example.org").unwrap()).await;
    assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");
    let kinds = [RecordKind::User, RecordKind::Session, RecordKind::Object, RecordKind::Object];
    assert_eq!(damaged(&store).await, kinds);

    store.forget_expired_sessions(MANY, Timestamp::MAX).await.unwrap();
    let sessions = collection("sessions");
    assert_eq!(sessions.count_documents(doc! {}).await.unwrap(), 0);
    store.start_session(&session(bob), 100, NOW).await.unwrap();
    for owner in [ada, bob] {
        assert!(store.remove_user(owner.into(), NOW).await.unwrap());
    }
    purge(&store).await;
    assert_eq!(sessions.count_documents(doc! {}).await.unwrap(), 0);
}
