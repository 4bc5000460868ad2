//! Counting anew what the records keep as numbers.

use super::fixture::*;
use crate::domain::{Namespace, Object, ObjectKind, ObjectState, Precondition, UserId};
use crate::records::{AuditedObject, DanglingPage, RecordStore, Referrers};

/// Saves projects of two accounts, in which media is shared, with history and trash; one project of each has been deleted
/// for good.
async fn library(store: &dyn RecordStore) -> [UserId; 2] {
    let owners = [account(store).await, account(store).await];
    for owner in owners {
        for text in ["a", "b", "c"] {
            save(store, owner, text).await.media(b"song").await.project().await;
        }
        save(store, owner, "d").await.media(b"other").await.project().await;
        save(store, owner, "e").await.notes_of(7).project().await;
        store.delete_project(owner.into(), &title("a"), NOW).await.unwrap();
        // A version with the media of its project, one with media that no project has, and a project in the trash.
        save(store, owner, "b").await.keeping().notes_of(9).project().await;
        save(store, owner, "d").await.keeping().media(b"another").await.project().await;
        let c = title("c").into();
        store.trash_project_if(owner.into(), &c, &Precondition::None, MANY as u64, NOW).await.unwrap();
    }
    owners
}

pub async fn counts_agree_with_undamaged_records(store: &dyn RecordStore) {
    let owners = library(store).await;
    reserve(store, ObjectKind::Media, Namespace::Owner(owners[0])).await;
    let rows = store.audit_objects(None, MANY).await.unwrap();
    assert_eq!(rows.iter().map(|audited| audited.row.clone()).collect::<Vec<_>>(), ledger(store).await);
    for AuditedObject { row, counted, inline_size } in &rows {
        assert_eq!(*inline_size, None);
        assert_eq!(row.references, *counted, "{row:?}");
        assert_eq!(store.find_referrers(row.id).await.unwrap().count, *counted);
        assert!(!store.correct_references(row.id, NOW).await.unwrap());
    }
    assert!(
        rows.iter().any(|audited| audited.counted == 3),
        "a project, its version and a trashed project share media"
    );
    assert_eq!(store.audit_objects(Some(rows[0].row.id), 2).await.unwrap(), rows[1..3]);

    let users = store.audit_usage(None, MANY).await.unwrap();
    assert_eq!(users.len(), 2);
    for (user, counted) in &users {
        assert_eq!(user.usage, *counted);
        assert!(store.correct_usage(user.id).await.unwrap());
        assert_eq!(store.find_user(user.id).await.unwrap().unwrap().usage, *counted);
    }
    assert_eq!(store.audit_usage(Some(users[0].0.id), 1).await.unwrap(), users[1..]);
    assert!(!store.correct_usage(user_id()).await.unwrap());
    assert_all_agrees(store, &owners).await;
}

pub async fn undamaged_projects_do_not_dangle(store: &dyn RecordStore) {
    library(store).await;
    assert_eq!(store.find_dangling(None, MANY).await.unwrap(), DanglingPage::default());
    let (mut after, mut pages) = (None, 0);
    loop {
        let page = store.find_dangling(after, 3).await.unwrap();
        assert_eq!(page.projects, []);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3, "six projects, three at a time");
}

pub async fn projects_of_a_removed_account_refer_until_they_are_purged(store: &dyn RecordStore) {
    let ada = account(store).await;
    let saved = save(store, ada, "Song").await.media(b"song").await.project().await;
    let object = saved.media.unwrap().object;
    let referrers = store.find_referrers(object).await.unwrap();
    assert_eq!(referrers, Referrers { count: 1, first: Some((ada, title("Song"))) });
    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_eq!(store.find_referrers(object).await.unwrap(), referrers);
    purge(store, NOW).await;
    assert_eq!(store.find_referrers(object).await.unwrap(), Referrers::default());
}

pub async fn only_a_lost_row_with_a_reference_is_restored(store: &dyn RecordStore) {
    let ada = account(store).await;
    let saved = save(store, ada, "Song").await.media(b"song").await.project().await;
    let before = ledger(store).await;
    let present = row(store, saved.notes.object).await.unwrap();
    let unreferenced = Object { id: object_id(), ..present.clone() };
    assert_eq!(unreferenced.state, ObjectState::Live);
    for row in [present, unreferenced] {
        assert!(!store.restore_row(&row).await.unwrap());
    }
    assert_eq!(ledger(store).await, before);
}
