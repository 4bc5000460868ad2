//! Media files that were deleted or truncated by something other than the store.

use bytes::Bytes;
use notestamp_store::{Error, Project};

use super::fixture::{Fixture, LARGE, media, read};

/// Deletes the media file of a project.
async fn lose(it: &Fixture, project: &Project) {
    let media = project.media.unwrap();
    it.parts.media.delete(media.namespace, media.object).await.unwrap();
}

async fn assert_lost(it: &Fixture, project: &Project) {
    let lost = it.store.read_media(project, &project.media.unwrap(), None).await.map(drop);
    assert!(matches!(lost, Err(Error::Corrupt(_))), "{lost:?}");
}

pub async fn a_lost_file_is_restored_by_the_next_save_with_the_same_bytes(it: Fixture) -> Fixture {
    for size in [10, LARGE] {
        let bytes = media(1, size);
        let first = it.draft("first").media(&bytes).save().await;
        let second = it.draft("second").media(&bytes).save().await;
        lose(&it, &first).await;
        assert_lost(&it, &second).await;
        let usage = it.usage().await;

        // Saved under a project that has the media, and under a new one.
        for text in ["first", "third"] {
            let again = it.draft(text).media(&bytes).save().await;
            assert!(read(&it.store, &again, None).await == bytes);
            for text in ["first", "second"] {
                let now = it.find(text).await.unwrap();
                assert!(read(&it.store, &now, None).await == bytes, "{text}");
            }
            // A caller that read the project before the save gets the new file, too.
            assert!(read(&it.store, &second, None).await == bytes);
            assert_eq!(it.live_media().await.len(), 1);
            lose(&it, &again).await;
        }
        it.draft("third").media(&bytes).save().await;
        it.delete("third").await.unwrap();
        assert_eq!(it.usage().await, usage);
        it.assert_settles().await;
        it.delete("first").await.unwrap();
        it.delete("second").await.unwrap();
        it.assert_swept_clean().await;
    }
    it
}

pub async fn a_lost_file_is_needed_if_a_save_has_only_its_digest(it: Fixture) -> Fixture {
    let bytes = media(1, 1_000);
    let first = it.draft("first").media(&bytes).save().await;
    lose(&it, &first).await;
    for text in ["first", "second"] {
        let refused = it.draft(text).announcing(&bytes).try_save().await;
        assert!(matches!(refused, Err(Error::MediaNeeded)), "{refused:?}");
    }
    assert_eq!(it.find("first").await.unwrap(), first);
    // After this refusal a client sends the bytes.
    it.draft("second").media(&bytes).announcing(&bytes).save().await;
    let known = it.draft("third").announcing(&bytes).save().await;
    for project in [it.find("first").await.unwrap(), known] {
        assert!(read(&it.store, &project, None).await == bytes);
    }
    it
}

pub async fn a_truncated_file_is_restored_too(it: Fixture) -> Fixture {
    let bytes = media(1, 1_000);
    let first = it.draft("first").media(&bytes).save().await;
    lose(&it, &first).await;
    let media = first.media.unwrap();
    it.parts.media.put(media.namespace, media.object, Bytes::from_static(b"cut short")).await.unwrap();
    it.draft("second").media(&bytes).save().await;
    assert!(read(&it.store, &it.find("first").await.unwrap(), None).await == bytes);
    it
}
