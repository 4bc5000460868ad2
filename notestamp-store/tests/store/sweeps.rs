//! What a sweep deletes, and what it spares.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use notestamp_store::{Clock as _, Error, ListQuery};

use super::fixture::{Fixture, LARGE, account, body, draft, media, read, title};

pub async fn a_project_stays_readable_when_another_with_equal_media_is_deleted(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    it.draft("first").media(&bytes).save().await;
    let second = it.draft("second").media(&bytes).save().await;
    it.delete("first").await.unwrap();
    assert!(matches!(it.delete("first").await, Err(Error::NoSuchProject)));
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert!(read(&it.store, &second, None).await == bytes);
    it
}

pub async fn unreferenced_media_is_deleted_after_its_grace_period(it: Fixture) -> Fixture {
    let saved = it.draft("first").media(&media(1, LARGE)).save().await;
    it.draft("second").media(&media(1, LARGE)).save().await;
    it.delete("first").await.unwrap();
    it.delete("second").await.unwrap();
    let grace = it.store.settings().sweep_grace;
    it.clock.advance(grace - Duration::from_millis(1));
    assert_eq!(it.store.sweep().await.unwrap().doomed, 0);
    assert_eq!(it.live_media().await.len(), 1, "its grace is not over");
    it.clock.advance(Duration::from_millis(1));
    assert_eq!(it.store.sweep().await.unwrap().doomed, 1);
    assert_eq!(it.ledger().await, []);
    it.assert_settles().await;

    let gone = it.store.read_media(&saved, &saved.media.unwrap(), None).await.err();
    assert!(matches!(gone, Some(Error::NoSuchProject)), "{gone:?}");
    it
}

pub async fn media_saved_again_within_its_grace_period_stores_no_new_bytes(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    let before = it.draft("title").media(&bytes).save().await;
    it.delete("title").await.unwrap();
    it.clock.advance(it.store.settings().sweep_grace / 2);
    it.store.sweep().await.unwrap();
    let after = it.draft("title").media(&bytes).save().await;
    assert_eq!(after.media, before.media);
    assert_ne!(after.id, before.id);
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert!(read(&it.store, &after, None).await == bytes);
    it
}

pub async fn a_removed_account_is_gone_at_once_and_the_next_sweep_deletes_its_bytes(it: Fixture) -> Fixture {
    let it = it.with(|settings| settings.sweep_grace = Duration::ZERO).await;
    let other = account(&it.store, "bob@example.org").await;
    let kept = draft(&it.store, other, "title").media(&media(1, LARGE)).save().await;
    it.draft("first").media(&media(1, LARGE)).save().await;
    it.draft("second").media(&media(2, 10)).save().await;

    assert!(it.store.remove_account(it.owner).await.unwrap());
    assert!(!it.store.remove_account(it.owner).await.unwrap());
    assert!(it.store.find_account(it.owner).await.unwrap().is_none());
    let opened = it.store.open_project(it.owner, &title("first")).await;
    assert!(matches!(opened, Err(Error::NoSuchProject)), "{opened:?}");
    assert!(it.store.list_projects(it.owner, &ListQuery::default()).await.unwrap().projects.is_empty());

    it.store.sweep().await.unwrap();
    let theirs = [kept.notes.object, kept.media.unwrap().object];
    let mut left: Vec<_> = it.ledger().await.into_iter().map(|row| row.id).collect();
    left.sort_by_key(|id| *id == theirs[1]);
    assert_eq!(left, theirs);
    assert!(read(&it.store, &kept, None).await == media(1, LARGE));
    it
}

pub async fn without_a_grace_period_one_sweep_deletes_everything_unreferenced(it: Fixture) -> Fixture {
    let it = it.with(|settings| settings.sweep_grace = Duration::ZERO).await;
    it.draft("title").media(&media(1, LARGE)).save().await;
    it.delete("title").await.unwrap();
    it.store.sweep().await.unwrap();
    assert_eq!(it.ledger().await, []);
    it
}

pub async fn a_sweep_keeps_uploads_in_progress(it: Fixture) -> Fixture {
    // An upload that takes as long as it may, with a sweep after each piece.
    let bytes = media(1, LARGE);
    let pieces = LARGE.div_ceil(100_000) as u32;
    let pause = it.store.settings().upload_time_max / (pieces + 1);
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    let slow = body(&bytes).then(|chunk| {
        let (store, clock) = (it.store.clone(), it.clock.clone());
        async move {
            clock.advance(pause);
            store.sweep().await.unwrap();
            chunk
        }
    });
    save.write_media(slow).await.unwrap();
    let saved = save.commit(it.draft("title").request).await.unwrap();
    assert!(read(&it.store, &saved, None).await == bytes);
    it
}

pub async fn a_sweep_with_a_clock_a_month_ahead_deletes_nothing_early(it: Fixture) -> Fixture {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    let bytes = media(2, LARGE);
    it.draft("deleted").media(&bytes).save().await;
    it.delete("deleted").await.unwrap();
    let in_grace = it.live_media().await;
    let (before, clock, store) = (it.clock.now(), it.clock.clone(), it.store.clone());
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    let stepping = body(&media(1, LARGE)).then(|chunk| {
        let (store, clock) = (store.clone(), clock.clone());
        async move {
            clock.step_to(before.after(MONTH));
            assert_eq!(store.sweep().await.unwrap().doomed, 0);
            chunk
        }
    });
    save.write_media(stepping).await.unwrap();
    it.clock.step_to(before);
    save.commit(it.draft("title").request).await.unwrap();
    let again = it.draft("again").media(&bytes).save().await;
    assert_eq!(again.media.map(|media| media.object), Some(in_grace[0].id), "it was still there");
    it
}

pub async fn a_sweep_dooms_a_reservation_minutes_after_the_upload_time_at_the_earliest(
    it: Fixture,
) -> Fixture {
    const MINUTE: Duration = Duration::from_secs(60);
    let it = it.with(|settings| settings.upload_time_max = Duration::from_secs(1)).await;
    // Before that, a process does not believe its clock so far as to take a reservation.
    it.clock.advance(60 * MINUTE);
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    save.write_media(body(&media(1, LARGE))).await.unwrap();
    it.clock.advance(10 * MINUTE);
    assert_eq!(it.store.sweep().await.unwrap().doomed, 0, "what it had begun may still be under way");
    it.clock.advance(10 * MINUTE);
    assert_eq!(it.store.sweep().await.unwrap().doomed, 1);
    it
}

pub async fn an_upload_whose_reservation_a_sweep_has_doomed_is_refused(it: Fixture) -> Fixture {
    for size in [10, LARGE] {
        // Small media is written only at the commit; the write of large media has already begun.
        let mut save = it.store.begin_save(it.owner).await.unwrap();
        save.write_media(body(&media(1, size))).await.unwrap();
        it.let_time_pass();
        it.store.sweep().await.unwrap();
        let refused = save.commit(it.draft("title").request).await;
        assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");

        let mut save = it.store.begin_save(it.owner).await.unwrap();
        let (store, clock) = (it.store.clone(), it.clock.clone());
        let (first, rest) = (media(1, size), media(2, LARGE));
        let late = stream::once(async move {
            clock.advance(2 * store.settings().upload_time_max);
            store.sweep().await.unwrap();
            Ok::<Bytes, std::convert::Infallible>(rest)
        });
        let refused = save.write_media(body(&first).chain(late)).await;
        assert!(matches!(refused, Err(Error::UploadExpired)), "{refused:?}");
        it.assert_settles().await;
        assert_eq!(it.ledger().await, []);
    }
    it
}
