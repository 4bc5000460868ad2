//! Media whose bytes are lost although their ledger row is live.

use super::fixture::*;
use crate::domain::{ObjectKind, ObjectState, Project, UserId};
use crate::error::Error;
use crate::protocol::MediaOffer;
use crate::records::{RecordStore, SaveOutcome};

async fn found(store: &dyn RecordStore, owner: UserId, text: &str) -> Project {
    store.find_project(owner, &title(text)).await.unwrap().unwrap()
}

pub async fn unchecked_media_is_not_taken_for_present(store: &dyn RecordStore) {
    let ada = account(store).await;
    let media = save(store, ada, "One").await.media(b"song").await.project().await.media.unwrap();
    for text in ["One", "Two"] {
        for offer in [
            save(store, ada, text).await.media(b"song").await,
            save(store, ada, text).await.staged(b"song").await,
            save(store, ada, text).await.known(b"song"),
        ] {
            let before = snapshot(store, ada).await;
            let outcome = store.commit_save(&offer.commit).await.unwrap();
            assert_eq!(outcome, SaveOutcome::CheckNeeded(media));
            assert_eq!(snapshot(store, ada).await, before);
        }
    }
}

pub async fn lost_media_is_replaced_for_all_projects_that_refer_to_it(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let lost = save(store, ada, "One").await.shared().media(b"song").await.project().await;
    let lost = lost.media.unwrap().object;
    save(store, ada, "Two").await.shared().media(b"song").await.project().await;
    save(store, bob, "Song").await.shared().media(b"song").await.project().await;
    let other = save(store, bob, "Other").await.shared().media(b"other").await.project().await;
    let before = [found(store, ada, "Two").await, found(store, bob, "Song").await];

    // Saved under a new project, and then under one that has the media already.
    let mut lost = lost;
    for (text, references) in [("New", 4), ("One", 4)] {
        let again = save(store, ada, text).await.shared().media(b"song").await.lost(lost);
        let brought = again.media_object();
        let (project, doomed) = again.saved().await;
        assert_eq!(project.media.map(|media| media.object), Some(brought));
        assert!(doomed.contains(&lost));
        let row_of_brought = row(store, brought).await.unwrap();
        assert_eq!((row_of_brought.state, row_of_brought.references), (ObjectState::Live, references));
        let row_of_lost = row(store, lost).await.unwrap();
        assert_eq!((row_of_lost.state, row_of_lost.references), (ObjectState::Doomed, 0));
        for before in &before {
            let now = found(store, before.owner, before.metadata.title.as_str()).await;
            assert_eq!(now, Project { media: project.media, ..before.clone() });
        }
        lost = brought;
    }
    assert_eq!(found(store, bob, "Other").await, other);
    assert_eq!(live(store, ObjectKind::Media).await.len(), 2);
    assert_all_agrees(store, &[ada, bob]).await;
}

pub async fn lost_media_of_a_digest_is_needed(store: &dyn RecordStore) {
    let ada = account(store).await;
    let lost = save(store, ada, "One").await.media(b"song").await.project().await.media.unwrap().object;
    for text in ["One", "Two"] {
        let known = save(store, ada, text).await.known(b"song").lost(lost);
        let before = snapshot(store, ada).await;
        let refused = known.outcome().await;
        assert!(matches!(refused, Err(Error::MediaNeeded)), "{refused:?}");
        assert_eq!(snapshot(store, ada).await, before);
    }
}

pub async fn unfinished_media_that_was_lost_is_needed(store: &dyn RecordStore) {
    let ada = account(store).await;
    let lost = save(store, ada, "One").await.media(b"song").await.project().await.media.unwrap().object;
    let mut again = save(store, ada, "Two").await.staged(b"song").await.lost(lost);
    assert_eq!(again.outcome().await.unwrap(), SaveOutcome::BytesNeeded);
    let Some(MediaOffer::Staged(written)) = again.commit.media else { panic!("it was offered as staged") };
    again.commit.media = Some(MediaOffer::Written(written));
    let project = again.project().await;
    assert_eq!(project.media.map(|media| media.object), Some(written.object));
    assert_eq!(found(store, ada, "One").await.media, project.media);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn lost_media_in_another_namespace_is_replaced_too(store: &dyn RecordStore) {
    let ada = account(store).await;
    let lost = save(store, ada, "One").await.media(b"song").await.project().await.media.unwrap().object;
    // The operator has changed the setting to shared namespaces since.
    let again = save(store, ada, "Two").await.shared().media(b"song").await.lost(lost).project().await;
    assert_eq!(found(store, ada, "One").await.media, again.media);
    assert_eq!(row(store, lost).await.unwrap().state, ObjectState::Doomed);
    assert_all_agrees(store, &[ada]).await;
}

pub async fn lost_media_that_exists_as_another_object_is_not_stored_again(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let shared = save(store, bob, "Song").await.shared().media(b"song").await.project().await;
    let lost = save(store, ada, "One").await.media(b"song").await.project().await.media.unwrap().object;
    let again = save(store, ada, "Two").await.shared().media(b"song").await.lost(lost);
    let superfluous = again.media_object();
    let (again, doomed) = again.saved().await;
    assert_eq!(again.media, shared.media);
    assert_eq!(found(store, ada, "One").await.media, shared.media);
    assert!(doomed.contains(&superfluous) && doomed.contains(&lost));
    assert_all_agrees(store, &[ada, bob]).await;
}
