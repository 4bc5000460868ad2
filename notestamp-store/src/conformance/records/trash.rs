//! The trash: deleted projects that can be restored.

use super::fixture::*;
use crate::domain::{
    Caller, Digest, ListQuery, Metadata, ObjectKind, Precondition, Project, ProjectId, RevocationReason,
    TrashCursor, Trashed, UserId,
};
use crate::error::Error;
use crate::protocol::TrashRestore;
use crate::records::{Deleted, RecordStore};

/// Moves a project to the trash, which may have many projects.
async fn trash(store: &dyn RecordStore, project: &Project, seconds: u32) -> Trashed {
    let deleted = NOW.after(seconds * SECOND);
    let (owner, key) = (project.owner.into(), project.id.into());
    let done = store.trash_project_if(owner, &key, &Precondition::None, u64::MAX, deleted).await.unwrap();
    assert_eq!(done, Deleted { doomed: vec![] });
    Trashed { project: project.clone(), deleted }
}

async fn listed(store: &dyn RecordStore, owner: UserId) -> Vec<Trashed> {
    store.list_trash(owner, None, MANY).await.unwrap()
}

/// The request to restore a project under its own title.
fn restore(owner: UserId, id: ProjectId) -> TrashRestore {
    TrashRestore { caller: owner.into(), id, title: None, projects_max: u64::MAX, now: NOW }
}

pub async fn a_project_in_the_trash_is_found_only_there(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.keeping().media(b"song").await.project().await;
    let again = save(store, ada, "Song").await.keeping().project().await;
    let before = (usage(store, ada).await, kept_bytes(store, ada).await);
    assert_eq!(before, ((1, 14), 10));

    let trashed = trash(store, &again, 1).await;
    assert_eq!(listed(store, ada).await, [trashed]);
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), None);
    assert_eq!(store.find_project_by_id(ada, song.id).await.unwrap(), None);
    assert_eq!(titles(store, ada, &ListQuery::default()).await, [""; 0]);
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((0, 0), 24));
    assert_eq!(store.find_owned_media(ada, Digest::of(b"song")).await.unwrap(), again.media);
    assert_eq!(store.list_versions(ada, song.id, None, MANY).await.unwrap().len(), 1);
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 2);
    assert_all_agrees(store, &[ada]).await;

    // Its title is free, and its media can be named by its digest.
    let new = save(store, ada, "Song").await.keeping().known(b"song").project().await;
    assert_ne!(new.id, again.id);
    assert!(new.revision > again.revision);
    assert_eq!(new.media, again.media);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_restored_project_is_as_it_was(store: &dyn RecordStore) {
    let ada = account(store).await;
    let labelled = Metadata { label: "Audio".to_owned(), ..metadata("Song") };
    save(store, ada, "Song").await.keeping().media(b"song").await.project().await;
    let song = save_as(store, ada, labelled).await.keeping().project().await;
    let other = save(store, ada, "Other").await.project().await;
    let versions = store.list_versions(ada, song.id, None, MANY).await.unwrap();
    trash(store, &song, 1).await;

    let restored = store.restore_trashed(&restore(ada, song.id)).await.unwrap();
    let expected = Project { revision: song.revision.next(), save: other.save + 1, ..song.clone() };
    assert_eq!(restored, expected);
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), Some(expected));
    assert_eq!(titles(store, ada, &ListQuery::default()).await, ["Song", "Other"]);
    assert_eq!(store.list_versions(ada, song.id, None, MANY).await.unwrap(), versions);
    assert_eq!(listed(store, ada).await, []);
    assert_all_agrees(store, &[ada]).await;
    let again = store.restore_trashed(&restore(ada, song.id)).await;
    assert!(matches!(again, Err(Error::NoSuchProject)), "{again:?}");
    // It is a project like any other.
    save(store, ada, "Song").await.keeping().project().await;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_title_that_is_taken_needs_another_one(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.project().await;
    trash(store, &first, 1).await;
    let mut second = save(store, ada, "Song").await.project().await;
    for _ in 0..3 {
        second = save(store, ada, "Song").await.project().await;
    }
    let before = snapshot(store, ada).await;
    let refused = store.restore_trashed(&restore(ada, first.id)).await;
    assert!(matches!(refused, Err(Error::TitleTaken)), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);

    let other = TrashRestore { title: Some(title("Another")), ..restore(ada, first.id) };
    let restored = store.restore_trashed(&other).await.unwrap();
    assert_eq!((restored.id, restored.metadata.title.as_str()), (first.id, "Another"));
    let found = store.find_project(ada, &title("Another")).await.unwrap();
    assert_eq!(found, Some(restored));
    let query = ListQuery { search: Some("noth".to_owned()), ..ListQuery::default() };
    assert_eq!(titles(store, ada, &query).await, ["Another"]);
    assert_all_agrees(store, &[ada]).await;

    // One revision never names two states of one title.
    let another = store.find_project(ada, &title("Another")).await.unwrap().unwrap();
    trash(store, &second, 2).await;
    trash(store, &another, 3).await;
    let song = TrashRestore { title: Some(title("Song")), ..restore(ada, first.id) };
    assert!(store.restore_trashed(&song).await.unwrap().revision > second.revision);
}

pub async fn the_trash_is_listed_in_pages_the_last_deleted_first(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let mut expected = Vec::new();
    for (n, text) in ["one", "two", "three", "four", "five"].into_iter().enumerate() {
        let project = save(store, ada, text).await.project().await;
        // Two at the same time.
        expected.push(trash(store, &project, (n / 2) as u32).await);
    }
    expected.sort_by_key(|trashed| std::cmp::Reverse(TrashCursor::of(trashed)));
    let other = save(store, bob, "other").await.project().await;
    trash(store, &other, 1).await;
    for limit in 1..7 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_trash(ada, after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(TrashCursor::of(last));
            paged.extend(page);
        }
        assert_eq!(paged, expected);
    }
    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_eq!(listed(store, ada).await, []);
}

pub async fn a_purged_project_is_gone_with_its_versions(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save(store, ada, "Song").await.keeping().media(b"song").await.project().await;
    let song = save(store, ada, "Song").await.keeping().media(b"other").await.project().await;
    let kept = save(store, ada, "Kept").await.keeping().known(b"song").project().await;
    trash(store, &song, 1).await;
    let before = snapshot(store, ada).await;
    for nobody in [bob, user_id()] {
        let none = store.purge_trashed(nobody.into(), &[song.id], NOW).await.unwrap();
        assert_eq!(none, (0, Deleted { doomed: vec![] }));
    }
    assert_eq!(snapshot(store, ada).await, before);

    let (count, purged) = store.purge_trashed(ada.into(), &[song.id, kept.id, song.id], NOW).await.unwrap();
    assert_eq!((count, purged.doomed.len()), (1, 2));
    assert_eq!(listed(store, ada).await, []);
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((1, 14), 0));
    assert_all_agrees(store, &[ada, bob]).await;
}

pub async fn a_full_trash_loses_what_was_deleted_first(store: &dyn RecordStore) {
    let ada = account(store).await;
    let mut notes = Vec::new();
    for (n, text) in (0..).zip(["one", "two", "three", "four"]) {
        let project = save(store, ada, text).await.project().await;
        notes.push(project.notes.object);
        let max = if text == "four" { 2 } else { 3 };
        let done = store
            .trash_project_if(
                ada.into(),
                &title(text).into(),
                &Precondition::None,
                max,
                NOW.after(n * SECOND),
            )
            .await
            .unwrap();
        let doomed = if text == "four" { notes[..2].to_vec() } else { vec![] };
        assert_eq!(ids(&done.doomed), doomed);
    }
    let left: Vec<_> = listed(store, ada).await.into_iter().map(|it| it.project.metadata.title).collect();
    assert_eq!(left, [title("four"), title("three")]);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn expired_trash_is_listed_for_all_accounts(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let mut expected = Vec::new();
    for (n, owner) in [ada, bob, ada, bob].into_iter().enumerate() {
        let project = save(store, owner, "Song").await.project().await;
        trash(store, &project, n as u32).await;
        expected.push((owner, project.id));
    }
    let before = NOW.after(3 * SECOND);
    assert_eq!(store.list_expired_trash(before, MANY).await.unwrap(), expected[..3]);
    assert_eq!(store.list_expired_trash(before, 2).await.unwrap(), expected[..2]);
    assert_eq!(store.list_expired_trash(NOW, MANY).await.unwrap(), []);
}

pub async fn the_trash_of_another_account_is_absent(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let song = save(store, ada, "Song").await.project().await;
    trash(store, &song, 1).await;
    assert_eq!(listed(store, bob).await, []);
    let refused = store.restore_trashed(&restore(bob, song.id)).await;
    assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
    store.remove_user(ada.into(), NOW).await.unwrap();
    let refused = store.restore_trashed(&restore(ada, song.id)).await;
    assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");
    assert_eq!(store.purge_removed(MANY, NOW).await.unwrap(), 1);
    assert_all_agrees(store, &[ada, bob]).await;
}

pub async fn a_deletion_to_the_trash_checks_its_precondition(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.project().await;
    let before = snapshot(store, ada).await;
    for key in [title("Song").into(), song.id.into()] {
        let stale = Precondition::NoneOf(vec![song.revision]);
        let refused = store.trash_project_if(ada.into(), &key, &stale, 9, NOW).await;
        assert!(matches!(refused, Err(Error::PreconditionFailed { current: Some(_) })), "{refused:?}");
    }
    for key in [title("None").into(), project_id().into()] {
        let absent = store.trash_project_if(ada.into(), &key, &Precondition::None, 9, NOW).await;
        assert!(matches!(absent, Err(Error::NoSuchProject)), "{absent:?}");
        let absent = store.delete_project_if(ada.into(), &key, &Precondition::None, NOW).await;
        assert!(matches!(absent, Err(Error::NoSuchProject)), "{absent:?}");
    }
    assert_eq!(snapshot(store, ada).await, before);
    store.delete_project_if(ada.into(), &song.id.into(), &Precondition::Exists, NOW).await.unwrap();
    assert_eq!(listed(store, ada).await, []);
}

pub async fn a_restored_project_counts_for_the_limit(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.project().await;
    trash(store, &song, 1).await;
    save(store, ada, "Other").await.projects_max(1).project().await;
    let limited = TrashRestore { projects_max: 1, ..restore(ada, song.id) };
    let before = snapshot(store, ada).await;
    let refused = store.restore_trashed(&limited).await;
    assert!(matches!(refused, Err(Error::TooManyProjects { max: 1 })), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);
}

pub async fn an_ended_session_does_not_change_the_trash(store: &dyn RecordStore) {
    let ada = account(store).await;
    let ended = session(ada);
    begin(store, &ended).await;
    store.revoke_all_sessions(ada, RevocationReason::SignedOut, NOW).await.unwrap();
    let caller = Caller::by_session(ada, ended.id);
    let (song, other) = (save(store, ada, "Song").await.project().await, save(store, ada, "Other").await);
    other.project().await;
    trash(store, &song, 1).await;
    let before = snapshot(store, ada).await;
    let by_session = TrashRestore { caller, ..restore(ada, song.id) };
    let refused = [
        store.trash_project_if(caller, &title("Other").into(), &Precondition::None, 9, NOW).await.map(drop),
        store.restore_trashed(&by_session).await.map(drop),
        store.purge_trashed(caller, &[song.id], NOW).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::SessionEnded)), "{refused:?}");
    }
    assert_eq!(snapshot(store, ada).await, before);
}

pub async fn lost_media_in_the_trash_is_replaced(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    trash(store, &song, 1).await;
    let lost = song.media.unwrap().object;
    let again = save(store, ada, "Again").await.media(b"song").await.lost(lost).project().await;
    assert_eq!(listed(store, ada).await[0].project.media, again.media);
    assert_all_agrees(store, &[ada]).await;
}
