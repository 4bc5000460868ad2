//! Versions: what a save keeps of the state that it replaces, and for how long.

use super::fixture::*;
use crate::clock::Timestamp;
use crate::domain::{Metadata, ObjectKind, ObjectState, Precondition, Project, Revision, UserId, Version};
use crate::error::Error;
use crate::records::{RecordStore, SaveOutcome};

async fn versions(store: &dyn RecordStore, project: &Project) -> Vec<Version> {
    store.list_versions(project.owner, project.id, None, MANY).await.unwrap()
}

/// Saves a project `count` times, at intervals of a second; returns its last state.
async fn saved_often(store: &dyn RecordStore, owner: UserId, text: &str, count: u32) -> Project {
    let mut last = None;
    for n in 0..count {
        last = Some(save(store, owner, text).await.keeping().at(NOW.after(n * SECOND)).project().await);
    }
    last.unwrap()
}

pub async fn a_save_keeps_the_state_that_it_replaces(store: &dyn RecordStore) {
    let ada = account(store).await;
    let labelled = Metadata { label: "Audio".to_owned(), ..metadata("Song") };
    let first = save_as(store, ada, labelled).await.keeping().media(b"song").await.project().await;
    assert_eq!(versions(store, &first).await, []);
    let later = NOW.after(SECOND);
    let (second, doomed) = save(store, ada, "Song").await.keeping().at(later).saved().await;
    assert_eq!((second.saved, doomed), (later, vec![]));

    let version = Version { project: first.clone(), replaced: later };
    assert_eq!(versions(store, &first).await, std::slice::from_ref(&version));
    assert_eq!(store.find_version(ada, first.id, first.revision).await.unwrap(), Some(version));
    for other in [second.revision, Revision::NONE, Revision::new(u64::MAX)] {
        assert_eq!(store.find_version(ada, first.id, other).await.unwrap(), None);
    }
    let notes = row(store, first.notes.object).await.unwrap();
    assert_eq!((notes.state, notes.references), (ObjectState::Live, 1));
    assert_eq!(live(store, ObjectKind::Media).await[0].references, 2);
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((1, 14), 10));
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_save_with_equal_notes_and_media_keeps_no_version(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first =
        save(store, ada, "Song").await.keeping().notes_with(b"[]").media(b"song").await.project().await;
    for same in [
        save(store, ada, "Song").await.keeping().notes_with(b"[]"),
        save(store, ada, "Song").await.keeping().notes_with(b"[]").media(b"song").await,
        save(store, ada, "Song").await.keeping().notes_with(b"[]").known(b"song"),
    ] {
        same.project().await;
        assert_eq!(versions(store, &first).await, []);
        assert_eq!(live(store, ObjectKind::Media).await[0].references, 1);
    }
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 1);

    // With other media the version is kept, though the notes are equal.
    save(store, ada, "Song").await.keeping().notes_with(b"[]").media(b"other").await.project().await;
    assert_eq!(versions(store, &first).await.len(), 1);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn other_media_replaces_that_of_a_project_with_a_history(store: &dyn RecordStore) {
    let ada = account(store).await;
    let described = |mimetype: &str| Metadata { mimetype: mimetype.to_owned(), ..metadata("Song") };
    let first = save_as(store, ada, described("audio/mpeg")).await.keeping().media(b"song").await;
    let first = first.project().await;
    let second = save_as(store, ada, described("audio/wav")).await.keeping().media(b"longer").await;
    let second = second.project().await;
    assert_ne!(second.media, first.media);
    assert_eq!((second.id, second.metadata.mimetype.as_str()), (first.id, "audio/wav"));
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((1, 16), 14));

    // The media of a version can be named by its digest, here and in another project.
    let again = save_as(store, ada, described("audio/mpeg")).await.keeping().known(b"song").project().await;
    assert_eq!(again.media, first.media);
    let other = save(store, ada, "Other").await.keeping().known(b"longer").project().await;
    assert_eq!(other.media, second.media);
    assert_eq!(
        live(store, ObjectKind::Media).await.iter().map(|row| row.references).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(versions(store, &first).await.len(), 2);
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((2, 30), 20));
    assert_all_agrees(store, &[ada]).await;
}

pub async fn media_added_to_a_project_is_absent_from_its_version(store: &dyn RecordStore) {
    let ada = account(store).await;
    let linked = Metadata { src: "https://example.org/song".to_owned(), ..metadata("Song") };
    let first = save_as(store, ada, linked).await.keeping().notes_with(b"[]").project().await;
    let second =
        save(store, ada, "Song").await.keeping().notes_with(b"[]").media(b"song").await.project().await;
    assert_eq!((second.media.is_some(), second.metadata.src.as_str()), (true, ""));
    let kept = versions(store, &first).await;
    assert_eq!(kept.iter().map(|version| &version.project).collect::<Vec<_>>(), [&first]);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_restoring_save_takes_nothing_over(store: &dyn RecordStore) {
    let ada = account(store).await;
    let linked = Metadata { src: "https://example.org/song".to_owned(), ..metadata("Song") };
    let first = save_as(store, ada, linked.clone()).await.keeping().project().await;
    let second = save(store, ada, "Song").await.keeping().media(b"song").await.project().await;

    let restored = save_as(store, ada, linked.clone()).await.keeping().restoring(first.id).project().await;
    assert_eq!((restored.id, restored.revision), (first.id, second.revision.next()));
    assert_eq!((restored.media, &restored.metadata), (None, &linked));
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((1, 10), 24));
    // And without a link.
    let bare = save(store, ada, "Song").await.keeping().restoring(first.id).project().await;
    assert_eq!((bare.media, bare.metadata.src.as_str()), (None, ""));
    let back = save(store, ada, "Song").await.keeping().restoring(first.id).known(b"song").project().await;
    assert_eq!(back.media, second.media);
    assert_eq!(versions(store, &first).await.len(), 4);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_restoring_save_is_refused_for_another_project(store: &dyn RecordStore) {
    let ada = account(store).await;
    let song = save(store, ada, "Song").await.keeping().project().await;
    save(store, ada, "Other").await.keeping().project().await;
    let saves = [
        save(store, ada, "Other").await.keeping().restoring(song.id),
        save(store, ada, "New").await.keeping().restoring(song.id),
    ];
    let before = snapshot(store, ada).await;
    for save in saves {
        let refused = save.outcome().await;
        assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
        assert_eq!(snapshot(store, ada).await, before);
    }
}

pub async fn versions_are_listed_in_pages_the_newest_first(store: &dyn RecordStore) {
    let ada = account(store).await;
    let project = saved_often(store, ada, "Song", 6).await;
    saved_often(store, ada, "Other", 3).await;
    let all = versions(store, &project).await;
    let revisions: Vec<u64> = all.iter().map(|version| version.project.revision.get()).collect();
    assert_eq!(revisions, [5, 4, 3, 2, 1]);
    for limit in 1..7 {
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = store.list_versions(ada, project.id, before, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            before = Some(last.project.revision);
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    assert_eq!(store.list_versions(ada, project.id, None, 0).await.unwrap(), []);
}

pub async fn versions_of_another_account_are_absent(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let project = saved_often(store, ada, "Song", 2).await;
    for nobody in [bob, user_id()] {
        assert_eq!(store.find_version(nobody, project.id, Revision::FIRST).await.unwrap(), None);
        assert_eq!(store.list_versions(nobody, project.id, None, MANY).await.unwrap(), []);
    }
    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_eq!(store.find_version(ada, project.id, Revision::FIRST).await.unwrap(), None);
    assert_eq!(store.list_versions(ada, project.id, None, MANY).await.unwrap(), []);
}

pub async fn lost_media_of_versions_is_replaced(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "One").await.keeping().media(b"song").await.project().await;
    let lost = first.media.unwrap().object;
    save(store, ada, "One").await.keeping().media(b"other").await.project().await;
    save(store, ada, "Two").await.keeping().known(b"song").project().await;
    save(store, ada, "Two").await.keeping().project().await;

    // The save that replaces the bytes makes its own former state a version, too.
    let again = save(store, ada, "Two").await.keeping().media(b"song").await.lost(lost).project().await;
    let kept = [versions(store, &first).await, versions(store, &again).await].concat();
    assert_eq!(kept.iter().map(|version| version.project.media).collect::<Vec<_>>(), [again.media; 3]);
    assert_eq!(row(store, lost).await.unwrap().state, ObjectState::Doomed);
    let row = row(store, again.media.unwrap().object).await.unwrap();
    assert_eq!((row.state, row.references), (ObjectState::Live, 4));
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_save_thins_out_the_versions_that_are_too_many(store: &dyn RecordStore) {
    let ada = account(store).await;
    let project = saved_often(store, ada, "Song", 104).await;
    let kept: Vec<u64> = versions(store, &project).await.iter().map(|it| it.project.revision.get()).collect();
    assert_eq!(kept, (4..104).rev().collect::<Vec<u64>>());
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 101);
    assert_all_agrees(store, &[ada]).await;

    // Days later, all but the last version of the day are surplus, and each save purges some of them.
    let later = NOW.after(3 * DAY);
    save(store, ada, "Song").await.keeping().at(later).project().await;
    let left = versions(store, &project).await;
    assert!((2..101).contains(&left.len()), "{}", left.len());
    assert_eq!(left.first().map(|version| version.replaced), Some(later));
    while store.thin_history(ada, project.id, Some(MONTH), 10, later).await.unwrap().purged > 0 {}
    let left: Vec<u64> = versions(store, &project).await.iter().map(|it| it.project.revision.get()).collect();
    assert_eq!(left, [104]);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn a_history_is_thinned_in_bounded_steps(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let project = saved_often(store, ada, "Song", 8).await;
    let other = saved_often(store, ada, "Other", 3).await;
    let thin = async |history, limit, now| {
        let thinned = store.thin_history(ada, project.id, history, limit, now).await.unwrap();
        assert_eq!(thinned.purged, thinned.doomed.len());
        assert_all_agrees(store, &[ada, bob]).await;
        thinned.purged
    };
    assert_eq!(thin(Some(MONTH), MANY, NOW.after(HOUR)).await, 0);
    assert_eq!(thin(Some(MONTH), 2, NOW.after(2 * DAY)).await, 2);
    assert_eq!(thin(Some(MONTH), MANY, NOW.after(2 * DAY)).await, 4);
    assert_eq!(versions(store, &project).await.len(), 1);
    assert_eq!(thin(Some(MONTH), MANY, NOW.after(MONTH)).await, 0);
    assert_eq!(thin(Some(MONTH), MANY, NOW.after(MONTH + HOUR)).await, 1);
    assert_eq!(versions(store, &other).await.len(), 2);
    let none = store.thin_history(ada, other.id, None, MANY, NOW).await.unwrap();
    assert_eq!(none.purged, 2);
    for nobody in [bob, user_id()] {
        let thinned = store.thin_history(nobody, project_id(), None, MANY, NOW).await.unwrap();
        assert_eq!(thinned.purged, 0);
    }
}

pub async fn replaced_versions_are_listed_by_their_time(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let song = saved_often(store, ada, "Song", 5).await;
    let other = saved_often(store, bob, "Song", 5).await;
    let span = NOW.after(2 * SECOND)..NOW.after(4 * SECOND);
    let all = store.list_replaced(span.clone(), None, MANY).await.unwrap();
    let listed: Vec<_> = all.iter().map(|it| (it.replaced, it.owner, it.revision.get())).collect();
    let at = |seconds: u32| NOW.after(seconds * SECOND);
    assert!(song.id < other.id);
    assert_eq!(listed, [(at(2), ada, 2), (at(2), bob, 2), (at(3), ada, 3), (at(3), bob, 3)]);
    for limit in 1..6 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_replaced(span.clone(), after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(*last);
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    let whole = Timestamp::from_millis(0)..NOW.after(DAY);
    assert_eq!(store.list_replaced(whole, None, MANY).await.unwrap().len(), 8);
}

pub async fn a_deletion_for_good_purges_the_versions(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.keeping().media(b"song").await.project().await;
    save(store, ada, "Song").await.keeping().media(b"other").await.project().await;
    save(store, ada, "Song").await.keeping().project().await;
    save(store, ada, "Else").await.keeping().known(b"song").project().await;
    let deleted = store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!(deleted.doomed.len(), 3, "the notes");
    assert_eq!(versions(store, &first).await, []);
    assert_eq!((usage(store, ada).await, kept_bytes(store, ada).await), ((1, 14), 0));
    assert_all_agrees(store, &[ada]).await;
}

pub async fn versions_of_a_removed_account_are_purged(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    saved_often(store, ada, "Song", 5).await;
    let kept = save(store, bob, "Song").await.keeping().media(b"song").await.project().await;
    save(store, bob, "Song").await.keeping().media(b"other").await.project().await;
    store.remove_user(ada.into(), NOW).await.unwrap();
    let mut purged = 0;
    loop {
        let step = store.purge_removed(2, NOW).await.unwrap();
        assert!(step <= 2);
        purged += step;
        if step == 0 {
            break;
        }
    }
    assert_eq!(purged, 5);
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 2);
    assert_eq!(versions(store, &kept).await.len(), 1);
    assert_all_agrees(store, &[bob]).await;
}

/// What the record of a project with this title costs.
fn record(text: &str) -> u64 {
    Project::RECORD_BYTES + metadata(text).stored_len()
}

pub async fn the_oldest_of_history_and_trash_give_way_to_a_save(store: &dyn RecordStore) {
    let ada = account(store).await;
    let (one, quota) = (10 + record("Song"), 4 * (10 + record("Song")));
    let at = |seconds: u32| NOW.after(seconds * SECOND);
    let timed =
        async |text: &str, seconds| save(store, ada, text).await.keeping().at(at(seconds)).quota(quota);
    let song = timed("Song", 0).await.project().await;
    timed("Song", 1).await.project().await;
    let gone = timed("Gone", 2).await.project().await;
    store.trash_project_if(ada.into(), &gone.id.into(), &Precondition::None, 9, at(3)).await.unwrap();
    timed("Song", 4).await.project().await;
    let total = async || store.find_user(ada).await.unwrap().unwrap().usage.total();
    assert_eq!(total().await, quota);

    // One more state: the first version goes. With the next, the project in the trash does.
    timed("Song", 5).await.project().await;
    assert_eq!(store.find_version(ada, song.id, Revision::FIRST).await.unwrap(), None);
    assert_eq!(store.list_trash(ada, None, MANY).await.unwrap().len(), 1);
    let (_, doomed) = timed("Song", 6).await.saved().await;
    assert_eq!(doomed, [gone.notes.object]);
    assert_eq!(versions(store, &song).await.len(), 3);
    assert_eq!(total().await, quota);
    assert_all_agrees(store, &[ada]).await;

    // A save that does not fit fails, and purges nothing.
    let refused = [
        timed("Song", 7).await.notes_of(3 * one + 11 + record("Song")),
        timed("New!", 7).await.notes_of(2 * one + 1 + 10),
        timed("Song", 7).await.demanding(Precondition::Absent),
    ];
    let before = snapshot(store, ada).await;
    for save in refused {
        let refused = save.outcome().await;
        assert!(
            matches!(refused, Err(Error::QuotaExceeded { .. } | Error::PreconditionFailed { .. })),
            "{refused:?}"
        );
        assert_eq!(snapshot(store, ada).await, before);
    }
    // A save that needs all of the quota leaves nothing of the history.
    let all = timed("Song", 8).await.notes_of(3 * one + 10);
    assert!(matches!(all.outcome().await.unwrap(), SaveOutcome::Saved { .. }));
    assert_eq!(versions(store, &song).await, []);
    assert_eq!((total().await, kept_bytes(store, ada).await), (quota, 0));
    assert_all_agrees(store, &[ada]).await;
}
