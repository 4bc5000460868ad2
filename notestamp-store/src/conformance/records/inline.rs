//! Inline notes: their bytes are added by the commit, and removed with their last reference.

use bytes::Bytes;

use super::fixture::*;
use crate::domain::{
    Digest, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState, Precondition,
};
use crate::error::Error;
use crate::records::{AuditedObject, DanglingPage, RecordStore};

/// Asserts that the records have these bytes of an object.
#[track_caller]
fn assert_has<'a>(
    store: &'a dyn RecordStore,
    id: ObjectId,
    bytes: &'static [u8],
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(store.find_inline_bytes(id).await.unwrap(), Some(bytes.clone()), "{caller}");
        let row = row(store, id).await.unwrap();
        assert_eq!(store.find_with_bytes(id).await.unwrap(), Some((row, Some(bytes))), "{caller}");
    }
}

/// Asserts that nothing is left of an object.
async fn assert_gone(store: &dyn RecordStore, id: ObjectId) {
    assert_eq!(store.find_inline_bytes(id).await.unwrap(), None);
    assert_eq!(store.find_with_bytes(id).await.unwrap(), None);
    assert_eq!(store.find_object(id).await.unwrap(), None);
}

pub async fn inline_notes_are_added_by_the_commit(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.inline(b"[1]");
    let id = first.commit.notes.written().object;
    assert_gone(store, id).await;
    let (project, doomed) = first.saved().await;
    assert_eq!((project.notes.object, project.notes.size, doomed), (id, 3, vec![]));
    let expected = Object {
        place: ObjectPlace::Inline,
        state: ObjectState::Live,
        content: Some((Digest::of(b"[1]"), 3)),
        references: 1,
        ..Object::reserve(id, ObjectKind::Notes, Namespace::Owner(ada), NOW)
    };
    assert_eq!(store.find_object(id).await.unwrap(), Some(expected));
    assert_has(store, id, b"[1]").await;
    // Notes of no bytes are inline too.
    let empty = save(store, ada, "Empty").await.inline(b"").project().await;
    assert_has(store, empty.notes.object, b"").await;
    assert_eq!(usage(store, ada).await, (2, 3));
}

pub async fn replaced_inline_notes_are_gone_with_the_commit(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.inline(b"[1]").media(b"song").await.project().await;
    let (second, doomed) = save(store, ada, "Song").await.inline(b"[2]").saved().await;
    assert_eq!(doomed, [], "no bytes are left to delete");
    assert_gone(store, first.notes.object).await;
    assert_has(store, second.notes.object, b"[2]").await;
    assert_all_agrees(store, &[ada]).await;
}

pub async fn notes_change_between_both_places(store: &dyn RecordStore) {
    let ada = account(store).await;
    let written = save(store, ada, "Song").await.project().await.notes.object;
    assert_eq!(store.find_inline_bytes(written).await.unwrap(), None);
    assert_eq!(
        store.find_with_bytes(written).await.unwrap(),
        Some((row(store, written).await.unwrap(), None))
    );
    let (inline, doomed) = save(store, ada, "Song").await.inline(b"[2]").saved().await;
    assert_eq!(doomed, [written]);
    let (_, doomed) = save(store, ada, "Song").await.saved().await;
    assert_eq!(doomed, []);
    assert_gone(store, inline.notes.object).await;
    assert_all_agrees(store, &[ada]).await;
}

pub async fn inline_notes_of_an_id_that_is_taken_are_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    let taken = save(store, ada, "Song").await.inline(b"[1]");
    let again = taken.commit.clone();
    taken.project().await;
    let before = snapshot(store, ada).await;
    let refused = commit_save(store, &again).await;
    assert!(matches!(refused, Err(Error::ObjectExists)), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);
}

pub async fn a_refused_save_adds_no_inline_notes(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.inline(b"[1]").project().await;
    let refused = save(store, ada, "Song").await.inline(b"[2]").demanding(Precondition::Absent);
    let id = refused.commit.notes.written().object;
    let refused = refused.outcome().await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })), "{refused:?}");
    let needed = save(store, ada, "Song").await.inline(b"[3]").staged(b"song").await;
    let needed_id = needed.commit.notes.written().object;
    needed.outcome().await.unwrap();
    for id in [id, needed_id] {
        assert_gone(store, id).await;
    }
}

pub async fn versions_keep_their_inline_notes_until_they_are_purged(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.inline(b"[1]").project().await;
    save(store, ada, "Song").await.keeping().inline(b"[2]").at(NOW.after(SECOND)).project().await;
    assert_has(store, first.notes.object, b"[1]").await;
    // Equal notes keep no version, and the replaced object is gone.
    let third = save(store, ada, "Song").await.keeping().inline(b"[2]").at(NOW.after(HOUR)).project().await;
    assert_eq!(store.list_versions(ada, third.id, None, MANY).await.unwrap().len(), 1);
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 2);
    let thinned = store.thin_history(ada, third.id, None, MANY, NOW.after(HOUR)).await.unwrap();
    assert_eq!((thinned.purged, thinned.doomed), (1, vec![]));
    assert_gone(store, first.notes.object).await;
    assert_has(store, third.notes.object, b"[2]").await;
    assert_all_agrees(store, &[ada]).await;
}

pub async fn inline_notes_move_to_the_trash_and_back(store: &dyn RecordStore) {
    let ada = account(store).await;
    let mut ids = Vec::new();
    for text in ["purged", "deleted", "removed"] {
        let first = save(store, ada, text).await.inline(b"[1]").project().await;
        let second = save(store, ada, text).await.keeping().inline(b"[2]").project().await;
        ids.push((second.id, [first.notes.object, second.notes.object]));
    }
    let [purged, deleted, removed] = [ids[0], ids[1], ids[2]];
    let key = title("purged").into();
    store.trash_project_if(ada.into(), &key, &Precondition::None, MANY as u64, NOW).await.unwrap();
    assert_has(store, purged.1[1], b"[2]").await;
    let (count, gone) = store.purge_trashed(ada.into(), &[purged.0], NOW).await.unwrap();
    assert_eq!((count, gone.doomed), (1, vec![]));
    let gone = store.delete_project(ada.into(), &title("deleted"), NOW).await.unwrap();
    assert_eq!(gone.doomed, []);
    for id in [purged.1, deleted.1].concat() {
        assert_gone(store, id).await;
    }
    assert_has(store, removed.1[0], b"[1]").await;
    store.remove_user(ada.into(), NOW).await.unwrap();
    purge(store, NOW).await;
    for id in removed.1 {
        assert_gone(store, id).await;
    }
    assert_eq!(ledger(store).await.iter().filter(|row| row.kind == ObjectKind::Notes).count(), 6, "reserved");
}

pub async fn inline_notes_are_audited_with_their_size(store: &dyn RecordStore) {
    let ada = account(store).await;
    let inline = save(store, ada, "Song").await.inline(b"[123]").project().await;
    let written = save(store, ada, "Other").await.project().await;
    let audited = store.audit_objects(None, MANY).await.unwrap();
    for (id, size) in [(inline.notes.object, Some(5)), (written.notes.object, None)] {
        let row = row(store, id).await.unwrap();
        let expected = AuditedObject { row, counted: 1, inline_size: size };
        assert!(audited.contains(&expected), "{audited:#?}");
    }
    assert_eq!(store.find_dangling(None, MANY).await.unwrap(), DanglingPage::default());
    // A sample of the notes store has no inline notes.
    let sample = store.sample_live(ObjectKind::Notes, MANY).await.unwrap();
    assert_eq!(ids(&sample), [written.notes.object]);
}
