//! Backups and restores: holds, snapshots, and records that are restored.

use futures_util::TryStreamExt;

use super::fixture::*;
use crate::domain::{
    Digest, Hold, HoldId, ListQuery, Object, ObjectKind, ObjectState, Precondition, RestoreId, RestoreMark,
    User, UserId,
};
use crate::error::Error;
use crate::records::{RecordStore, SnapshotRecord, StateKind, StateRecord};

fn hold(number: u8, renewals: u64) -> Hold {
    Hold { id: HoldId::from_bytes([number; 16]), renewals }
}

fn mark(number: u8) -> RestoreMark {
    RestoreMark { id: RestoreId::from_bytes([number; 16]), snapshot: Digest::of(&[number]) }
}

/// The accounts and the states of a snapshot that is taken now.
async fn snapshot(store: &dyn RecordStore) -> (Vec<User>, Vec<StateRecord>) {
    store.add_hold(hold(9, 0)).await.unwrap();
    let records = store.read_snapshot(hold(9, 0).id).await.unwrap();
    let (mut users, mut states) = (Vec::new(), Vec::new());
    for record in records.try_collect::<Vec<_>>().await.unwrap() {
        match record {
            SnapshotRecord::User(user) => {
                assert_eq!(states, [], "the accounts come first");
                users.push(user);
            }
            SnapshotRecord::State(state) => states.push(*state),
            SnapshotRecord::Damaged(damaged) => panic!("{damaged:?}"),
        }
    }
    store.forget_hold(hold(9, 0)).await.unwrap();
    (users, states)
}

/// Two accounts; one has a project with two versions, and a project in the trash.
async fn fill(store: &dyn RecordStore) -> (UserId, UserId) {
    let (ada, bob) = (account(store).await, account(store).await);
    save(store, ada, "Song").await.keeping().media(b"song").await.project().await;
    save(store, ada, "Song").await.keeping().notes_with(b"two").project().await;
    save(store, ada, "Song").await.keeping().notes_with(b"three").media(b"other").await.project().await;
    let talk = save(store, ada, "Talk").await.keeping().media(b"song").await.project().await;
    let key = talk.id.into();
    store.trash_project_if(ada.into(), &key, &Precondition::None, u64::MAX, NOW.after(DAY)).await.unwrap();
    save(store, bob, "Song").await.project().await;
    (ada, bob)
}

pub async fn a_hold_is_there_until_it_is_forgotten(store: &dyn RecordStore) {
    assert_eq!(store.list_holds().await.unwrap(), []);
    assert!(!store.renew_hold(hold(1, 1)).await.unwrap());
    store.add_hold(hold(2, 0)).await.unwrap();
    store.add_hold(hold(1, 0)).await.unwrap();
    assert_eq!(store.list_holds().await.unwrap(), [hold(1, 0), hold(2, 0)]);
    assert!(store.renew_hold(hold(1, 1)).await.unwrap());
    assert_eq!(store.list_holds().await.unwrap(), [hold(1, 1), hold(2, 0)]);
    for _ in 0..2 {
        store.forget_hold(hold(1, 1)).await.unwrap();
        assert_eq!(store.list_holds().await.unwrap(), [hold(2, 0)]);
        assert!(!store.renew_hold(hold(1, 2)).await.unwrap());
    }
}

pub async fn a_hold_that_has_been_renewed_is_not_forgotten(store: &dyn RecordStore) {
    store.add_hold(hold(1, 0)).await.unwrap();
    assert!(store.renew_hold(hold(1, 1)).await.unwrap());
    store.forget_hold(hold(1, 0)).await.unwrap();
    assert_eq!(store.list_holds().await.unwrap(), [hold(1, 1)]);
}

pub async fn bytes_of_removed_inline_notes_are_kept_while_there_is_a_hold(store: &dyn RecordStore) {
    let ada = account(store).await;
    let save_inline = async |text: &'static str| {
        let saved = save(store, ada, "Song").await.inline(text.as_bytes()).project().await;
        saved.notes.object
    };
    let kept = async |id| store.find_held_bytes(id).await.unwrap();
    let first = save_inline("first").await;
    let second = save_inline("second").await;
    assert_eq!(store.find_inline_bytes(first).await.unwrap(), None);
    assert_eq!(kept(first).await, None, "there was no hold");
    for n in [1, 2] {
        store.add_hold(hold(n, 0)).await.unwrap();
    }
    let third = save_inline("third").await;
    assert_eq!(store.find_inline_bytes(second).await.unwrap(), None);
    assert_eq!(kept(second).await.as_deref(), Some(&b"second"[..]));
    store.forget_hold(hold(1, 0)).await.unwrap();
    assert!(kept(second).await.is_some());
    store.forget_hold(hold(2, 0)).await.unwrap();
    assert_eq!(kept(second).await, None);
    assert!(store.find_inline_bytes(third).await.unwrap().is_some());
}

pub async fn a_snapshot_without_its_hold_is_refused(store: &dyn RecordStore) {
    store.add_hold(hold(1, 0)).await.unwrap();
    let refused = store.read_snapshot(hold(2, 0).id).await;
    assert!(matches!(refused, Err(Error::HoldLost)));
}

pub async fn a_snapshot_contains_every_account_and_state(store: &dyn RecordStore) {
    assert_eq!(snapshot(store).await, (vec![], vec![]));
    let (ada, bob) = fill(store).await;
    let (users, states) = snapshot(store).await;
    assert_eq!(users, store.list_users(None, MANY).await.unwrap());
    let song = store.find_project(ada, &title("Song")).await.unwrap().unwrap();
    let current = |kind: &StateKind| *kind == StateKind::Current;
    let found: Vec<_> = states.iter().filter(|state| current(&state.kind)).collect();
    let bobs = store.find_project(bob, &title("Song")).await.unwrap().unwrap();
    assert_eq!(found.iter().map(|it| &it.project).collect::<Vec<_>>(), [&song, &bobs]);
    assert_eq!(found[0].notes_digest, Some(Digest::of(b"three")));

    let versions = states.iter().filter_map(|state| match state.kind {
        StateKind::Replaced(replaced) => Some((state.project.clone(), replaced)),
        _ => None,
    });
    let mut listed = store.list_versions(ada, song.id, None, MANY).await.unwrap();
    listed.reverse();
    let listed: Vec<_> = listed.into_iter().map(|it| (it.project, it.replaced)).collect();
    assert_eq!(versions.collect::<Vec<_>>(), listed);

    let trashed = states.iter().filter_map(|state| match state.kind {
        StateKind::Trashed(deleted) => Some((state.project.clone(), deleted)),
        _ => None,
    });
    let listed = store.list_trash(ada, None, MANY).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|it| (it.project, it.deleted)).collect();
    assert_eq!(trashed.collect::<Vec<_>>(), listed);
    assert_eq!(states.len(), 5);
}

pub async fn a_snapshot_shows_one_instant(store: &dyn RecordStore) {
    let ada = account(store).await;
    // More than any backend reads ahead.
    for n in 0..200 {
        save(store, ada, &format!("{n}")).await.project().await;
    }
    store.add_hold(hold(1, 0)).await.unwrap();
    let mut records = store.read_snapshot(hold(1, 0).id).await.unwrap();
    let SnapshotRecord::User(user) = records.try_next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(user.usage.projects, 200);
    for n in 0..200 {
        save(store, ada, &format!("{n}")).await.project().await;
    }
    save(store, ada, "new").await.project().await;
    let states: Vec<_> = records.try_collect().await.unwrap();
    assert_eq!(states.len(), 200);
    for record in states {
        let SnapshotRecord::State(state) = record else { panic!("{record:?}") };
        assert_eq!(state.project.revision.get(), 1);
        assert!(state.notes_digest.is_some());
    }
}

pub async fn a_restore_needs_an_empty_store(store: &dyn RecordStore) {
    let ada = account(store).await;
    let refused = store.begin_restore(mark(1)).await;
    assert!(matches!(refused, Err(Error::NotEmpty)), "{refused:?}");
    assert_eq!(store.find_restore().await.unwrap(), None);
    // What a removed account leaves counts too.
    save(store, ada, "Song").await.project().await;
    store.remove_user(ada.into(), NOW).await.unwrap();
    let refused = store.begin_restore(mark(1)).await;
    assert!(matches!(refused, Err(Error::NotEmpty)), "{refused:?}");
    assert_eq!(store.find_restore().await.unwrap(), None);
}

pub async fn a_restore_goes_on_only_with_the_same_snapshot(store: &dyn RecordStore) {
    assert_eq!(store.begin_restore(mark(1)).await.unwrap(), mark(1));
    let again = RestoreMark { id: mark(2).id, ..mark(1) };
    assert_eq!(store.begin_restore(again).await.unwrap(), mark(1));
    let other = store.begin_restore(mark(2)).await;
    assert!(matches!(other, Err(Error::Restoring)), "{other:?}");
    store.end_restore(mark(2)).await.unwrap();
    assert_eq!(store.find_restore().await.unwrap(), Some(mark(1)));
    store.end_restore(mark(1)).await.unwrap();
    assert_eq!(store.find_restore().await.unwrap(), None);
    assert_eq!(store.begin_restore(mark(2)).await.unwrap(), mark(2));
}

pub async fn no_account_is_created_during_a_restore(store: &dyn RecordStore) {
    store.begin_restore(mark(1)).await.unwrap();
    let new = user("ada@example.org");
    let refused = store.create_user(&new).await;
    assert!(matches!(refused, Err(Error::Restoring)), "{refused:?}");
    assert_eq!(store.list_users(None, MANY).await.unwrap(), []);
    store.end_restore(mark(1)).await.unwrap();
    store.create_user(&new).await.unwrap();
}

/// Takes a snapshot, deletes everything, and restores it.
pub async fn restored_records_are_those_of_the_snapshot(store: &dyn RecordStore) {
    let (ada, bob) = fill(store).await;
    let rows = live(store, ObjectKind::Media).await;
    let rows = rows.into_iter().chain(live(store, ObjectKind::Notes).await).collect::<Vec<Object>>();
    let mut inline = std::collections::HashMap::new();
    for row in &rows {
        if let Some(bytes) = store.find_inline_bytes(row.id).await.unwrap() {
            inline.insert(row.id, bytes);
        }
    }
    let (users, states) = snapshot(store).await;
    for id in [ada, bob] {
        store.remove_user(id.into(), NOW).await.unwrap();
    }
    while store.purge_removed(MANY, NOW).await.unwrap() > 0 {}
    let before =
        crate::protocol::StaleBefore { reserved: crate::Timestamp::MAX, unreferenced: crate::Timestamp::MAX };
    while store.doom_stale(&before, MANY, NOW).await.unwrap() > 0 {}
    let doomed = store.list_doomed(None, MANY).await.unwrap();
    store.forget_doomed(&ids(&doomed)).await.unwrap();

    assert_eq!(store.begin_restore(mark(1)).await.unwrap(), mark(1));
    let reserved = Object { state: ObjectState::Reserved, content: None, references: 0, ..rows[0].clone() };
    store.reserve(&[reserved]).await.unwrap();
    // A repeated step changes nothing.
    for _ in 0..2 {
        for row in &rows {
            store.restore_object(row, inline.get(&row.id)).await.unwrap();
        }
        store.restore_states(&states).await.unwrap();
    }
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), None, "the accounts come last");
    for _ in 0..2 {
        store.restore_users(&users).await.unwrap();
        store.restore_states(&states).await.unwrap();
    }
    store.end_restore(mark(1)).await.unwrap();
    assert_eq!(snapshot(store).await, (users, states));
    assert_all_agrees(store, &[ada, bob]).await;
    let song = ListQuery { search: Some("song".to_owned()), ..ListQuery::default() };
    let found = store.list_projects(ada, &song).await.unwrap().projects;
    assert_eq!(found.len(), 1, "restored titles are found by a search");
    save(store, ada, "Song").await.keeping().project().await;
    assert_all_agrees(store, &[ada, bob]).await;
}
