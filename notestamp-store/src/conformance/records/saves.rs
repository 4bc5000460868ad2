//! The commit of a save: revisions, preconditions, usage, quota, and that a refused save changes nothing.

use super::fixture::*;
use crate::domain::{
    Digest, ListQuery, METADATA_BYTES_MAX, Metadata, Namespace, NotesRef, Object, ObjectKind, ObjectPlace,
    ObjectState, Precondition, Project, Revision, SRC_BYTES_MAX,
};
use crate::error::Error;
use crate::protocol::{NewNotes, Written};
use crate::records::{RecordStore, SaveOutcome};

pub async fn the_first_save_creates_a_project(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.at(NOW.after(SECOND));
    let (commit, id) = (first.commit.clone(), first.commit.new_id);
    let (project, doomed) = first.saved().await;

    assert_eq!((project.id, project.owner), (id, ada));
    assert_eq!((project.revision, project.save), (Revision::FIRST, 1));
    assert_eq!(project.created, NOW.after(SECOND));
    assert_eq!(project.notes, NotesRef { object: commit.notes.written().object, size: 10 });
    assert_eq!((project.media, &project.metadata), (None, &commit.metadata));
    assert_eq!(doomed, []);
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), Some(project));

    let Written { object, digest, size } = commit.notes.written();
    let expected = Object {
        id: object,
        kind: ObjectKind::Notes,
        namespace: Namespace::Owner(ada),
        place: ObjectPlace::BlobStore,
        state: ObjectState::Live,
        content: Some((digest, size)),
        references: 1,
        since: NOW.after(SECOND),
    };
    assert_eq!(ledger(store).await, [expected]);
}

pub async fn the_second_save_replaces_the_first(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.project().await;
    let later = NOW.after(SECOND);
    let metadata = Metadata { label: "second".to_owned(), ..metadata("Song") };
    let (second, doomed) = save_as(store, ada, metadata.clone()).await.at(later).saved().await;

    assert_eq!((second.id, second.created), (first.id, first.created));
    assert_eq!((second.revision, second.save), (Revision::new(2), 2));
    assert_eq!(second.metadata, metadata);
    assert_eq!(doomed, [first.notes.object]);
    let old_notes = row(store, first.notes.object).await.unwrap();
    assert_eq!((old_notes.state, old_notes.references), (ObjectState::Doomed, 0));
    assert_eq!(old_notes.since, later);
    assert_eq!(store.list_doomed(None, MANY).await.unwrap(), [old_notes]);
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), Some(second));
    assert_eq!(titles(store, ada, &ListQuery::default()).await, ["Song"]);
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 1);
}

pub async fn the_doomed_objects_of_a_save_are_reported_as_stored(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    let again = save(store, ada, "Song").await.media(b"song").await;
    let Ok(SaveOutcome::Saved { mut doomed, .. }) = again.outcome().await else {
        panic!("the save is committed")
    };
    doomed.sort_by_key(|row| row.id);
    assert_eq!(doomed.len(), 2);
    assert_eq!(store.list_doomed(None, MANY).await.unwrap(), doomed);
}

pub async fn each_precondition_is_enforced(store: &dyn RecordStore) {
    let ada = account(store).await;
    let (one, two, three) = (Revision::new(1), Revision::new(2), Revision::new(3));
    for _ in 0..2 {
        save(store, ada, "Song").await.project().await;
    }
    let refused = [
        ("Song", Precondition::Absent, Some(two)),
        ("Song", Precondition::OneOf(vec![one]), Some(two)),
        ("Song", Precondition::OneOf(vec![one, three]), Some(two)),
        ("Song", Precondition::OneOf(vec![]), Some(two)),
        ("Song", Precondition::NoneOf(vec![two]), Some(two)),
        ("Song", Precondition::NoneOf(vec![one, two]), Some(two)),
        ("New", Precondition::Exists, None),
        ("New", Precondition::OneOf(vec![one]), None),
    ];
    for (title, precondition, revision) in refused {
        let save = save(store, ada, title).await.media(b"song").await.demanding(precondition.clone());
        let before = snapshot(store, ada).await;
        match save.outcome().await {
            Err(Error::PreconditionFailed { current }) => assert_eq!(current, revision, "{precondition:?}"),
            other => panic!("{precondition:?} came to {other:?}"),
        }
        assert_eq!(snapshot(store, ada).await, before, "{precondition:?}");
    }
    let kept = [
        ("Song", Precondition::None),
        ("Song", Precondition::Exists),
        ("Song", Precondition::OneOf(vec![Revision::new(4)])),
        ("Song", Precondition::OneOf(vec![one, Revision::new(5)])),
        ("Song", Precondition::NoneOf(vec![two, three])),
        ("New", Precondition::Absent),
        ("New too", Precondition::NoneOf(vec![one])),
    ];
    for (title, precondition) in kept {
        save(store, ada, title).await.demanding(precondition).project().await;
    }
    let song = store.find_project(ada, &title("Song")).await.unwrap().unwrap();
    assert_eq!(song.revision, Revision::new(7));
}

pub async fn a_save_whose_notes_are_no_longer_reserved_has_expired(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.project().await;
    let doomed = save(store, ada, "Song").await.media(b"song").await;
    store.doom_reserved(&[doomed.commit.notes.written().object], NOW).await.unwrap();
    let forgotten = save(store, ada, "New").await;
    let object = forgotten.commit.notes.written().object;
    store.doom_reserved(&[object], NOW).await.unwrap();
    store.forget_doomed(&[object]).await.unwrap();
    let mut live_already = save(store, ada, "New").await;
    let notes = live_already.commit.notes.written();
    live_already.commit.notes = NewNotes::Written(Written { object: song.notes.object, ..notes });

    let before = snapshot(store, ada).await;
    for save in [doomed, forgotten, live_already] {
        let refused = save.outcome().await;
        assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
        assert_eq!(snapshot(store, ada).await, before);
    }
}

pub async fn a_save_whose_media_is_no_longer_reserved_has_expired(store: &dyn RecordStore) {
    let ada = account(store).await;
    let written = save(store, ada, "Written").await.media(b"new").await;
    let staged = save(store, ada, "Staged").await.staged(b"new").await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    let written_again = save(store, ada, "Written").await.media(b"song").await;
    let staged_again = save(store, ada, "Staged").await.staged(b"song").await;

    let saves = [written, staged, written_again, staged_again];
    let objects: Vec<_> = saves.iter().map(Save::media_object).collect();
    store.doom_reserved(&objects, NOW).await.unwrap();
    store.forget_doomed(&objects[..1]).await.unwrap();
    let before = snapshot(store, ada).await;
    for save in saves {
        let refused = save.outcome().await;
        assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
        assert_eq!(snapshot(store, ada).await, before);
    }
}

pub async fn a_committed_save_is_not_committed_again(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.media(b"song").await;
    let commit = first.commit.clone();
    first.project().await;
    let before = snapshot(store, ada).await;
    let refused = store.commit_save(&commit).await;
    assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);
}

pub async fn a_save_of_an_unknown_account_is_refused(store: &dyn RecordStore) {
    let nobody = save(store, user_id(), "Song").await.media(b"song").await;
    let before = ledger(store).await;
    let refused = nobody.outcome().await;
    assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");
    assert_eq!(ledger(store).await, before);
}

pub async fn metadata_that_is_too_large_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    let long_label = Metadata { label: "x".repeat(METADATA_BYTES_MAX), ..metadata("Song") };
    let long_src = Metadata { src: "x".repeat(SRC_BYTES_MAX + 1), ..metadata("Song") };
    let (long_label, long_src) =
        (save_as(store, ada, long_label).await, save_as(store, ada, long_src.clone()).await);
    let before = snapshot(store, ada).await;
    let refused = long_label.outcome().await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    let refused = long_src.outcome().await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);
}

pub async fn the_quota_is_enforced(store: &dyn RecordStore) {
    let ada = account(store).await;
    let record = |text: &str| Project::RECORD_BYTES + metadata(text).stored_len();
    let (one, two) = (14 + record("Song"), 14 + record("Song") + record("Other"));
    save(store, ada, "Song").await.media(b"song").await.quota(one).project().await;

    let over = [
        save(store, ada, "Other").await.notes_of(1).quota(two),
        save(store, ada, "Song").await.notes_of(11).quota(one),
        save(store, ada, "Other").await.notes_of(0).media(b"!").await.quota(two),
    ];
    let before = snapshot(store, ada).await;
    for save in over {
        let refused = save.outcome().await;
        assert!(
            matches!(refused, Err(Error::QuotaExceeded { max }) if max == one || max == two),
            "{refused:?}"
        );
        assert_eq!(snapshot(store, ada).await, before);
    }
    // Of bytes that the account stores already, a save uses no quota, and an account over its quota may still save if it uses
    // less.
    save(store, ada, "Same")
        .await
        .notes_of(0)
        .media(b"song")
        .await
        .quota(one + record("Same"))
        .project()
        .await;
    save(store, ada, "Song").await.notes_of(9).quota(5).project().await;
    save(store, ada, "Song").await.notes_of(9).quota(5).project().await;
    assert_eq!(usage(store, ada).await, (2, 13));
}

pub async fn the_limit_of_projects_is_enforced(store: &dyn RecordStore) {
    let ada = account(store).await;
    for text in ["One", "Two"] {
        save(store, ada, text).await.projects_max(2).project().await;
    }
    let third = save(store, ada, "Three").await.projects_max(2);
    let before = snapshot(store, ada).await;
    let refused = third.outcome().await;
    assert!(matches!(refused, Err(Error::TooManyProjects { max: 2 })), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);

    // Projects that exist can be saved, also if the limit is lower by now; and a deletion makes room.
    save(store, ada, "One").await.projects_max(1).project().await;
    store.delete_project(ada.into(), &title("Two"), NOW).await.unwrap();
    save(store, ada, "Three").await.projects_max(2).project().await;
}

pub async fn usage_is_exact_after_each_operation(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let check = async |projects, bytes| {
        assert_eq!(usage(store, ada).await, (projects, bytes));
        assert_eq!(usage(store, bob).await, (1, 1));
    };
    save(store, bob, "Song").await.notes_of(1).project().await;
    save(store, ada, "One").await.notes_of(100).project().await;
    check(1, 100).await;
    save(store, ada, "One").await.notes_of(70).project().await;
    check(1, 70).await;
    save(store, ada, "One").await.notes_of(70).media(b"four").await.project().await;
    check(1, 74).await;
    save(store, ada, "One").await.notes_of(0).media(b"four").await.project().await;
    check(1, 4).await;
    save(store, ada, "Two").await.notes_of(5).media(b"four").await.project().await;
    check(2, 9).await;
    save(store, ada, "Three").await.notes_of(6).known(b"four").project().await;
    check(3, 15).await;
    save(store, ada, "Four").await.notes_of(0).media(b"seven!!").await.project().await;
    check(4, 22).await;
    save(store, ada, "Five").await.notes_of(1).staged(b"seven!!").await.project().await;
    check(5, 23).await;
    store.delete_project(ada.into(), &title("One"), NOW).await.unwrap();
    check(4, 23).await;
    store.delete_project(ada.into(), &title("Two"), NOW).await.unwrap();
    check(3, 18).await;
    store.delete_project(ada.into(), &title("Three"), NOW).await.unwrap();
    check(2, 8).await;
    store.doom_stale(&stale_before(NOW.after(SECOND)), MANY, NOW).await.unwrap();
    check(2, 8).await;
    save(store, ada, "Three").await.notes_of(2).media(b"four").await.project().await;
    check(3, 14).await;
    for text in ["Three", "Four", "Five"] {
        store.delete_project(ada.into(), &title(text), NOW).await.unwrap();
    }
    check(0, 0).await;
    let user = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!(user.saves, 9);
    assert_eq!(store.find_owned_media(ada, Digest::of(b"four")).await.unwrap(), None);
}
