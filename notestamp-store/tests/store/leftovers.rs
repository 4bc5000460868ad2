//! A failed save leaves nothing behind, even before a sweep.

use std::convert::Infallible;
use std::task::Poll;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use notestamp_store::{Error, Precondition, Project, Revision};

use super::fixture::{Fixture, LARGE, body, media, notes, read};

/// Asserts that the project is absent, and that soon no object and no row is left.
async fn assert_nothing_left(it: &Fixture) {
    assert!(matches!(it.find("title").await, Err(Error::NoSuchProject)));
    it.assert_settles().await;
    assert_eq!(it.ledger().await, []);
}

pub async fn a_save_that_is_dropped_leaves_nothing(it: Fixture) -> Fixture {
    drop(it.store.begin_save(it.owner).await.unwrap());
    for size in [0, 10, LARGE] {
        let mut save = it.store.begin_save(it.owner).await.unwrap();
        save.write_media(body(&media(1, size))).await.unwrap();
        drop(save);
        assert_nothing_left(&it).await;
    }
    it
}

pub async fn a_body_that_is_abandoned_leaves_nothing(it: Fixture) -> Fixture {
    for size in [0, 10, LARGE] {
        let mut save = it.store.begin_save(it.owner).await.unwrap();
        let (stalled, mut seen_stalled) = tokio::sync::oneshot::channel();
        let mut stalled = Some(stalled);
        let stall = stream::poll_fn(move |_| {
            stalled.take().map(|stalled| stalled.send(()));
            Poll::Pending
        });
        tokio::select! {
            written = save.write_media(body(&media(1, size)).chain(stall)) => panic!("it has ended: {written:?}"),
            stalled = &mut seen_stalled => stalled.unwrap(),
        }
        drop(save);
        assert_nothing_left(&it).await;
    }
    it
}

pub async fn an_incomplete_body_leaves_nothing(it: Fixture) -> Fixture {
    for size in [0, 10, LARGE] {
        let mut save = it.store.begin_save(it.owner).await.unwrap();
        let broken = body(&media(1, size)).map(|chunk| chunk.map_err(|never: Infallible| match never {}));
        let broken = broken.chain(stream::once(async { Err("the line went dead") }));
        let refused = save.write_media(broken).await;
        let Err(Error::Body(why)) = refused else { panic!("{refused:?}") };
        assert_eq!(why.to_string(), "the line went dead");
        assert_nothing_left(&it).await;
    }
    it
}

pub async fn media_beyond_its_limit_leaves_nothing(it: Fixture) -> Fixture {
    let it = it.with(|settings| settings.media_bytes_max = LARGE as u64).await;
    let refused = it.draft("title").media(&media(1, LARGE + 1)).try_save().await;
    assert!(
        matches!(refused, Err(Error::TooLarge { what: "media", max }) if max == LARGE as u64),
        "{refused:?}"
    );
    assert_nothing_left(&it).await;
    it.draft("title").media(&media(1, LARGE)).save().await;
    it
}

pub async fn notes_beyond_their_limit_leave_nothing(it: Fixture) -> Fixture {
    let max = notes("twelve bytes").as_bytes().len() as u64;
    let it = it.with(|settings| settings.notes_bytes_max = max).await;
    let refused = it.draft("title").notes("thirteen bytes").media(&media(1, LARGE)).try_save().await;
    assert!(matches!(refused, Err(Error::TooLarge { what: "notes", .. })), "{refused:?}");
    assert_nothing_left(&it).await;
    it.draft("title").notes("twelve bytes").save().await;
    it
}

pub async fn an_expired_upload_leaves_nothing(it: Fixture) -> Fixture {
    // The deadline passes while the bytes arrive, and between the last byte and the commit.
    let (clock, late) = (it.clock.clone(), it.store.settings().upload_time_max + Duration::from_millis(1));
    let slow = body(&media(1, LARGE)).inspect(move |_| clock.advance(late));
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    let refused = save.write_media(slow).await;
    assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
    assert_nothing_left(&it).await;

    let mut save = it.store.begin_save(it.owner).await.unwrap();
    save.write_media(body(&media(1, LARGE))).await.unwrap();
    it.clock.advance(late);
    let refused = save.commit(it.draft("title").request).await;
    assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
    assert_nothing_left(&it).await;
    it
}

pub async fn a_save_beyond_the_quota_leaves_nothing(it: Fixture) -> Fixture {
    let words = notes("words").as_bytes().len() as u64;
    let record = Project::RECORD_BYTES + it.draft("title").request.metadata.stored_len();
    let it = it.with(|settings| settings.quota_bytes_max = Some(1_000 + words + record)).await;
    let refused = it.draft("title").notes("words").media(&media(1, 1_001)).try_save().await;
    assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
    assert_nothing_left(&it).await;
    it.draft("title").notes("words").media(&media(1, 1_000)).save().await;
    assert_eq!(it.usage().await, (1, 1_000 + words));
    it
}

pub async fn a_refused_save_leaves_nothing(it: Fixture) -> Fixture {
    let demands = [Precondition::Exists, Precondition::OneOf(vec![Revision::FIRST])];
    for (precondition, size) in demands.into_iter().zip([10, LARGE]) {
        let refused = it.draft("title").media(&media(1, size)).demanding(precondition).try_save().await;
        assert!(matches!(refused, Err(Error::PreconditionFailed { current: None })), "{refused:?}");
        assert_nothing_left(&it).await;
    }
    it
}

pub async fn a_save_of_a_removed_account_leaves_nothing(it: Fixture) -> Fixture {
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    save.write_media(body(&media(1, LARGE))).await.unwrap();
    assert!(it.store.remove_account(it.owner).await.unwrap());
    let refused = save.commit(it.draft("title").request).await;
    assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");
    assert_nothing_left(&it).await;
    it
}

pub async fn a_commit_whose_caller_is_cancelled_completes(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    save.write_media(body(&bytes)).await.unwrap();
    let mut commit = Box::pin(save.commit(it.draft("title").request));
    // After the first poll the commit has begun.
    drop(futures_util::poll!(&mut commit));
    drop(commit);
    let saved = loop {
        match it.find("title").await {
            Ok(saved) => break saved,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert!(read(&it.store, &saved, None).await == bytes);
    it
}

pub async fn an_abandoned_commit_does_not_undo_a_later_save(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    for n in 0..20 {
        let mut save = it.store.begin_save(it.owner).await.unwrap();
        save.write_media(body(&bytes)).await.unwrap();
        let request = it.draft("title").notes(&format!("given up {n}")).request;
        // The save may have been committed before.
        let ended = save.commit_unless(request, std::future::ready(())).await;
        assert!(matches!(ended, Ok(_) | Err(Error::Unavailable { .. })), "{ended:?}");
        let saved = it.draft("title").notes(&format!("later {n}")).save().await;
        it.draft("other").save().await;
        assert_eq!(it.find("title").await.unwrap(), saved);
    }
    it
}
