//! Media: stored once, never replaced, and shared only by projects that had its bytes.

use super::fixture::*;
use crate::domain::{Digest, MediaRef, Metadata, Namespace, Object, ObjectKind, ObjectPlace, ObjectState};
use crate::error::Error;
use crate::protocol::MediaOffer;
use crate::records::{RecordStore, SaveOutcome};

pub async fn written_media_becomes_live(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.media(b"song").await.at(NOW.after(SECOND));
    let object = first.media_object();
    let (project, doomed) = first.saved().await;
    let (namespace, digest) = (Namespace::Owner(ada), Digest::of(b"song"));
    assert_eq!(project.media, Some(MediaRef { object, namespace, digest, size: 4 }));
    assert_eq!(doomed, []);
    let expected = Object {
        id: object,
        kind: ObjectKind::Media,
        namespace,
        place: ObjectPlace::BlobStore,
        state: ObjectState::Live,
        content: Some((digest, 4)),
        references: 1,
        since: NOW.after(SECOND),
    };
    assert_eq!(row(store, object).await.as_ref(), Some(&expected));
    assert_eq!(store.find_live_media(namespace, digest).await.unwrap(), Some(expected));
}

pub async fn only_live_media_is_found_by_its_digest(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let namespace = Namespace::Owner(ada);
    let song = save(store, ada, "Song").await.media(b"song").await;
    assert_eq!(store.find_live_media(namespace, Digest::of(b"song")).await.unwrap(), None);
    let notes = song.commit.notes.written().digest;
    song.project().await;
    assert_eq!(store.find_live_media(namespace, notes).await.unwrap(), None, "notes are no media");
    for other in [Namespace::Owner(bob), Namespace::Shared] {
        assert_eq!(store.find_live_media(other, Digest::of(b"song")).await.unwrap(), None);
    }
    assert_eq!(store.find_live_media(namespace, Digest::of(b"else")).await.unwrap(), None);

    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert!(store.find_live_media(namespace, Digest::of(b"song")).await.unwrap().is_some());
    store.doom_stale(&stale_before(NOW.after(SECOND)), MANY, NOW).await.unwrap();
    assert_eq!(store.find_live_media(namespace, Digest::of(b"song")).await.unwrap(), None);
}

pub async fn media_with_the_digest_of_notes_is_another_object(store: &dyn RecordStore) {
    let ada = account(store).await;
    let both = save(store, ada, "Song").await.media(b"[]").await.notes_with(b"[]").notes_of(2);
    let first = both.project().await;
    let second = save(store, ada, "Other").await.notes_with(b"[]").project().await;
    assert_ne!(first.notes.object, second.notes.object);
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 2);
    let media = store.find_live_media(Namespace::Owner(ada), Digest::of(b"[]")).await.unwrap();
    assert_eq!(media.map(|row| (row.id, row.references)), first.media.map(|media| (media.object, 1)));
}

pub async fn equal_bytes_are_one_object(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "One").await.media(b"song").await.project().await;
    let second = save(store, ada, "Two").await.media(b"song").await.at(NOW.after(SECOND));
    let superfluous = second.media_object();
    let (second, doomed) = second.saved().await;
    assert_eq!(second.media, first.media);
    assert_eq!(doomed, [superfluous]);
    let doomed = row(store, superfluous).await.unwrap();
    assert_eq!((doomed.state, doomed.references), (ObjectState::Doomed, 0));

    let media = live(store, ObjectKind::Media).await;
    assert_eq!(media.len(), 1);
    assert_eq!((media[0].references, media[0].since), (2, NOW.after(SECOND)));
    store.delete_project(ada.into(), &title("One"), NOW).await.unwrap();
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 1);
    assert_eq!(store.doom_stale(&stale_before(NOW.after(HOUR)), MANY, NOW).await.unwrap(), 0);
}

pub async fn equal_bytes_in_two_namespaces_are_two_objects(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let one = save(store, ada, "Song").await.media(b"song").await.project().await;
    let two = save(store, bob, "Song").await.media(b"song").await.project().await;
    assert_ne!(one.media.unwrap().object, two.media.unwrap().object);
    assert_eq!(two.media.unwrap().namespace, Namespace::Owner(bob));
    let live = live(store, ObjectKind::Media).await;
    assert_eq!(live.iter().map(|row| row.references).collect::<Vec<_>>(), [1, 1]);
}

pub async fn a_shared_namespace_stores_once_for_all(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let one = save(store, ada, "Song").await.shared().media(b"song").await.project().await;
    let two = save(store, bob, "Song").await.shared().media(b"song").await.project().await;
    assert_eq!(one.media, two.media);
    assert_eq!(one.media.unwrap().namespace, Namespace::Shared);
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 2);
    assert_eq!((usage(store, ada).await, usage(store, bob).await), ((1, 14), (1, 14)));
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!((usage(store, ada).await, usage(store, bob).await), ((0, 0), (1, 14)));
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 1);
}

pub async fn unfinished_media_that_is_new_is_needed(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.project().await;
    for title in ["Song", "New"] {
        let staged = save(store, ada, title).await.staged(title.as_bytes()).await;
        let before = snapshot(store, ada).await;
        assert_eq!(staged.outcome().await.unwrap(), SaveOutcome::BytesNeeded);
        assert_eq!(snapshot(store, ada).await, before);

        let mut completed = staged;
        let Some(MediaOffer::Staged(written)) = completed.commit.media else {
            panic!("it was offered as staged")
        };
        completed.commit.media = Some(MediaOffer::Written(written));
        let project = completed.project().await;
        assert_eq!(project.media.map(|media| media.object), Some(written.object));
    }
}

pub async fn unfinished_media_that_is_already_stored_is_not_needed(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "One").await.media(b"song").await.project().await;
    let second = save(store, ada, "Two").await.staged(b"song").await;
    let superfluous = second.media_object();
    let (second, doomed) = second.saved().await;
    assert_eq!(second.media, first.media);
    assert_eq!(doomed, [superfluous]);
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 2);
}

pub async fn a_digest_of_own_media_replaces_the_bytes(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "One").await.media(b"song").await.project().await;
    let (second, doomed) = save(store, ada, "Two").await.known(b"song").saved().await;
    assert_eq!((second.media, doomed), (first.media, vec![]));
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 2);
}

pub async fn a_digest_of_media_that_the_owner_does_not_have_is_refused(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save(store, bob, "Shared").await.shared().media(b"shared").await.project().await;
    save(store, bob, "Own").await.media(b"own").await.project().await;
    save(store, ada, "Gone").await.media(b"gone").await.project().await;
    store.delete_project(ada.into(), &title("Gone"), NOW).await.unwrap();
    save(store, ada, "Saved").await.project().await;

    let saves = [
        save(store, ada, "New").await.known(b"nobody's"),
        save(store, ada, "New").await.shared().known(b"shared"),
        save(store, ada, "Saved").await.shared().known(b"shared"),
        save(store, ada, "New").await.known(b"own"),
        save(store, ada, "New").await.known(b"gone"),
    ];
    let before = (snapshot(store, ada).await, snapshot(store, bob).await);
    for save in saves {
        let refused = save.outcome().await;
        assert!(matches!(refused, Err(Error::MediaNeeded)), "{refused:?}");
        assert_eq!((snapshot(store, ada).await, snapshot(store, bob).await), before);
    }
}

pub async fn media_is_found_in_any_project_of_its_owner(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "One").await.media(b"song").await.project().await;
    // The operator has changed the setting to shared namespaces since.
    let known = save(store, ada, "Two").await.shared().known(b"song").project().await;
    assert_eq!(known.media, first.media);
    let written = save(store, ada, "Three").await.shared().media(b"song").await;
    let superfluous = written.media_object();
    let (written, doomed) = written.saved().await;
    assert_eq!((written.media, doomed), (first.media, vec![superfluous]));
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 3);
    assert_eq!(usage(store, ada).await, (3, 34));
}

pub async fn media_of_a_saved_project_is_not_replaced(store: &dyn RecordStore) {
    let ada = account(store).await;
    let described = |mimetype: &str| Metadata { mimetype: mimetype.to_owned(), ..metadata("Song") };
    save(store, ada, "Else").await.media(b"else").await.project().await;
    let first = save_as(store, ada, described("audio/mpeg")).await.media(b"song").await.project().await;

    let others = [
        save_as(store, ada, described("video/mp4")).await.media(b"new").await,
        save_as(store, ada, described("video/mp4")).await.staged(b"newer").await,
        save_as(store, ada, described("video/mp4")).await.media(b"else").await,
        save_as(store, ada, described("video/mp4")).await.known(b"else"),
        save_as(store, ada, described("video/mp4")).await.known(b"nobody's"),
    ];
    let before = snapshot(store, ada).await;
    for other in others {
        let refused = other.outcome().await;
        assert!(matches!(refused, Err(Error::MediaDiffers)), "{refused:?}");
        assert_eq!(snapshot(store, ada).await, before);
    }

    let mut notes = first.notes.object;
    for same in [
        save_as(store, ada, described("video/mp4")).await.media(b"song").await,
        save_as(store, ada, described("video/mp4")).await.staged(b"song").await,
        save_as(store, ada, described("video/mp4")).await.known(b"song"),
    ] {
        let dropped = same.commit.media.and_then(|offer| offer.object());
        let (project, doomed) = same.saved().await;
        assert_eq!((project.media, project.metadata.mimetype.as_str()), (first.media, "audio/mpeg"));
        let mut expected: Vec<_> = [notes].into_iter().chain(dropped).collect();
        expected.sort();
        assert_eq!(doomed, expected);
        notes = project.notes.object;
    }
    let expired = save(store, ada, "Song").await.media(b"song").await;
    store.doom_reserved(&[expired.media_object()], NOW).await.unwrap();
    let last = expired.project().await;
    assert_eq!((last.media, last.revision.get()), (first.media, 5));

    let live = live(store, ObjectKind::Media).await;
    assert_eq!(live.iter().map(|row| row.references).collect::<Vec<_>>(), [1, 1]);
}

pub async fn media_can_be_added_to_a_project_later(store: &dyn RecordStore) {
    let ada = account(store).await;
    let linked = |mimetype: &str| Metadata {
        src: "https://example.org/song".to_owned(),
        mimetype: mimetype.to_owned(),
        ..metadata("Song")
    };
    let without = save_as(store, ada, linked("")).await.project().await;
    assert_eq!((without.media, without.metadata.src.as_str()), (None, "https://example.org/song"));
    let with = save_as(store, ada, linked("audio/mpeg")).await.media(b"song").await.project().await;
    assert_eq!(with.media.unwrap().digest, Digest::of(b"song"));
    assert_eq!((with.metadata.src.as_str(), with.metadata.mimetype.as_str()), ("", "audio/mpeg"));
    let kept = save_as(store, ada, linked("")).await.project().await;
    assert_eq!((kept.media, kept.metadata.src.as_str()), (with.media, ""));
    assert_eq!(kept.metadata.mimetype, "audio/mpeg");
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 1);
}

pub async fn a_save_revives_unreferenced_media(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.media(b"song").await.project().await;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 0);

    let later = NOW.after(HOUR);
    let second = save(store, ada, "Song").await.staged(b"song").await.at(later).project().await;
    assert_eq!(second.media, first.media);
    let live = live(store, ObjectKind::Media).await;
    assert_eq!((live.len(), live[0].references, live[0].since), (1, 1, later));
    assert_eq!(store.doom_stale(&stale_before(later.after(HOUR)), MANY, later).await.unwrap(), 0);
}

pub async fn doomed_media_is_never_revived(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.media(b"song").await.project().await;
    let old = first.media.unwrap().object;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!(store.doom_stale(&stale_before(NOW.after(SECOND)), MANY, NOW).await.unwrap(), 1);

    let staged = save(store, ada, "Song").await.staged(b"song").await;
    assert_eq!(staged.outcome().await.unwrap(), SaveOutcome::BytesNeeded);
    let known = save(store, ada, "Song").await.known(b"song").outcome().await;
    assert!(matches!(known, Err(Error::MediaNeeded)), "{known:?}");
    let second = save(store, ada, "Song").await.media(b"song").await.project().await;
    let new = second.media.unwrap().object;
    assert_ne!(new, old);
    assert_eq!(row(store, old).await.unwrap().state, ObjectState::Doomed);

    store.forget_doomed(&[old, new]).await.unwrap();
    assert_eq!(row(store, old).await, None);
    let live = store.find_live_media(Namespace::Owner(ada), Digest::of(b"song")).await.unwrap();
    assert_eq!(live.map(|row| (row.id, row.references)), Some((new, 1)));
}
