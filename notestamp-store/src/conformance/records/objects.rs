//! The ledger: reserved, live or doomed rows.

use super::fixture::*;
use crate::clock::Timestamp;
use crate::domain::{Namespace, Object, ObjectId, ObjectKind, ObjectState};
use crate::protocol::StaleBefore;
use crate::records::RecordStore;

pub async fn reserved_rows_round_trip(store: &dyn RecordStore) {
    let mut rows = Vec::new();
    for kind in [ObjectKind::Notes, ObjectKind::Media] {
        for namespace in [Namespace::Owner(user_id()), Namespace::Shared] {
            let since = NOW.after(SECOND * u32::try_from(rows.len()).unwrap());
            rows.push(Object::reserve(object_id(), kind, namespace, since));
        }
    }
    store.reserve(&[]).await.unwrap();
    assert_eq!(ledger(store).await, []);
    store.reserve(&rows).await.unwrap();
    assert_eq!(ledger(store).await, rows);
    assert_eq!(store.list_doomed(None, MANY).await.unwrap(), []);
}

pub async fn an_id_is_never_reserved_twice(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    let taken = song.media.unwrap().object;
    let before = ledger(store).await;
    let again = Object::reserve(taken, ObjectKind::Media, Namespace::Owner(ada), NOW);
    assert!(store.reserve(&[again]).await.is_err());
    assert_eq!(ledger(store).await, before);
}

pub async fn a_writer_dooms_only_reserved_rows(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    let aborted = reserve(store, ObjectKind::Media, Namespace::Owner(ada)).await;
    let untouched = reserve(store, ObjectKind::Notes, Namespace::Owner(ada)).await;
    let (notes, media) = (song.notes.object, song.media.unwrap().object);
    let live_rows = [row(store, notes).await, row(store, media).await];

    let later = NOW.after(SECOND);
    let mut live = store.doom_reserved(&[aborted, notes, media, object_id()], later).await.unwrap();
    live.sort_by_key(|id| *id == media);
    assert_eq!(live, [notes, media], "what is live is not its own to delete");
    let doomed = row(store, aborted).await.unwrap();
    assert_eq!((doomed.state, doomed.since), (ObjectState::Doomed, later));
    assert_eq!([row(store, notes).await, row(store, media).await], live_rows);
    assert_eq!(row(store, untouched).await.unwrap().state, ObjectState::Reserved);

    assert_eq!(store.doom_reserved(&[aborted], later.after(SECOND)).await.unwrap(), []);
    assert_eq!(store.doom_reserved(&[], later).await.unwrap(), []);
    assert_eq!(row(store, aborted).await, Some(doomed));
}

pub async fn a_row_exactly_at_the_cutoff_is_kept(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    let unreferenced = song.media.unwrap().object;
    let reserved_media = reserve(store, ObjectKind::Media, Namespace::Shared).await;
    let reserved_notes = reserve(store, ObjectKind::Notes, Namespace::Owner(ada)).await;
    let used = save(store, ada, "Used").await.media(b"used").await.project().await;

    let after = Timestamp::from_millis(NOW.as_millis() + 1);
    let doom = async |reserved, unreferenced| {
        let before = StaleBefore { reserved, unreferenced };
        store.doom_stale(&before, MANY, NOW.after(HOUR)).await.unwrap()
    };
    assert_eq!(doom(NOW, NOW).await, 0);
    assert_eq!(doom(NOW, after).await, 1);
    let row_after = row(store, unreferenced).await.unwrap();
    assert_eq!((row_after.state, row_after.since), (ObjectState::Doomed, NOW.after(HOUR)));
    assert!(row_after.content.is_some());

    assert_eq!(doom(after, NOW).await, 2);
    for id in [reserved_media, reserved_notes] {
        assert_eq!(row(store, id).await.unwrap().state, ObjectState::Doomed);
    }
    assert_eq!(doom(Timestamp::MAX, Timestamp::MAX).await, 0);
    for id in [used.notes.object, used.media.unwrap().object] {
        assert_eq!(row(store, id).await.unwrap().state, ObjectState::Live);
    }
}

pub async fn dooming_stale_rows_is_bounded(store: &dyn RecordStore) {
    for _ in 0..5 {
        reserve(store, ObjectKind::Media, Namespace::Shared).await;
    }
    let mut doomed = 0;
    for count in [2, 2, 1, 0] {
        assert_eq!(store.doom_stale(&stale_before(NOW.after(SECOND)), 2, NOW).await.unwrap(), count);
        doomed += count;
        assert_eq!(store.list_doomed(None, MANY).await.unwrap().len(), doomed);
    }
}

pub async fn only_the_doomed_are_forgotten(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    let reserved = reserve(store, ObjectKind::Media, Namespace::Owner(ada)).await;
    let doomed = reserve(store, ObjectKind::Media, Namespace::Owner(ada)).await;
    let doomed_too = reserve(store, ObjectKind::Media, Namespace::Owner(ada)).await;
    store.doom_reserved(&[doomed, doomed_too], NOW).await.unwrap();

    let (notes, media) = (song.notes.object, song.media.unwrap().object);
    for _ in 0..2 {
        store.forget_doomed(&[notes, media, reserved, doomed, object_id()]).await.unwrap();
        assert_eq!(ids(&ledger(store).await).len(), 4);
        assert_eq!(row(store, doomed).await, None);
    }
    store.forget_doomed(&[]).await.unwrap();
    assert_eq!(ids(&store.list_doomed(None, MANY).await.unwrap()), [doomed_too]);
}

pub async fn rows_are_listed_in_the_order_of_their_ids(store: &dyn RecordStore) {
    // Ids compare as unsigned bytes, beginning with the first.
    let ids = [0x00, 0x01, 0x7f, 0x80, 0xff].map(|first| {
        let mut bytes = [0x55; 16];
        bytes[0] = first;
        ObjectId::from_bytes(bytes)
    });
    for (place, id) in ids.into_iter().enumerate().rev() {
        let row = Object::reserve(id, ObjectKind::Media, Namespace::Shared, NOW);
        store.reserve(&[row]).await.unwrap();
        if place % 2 == 0 {
            store.doom_reserved(&[id], NOW).await.unwrap();
        }
    }
    let doomed = [ids[0], ids[2], ids[4]];
    let walk = async |only_doomed: bool, limit: usize| {
        let mut met: Vec<ObjectId> = Vec::new();
        loop {
            let after = met.last().copied();
            let page = match only_doomed {
                true => store.list_doomed(after, limit).await.unwrap(),
                false => store.list_objects(after, limit).await.unwrap(),
            };
            assert!(page.len() <= limit);
            assert!(met.len() <= MANY, "the walk makes no end");
            if page.is_empty() {
                return met;
            }
            met.extend(page.iter().map(|row| row.id));
        }
    };
    for limit in [1, 2, MANY] {
        assert_eq!(walk(false, limit).await, ids);
        assert_eq!(walk(true, limit).await, doomed);
    }
    let between = ObjectId::from_bytes([0x7f; 16]);
    assert_eq!(store.list_objects(Some(between), 1).await.unwrap()[0].id, ids[3]);
    assert_eq!(store.list_doomed(Some(between), 1).await.unwrap()[0].id, ids[4]);
}
